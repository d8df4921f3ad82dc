// The entry point of the admin page.
import { render } from "preact";
import { Console } from "./console.ts";
import "./admin.css";
import { App } from "./ui/App.tsx";

const root = document.getElementById("app");
if (root) {
  const shown = new Console();
  shown.start();
  render(<App shown={shown} />, root);
}
