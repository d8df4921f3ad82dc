// Small pure helpers for texts on the page.

/** One or two letters for the avatar of a peer without video. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const first = words[0] ?? "?";
  const last = words.length > 1 ? (words[words.length - 1] ?? "") : "";
  const letter = (word: string): string => Array.from(word)[0] ?? "";
  return (letter(first) + letter(last)).toUpperCase() || "?";
}

/** A number 0 … count-1 that depends on the text only: the colour of an avatar. */
export function hueIndex(text: string, count: number): number {
  let hash = 0;
  for (const char of text) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) | 0;
  return Math.abs(hash) % count;
}

export interface Piece {
  text: string;
  href?: string;
}

const LINK = /https?:\/\/[^\s<>"']+/gi;

/** Splits a chat message into text and http(s) links. Punctuation after a link is text. */
export function pieces(message: string): Piece[] {
  const out: Piece[] = [];
  let end = 0;
  for (const match of message.matchAll(LINK)) {
    const link = match[0].replace(/[.,;:!?)\]]+$/, "");
    if (link.length <= "https://".length) continue;
    if (match.index > end) out.push({ text: message.slice(end, match.index) });
    out.push({ text: link, href: link });
    end = match.index + link.length;
  }
  if (end < message.length) out.push({ text: message.slice(end) });
  return out;
}

export function clock(time: number, language: string): string {
  return new Date(time).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
}
