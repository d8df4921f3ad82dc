// The state of the meeting screen that is not part of the meeting: the open panel, the pinned tile,
// the draft of a message, unread messages.
import { computed, effect, signal, untracked } from "@preact/signals";
import type { Meeting } from "../meeting.ts";
import { type Layout, LAYOUTS } from "../layout.ts";
import { recall, remember } from "../prefs.ts";

export type Panel = "none" | "chat" | "people" | "connection";

const shorten = (text: string): string => (text.length > 120 ? `${text.slice(0, 119)}…` : text);

export class View {
  readonly panel = signal<Panel>("none");
  readonly layout = signal<Layout>(LAYOUTS.find((one) => one === recall("layout")) ?? "grid");
  readonly settings = signal(false);
  readonly help = signal(false);
  /** the microphone is on while a key is held */
  readonly talking = signal(false);
  readonly pinned = signal<string | null>(null);
  /** an unsent message, which is kept when the panel is closed */
  readonly draft = signal("");
  readonly shortcuts = signal(recall("shortcuts") !== "off");
  /** whether the browser refuses to play sound before a click */
  readonly soundBlocked = signal(false);
  readonly #read = signal(0);
  readonly unread;
  readonly #stop: () => void;

  constructor(meeting: Meeting) {
    this.unread = computed(
      () => meeting.chat.value.slice(this.#read.value).filter((message) => !message.own).length,
    );
    let seen = meeting.chat.value.length;
    this.#stop = effect(() => {
      const messages = meeting.chat.value;
      const open = this.panel.value === "chat";
      const fresh = messages.slice(seen).filter((message) => !message.own);
      seen = messages.length;
      untracked(() => {
        if (open) this.#read.value = messages.length;
        else for (const { name, text } of fresh) meeting.tell(() => `${name}: ${shorten(text)}`);
      });
    });
  }

  toggle(panel: Panel): void {
    this.panel.value = this.panel.value === panel ? "none" : panel;
  }

  chooseLayout(layout: Layout): void {
    this.layout.value = layout;
    remember("layout", layout);
  }

  nextLayout(): void {
    const at = LAYOUTS.indexOf(this.layout.value);
    this.chooseLayout(LAYOUTS[(at + 1) % LAYOUTS.length] ?? "grid");
  }

  setShortcuts(on: boolean): void {
    this.shortcuts.value = on;
    remember("shortcuts", on ? "on" : "off");
  }

  dispose(): void {
    this.#stop();
  }
}
