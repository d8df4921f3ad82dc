// The keys of the meeting, and when they are not meant for it. Pure but for the types of the DOM.
import type { Say } from "./words/words.ts";

export type Action =
  | "mic"
  | "cam"
  | "screen"
  | "hand"
  | "chat"
  | "people"
  | "connection"
  | "layout"
  | "pip"
  | "help";

export const KEYS: Record<Action, { key: string; say: Say }> = {
  mic: { key: "m", say: (w) => w.muteShort },
  cam: { key: "v", say: (w) => w.camShort },
  screen: { key: "s", say: (w) => w.screenShort },
  hand: { key: "h", say: (w) => w.handShort },
  chat: { key: "c", say: (w) => w.chat },
  people: { key: "p", say: (w) => w.whoIsHere },
  connection: { key: "n", say: (w) => w.connection },
  layout: { key: "l", say: (w) => w.nextLayout },
  pip: { key: "i", say: (w) => w.smallWindow },
  help: { key: "?", say: (w) => w.thisList },
};

export const TALK = " ";

/** What the page needs to know of a pressed key. */
export interface Press {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  repeat: boolean;
}

export function actionOf(press: Press): Action | null {
  if (press.ctrlKey || press.metaKey || press.altKey || press.repeat) return null;
  const key = press.key.toLowerCase();
  return (Object.keys(KEYS) as Action[]).find((action) => KEYS[action].key === key) ?? null;
}

const TYPING = "input, textarea, select, dialog, [contenteditable]";

/** Whether keys go to this element, and not to the meeting. */
export function takesKeys(target: Pick<Element, "closest"> | null): boolean {
  return target?.closest(TYPING) != null;
}

/** Whether the space bar presses this element. */
export function takesSpace(target: Pick<Element, "closest"> | null): boolean {
  return takesKeys(target) || target?.closest("button, a, summary") != null;
}

interface Microphone {
  /** whether it could be switched on now */
  readonly muted: boolean;
  set(on: boolean): void;
}

/** Switches the microphone on while a key is held; it was off before. */
export class PushToTalk {
  readonly #microphone: Microphone;
  #talking = false;

  constructor(microphone: Microphone) {
    this.#microphone = microphone;
  }

  get talking(): boolean {
    return this.#talking;
  }

  /** False: the microphone is on already, or may not be used. */
  press(): boolean {
    if (this.#talking || !this.#microphone.muted) return this.#talking;
    this.#talking = true;
    this.#microphone.set(true);
    return true;
  }

  /** The key was released, or the window has lost the focus and would not hear of it. */
  release(): void {
    if (!this.#talking) return;
    this.#talking = false;
    this.#microphone.set(false);
  }
}
