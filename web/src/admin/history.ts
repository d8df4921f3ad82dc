// What the page remembers of the last two minutes, for the plots. Pure, but for the clock that is
// passed in.
import type { Link, Server } from "./types.ts";

export const SPAN_MS = 120_000;

export interface Sample extends Link {
  at: number;
}

/** The samples of each room and peer that was seen lately, by its id. */
export class History {
  readonly #samples = new Map<string, Sample[]>();

  add(id: string, link: Link, at: number): void {
    const samples = this.#samples.get(id) ?? [];
    samples.push({ at, in: link.in, out: link.out, loss: link.loss, rtt: link.rtt });
    while (samples[0] && samples[0].at < at - SPAN_MS) samples.shift();
    this.#samples.set(id, samples);
  }

  of(id: string): readonly Sample[] {
    return this.#samples.get(id) ?? [];
  }

  /** Forgets those that were not seen within the span. */
  forget(at: number): void {
    for (const [id, samples] of this.#samples) {
      if ((samples.at(-1)?.at ?? 0) < at - SPAN_MS) this.#samples.delete(id);
    }
  }

  get size(): number {
    return this.#samples.size;
  }
}

export interface ServerSample {
  at: number;
  /** bit/s */
  in: number;
  out: number;
  /** shares of one second that each engine's thread has worked */
  busy: readonly number[];
  /** seconds; the longest turn of the loop was not above; null: above all bounds */
  lag: number | null;
}

/** What happened at the server between two answers. */
export function serverSample(before: Server, now: Server, ms: number, at: number): ServerSample {
  const seconds = Math.max(0.001, ms / 1000);
  const sum = (server: Server, of: "bytesIn" | "bytesOut"): number =>
    server.engines.reduce((total, engine) => total + engine[of], 0);
  const rate = (of: "bytesIn" | "bytesOut"): number =>
    Math.max(0, (8 * (sum(now, of) - sum(before, of))) / seconds);
  const turns = now.lag.held.counts.map((count, i) => count - (before.lag.held.counts[i] ?? 0));
  const longest = turns.findLastIndex((count) => count > 0);
  return {
    at,
    in: rate("bytesIn"),
    out: rate("bytesOut"),
    busy: now.engines.map((engine, i) => {
      const worked = engine.busySeconds - (before.engines[i]?.busySeconds ?? engine.busySeconds);
      return Math.min(1, Math.max(0, worked / seconds));
    }),
    lag: longest < 0 ? 0 : (now.lag.bounds[longest] ?? null),
  };
}

/** The points of a line in a box; the right edge is `now`, the left one `SPAN_MS` before. */
export function line(
  values: readonly { at: number; value: number }[],
  now: number,
  top: number,
  width: number,
  height: number,
): string {
  return values
    .map(({ at, value }) => {
      const x = width * (1 - (now - at) / SPAN_MS);
      const y = height - 1.5 - (Math.min(value, top) / top) * (height - 3);
      return `${Math.max(0, x).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}
