// The entry point of the page.
import { render } from "preact";
import { optionsOf } from "./options.ts";
import "./styles/base.css";
import "./styles/screens.css";
import "./styles/stage.css";
import "./styles/room.css";
import { testHooks } from "./test-hooks.ts";
import { App, Page } from "./ui/App.tsx";
import { markLanguage } from "./words/words.ts";

const root = document.getElementById("app");
if (root) {
  markLanguage();
  const page = new Page(optionsOf(location.search));
  window.meetTest = testHooks(page);
  render(<App page={page} />, root);
}
