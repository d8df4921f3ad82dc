// Numbers as an operator reads them.

/** `840 k`, `1.2 M`: bit/s */
export function rate(bits: number): string {
  if (bits < 500) return "0";
  if (bits < 999_500) return `${Math.round(bits / 1000)} k`;
  if (bits < 999_500_000) return `${(bits / 1e6).toFixed(bits < 9_950_000 ? 2 : 1)} M`;
  return `${(bits / 1e9).toFixed(2)} G`;
}

export function percent(share: number): string {
  const value = 100 * share;
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

export const millis = (ms: number): string => (ms > 0 ? `${Math.round(ms)} ms` : "–");

export function age(seconds: number): string {
  const units: [number, string][] = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
  ];
  for (const [size, unit] of units) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

export function bytes(count: number): string {
  if (count < 1e6) return `${Math.round(count / 1e3)} kB`;
  return count < 1e9 ? `${Math.round(count / 1e6)} MB` : `${(count / 1e9).toFixed(2)} GB`;
}

export function lag(seconds: number | null): string {
  if (seconds === null) return "> 5 s";
  return seconds === 0 ? "–" : `≤ ${seconds < 1 ? `${Number((1000 * seconds).toPrecision(2))} ms` : `${seconds} s`}`;
}

export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

export const shortId = (id: string): string => id.slice(0, 8);

/** How bad a link is: loss from 3 % and 10 %, round trip from 250 ms and 500 ms. */
export function lossGrade(share: number): "" | "fair" | "poor" {
  return share >= 0.1 ? "poor" : share >= 0.03 ? "fair" : "";
}

export function tripGrade(ms: number): "" | "fair" | "poor" {
  return ms >= 500 ? "poor" : ms >= 250 ? "fair" : "";
}
