// The language of the page, and its texts. `words.value` is the table of the present language.
// A text that is kept for later is a Say: it follows when the user chooses another language.
import { computed, effect, signal } from "@preact/signals";
import { recall, remember } from "../prefs.ts";
import { de } from "./de.ts";
import { en, type Words } from "./en.ts";
import { fr } from "./fr.ts";

export type { Words };
export type Say = (words: Words) => string;

const tables = { en, de, fr } satisfies Record<string, Words>;

export type Language = keyof typeof tables;

/** Each language under its own name. */
export const LANGUAGES: Record<Language, string> = { en: "English", de: "Deutsch", fr: "Français" };

/** The chosen language, else the first known one of the browser's, else English. */
export function languageOf(chosen: string, wanted: readonly string[]): Language {
  for (const tag of [chosen, ...wanted]) {
    const [language = ""] = tag.toLowerCase().split("-");
    if (Object.hasOwn(tables, language)) return language as Language;
  }
  return "en";
}

export const language = signal<Language>(
  languageOf(recall("language"), typeof navigator === "undefined" ? [] : (navigator.languages ?? [])),
);

export const words = computed<Words>(() => tables[language.value]);

export function chooseLanguage(chosen: Language): void {
  language.value = chosen;
  remember("language", chosen);
}

/** Keeps `lang` of the document in step: screen readers pronounce by it. */
export function markLanguage(): void {
  effect(() => {
    document.documentElement.lang = language.value;
  });
}

// -- errors, as sentences for people. Names of exceptions and status codes are only in the console --

type Device = "mic" | "cam" | "screen";

/** The reason why a device could not be opened, and what the user can do about it. */
export function deviceWords(device: Device, error: unknown): Say {
  const name = error instanceof Error ? error.name : "";
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return (w) => w[`${device}NotAllowed`];
    case "NotFoundError":
    case "DevicesNotFoundError":
      return (w) => w[`${device}NotFound`];
    case "NotReadableError":
    case "TrackStartError":
      return (w) => w[`${device}Busy`];
    case "InsecureContext":
      return (w) => w[`${device}Insecure`];
    default:
      return (w) => w[`${device}Failed`];
  }
}

/** An error with a message for the user. */
export class Plain extends Error {
  override name = "Plain";
  readonly say: Say;

  constructor(say: Say) {
    super(say(en));
    this.say = say;
  }
}

export function reasonOf(error: unknown, otherwise: Say): Say {
  return error instanceof Plain ? error.say : otherwise;
}
