// Interpreters and their channels. A moderator gives an interpreter a language; who listens to that
// language hears its interpreters, and the original quietly below them. Pure.

/** How loud the original is below an interpreter. */
const BELOW = 0.15;

/** The languages that a moderator can give. The protocol takes any two lower-case letters. */
export const INTERPRETED: readonly string[] = (
  "ar bg cs da de el en es et fa fi fr ga he hi hr hu it ja ko lt lv mt nl no pl pt ro ru sk sl sq sr sv tr uk zh"
).split(" ");

/** The channels of a meeting: the languages that somebody interprets into. */
export function channelsOf(peers: Iterable<{ language: string | null }>): string[] {
  const found = new Set<string>();
  for (const { language } of peers) if (language) found.add(language);
  return [...found].sort();
}

/** How loud (0-1) a person is who interprets into `language`; null: speaks for everybody. */
export function volumeOf(language: string | null, channel: string | null): number {
  if (language) return language === channel ? 1 : 0;
  return channel === null ? 1 : BELOW;
}

/** The name of a language in another one: `French` in English, `Französisch` in German. */
export function languageName(code: string, inLanguage: string): string {
  try {
    return new Intl.DisplayNames([inLanguage], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}
