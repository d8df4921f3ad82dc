// Watches the connection of a meeting: reads the statistics every two seconds, and keeps the samples
// of the last two minutes and a grade for each person. Reads of a slow browser do not pile up.
import { signal } from "@preact/signals";
import type { Report } from "./figures.ts";
import type { MediaSession, RemoteStream } from "./media-session.ts";
import { type Grade, gradeOf, ownGrade, type Sample, sampleOf, type Totals, totalsOf } from "./quality.ts";

export const EVERY_MS = 2000;
const KEPT = 60; // samples

export class Watch {
  readonly samples = signal<readonly Sample[]>([]);
  /** of each person who sends something, by peer id */
  readonly grades = signal<ReadonlyMap<string, Grade>>(new Map());
  readonly own = signal<Grade>(3);
  #timer = 0;
  #reading = false;
  #before: Totals | null = null;

  start(session: MediaSession, streams: () => Iterable<RemoteStream>): void {
    this.stop();
    this.#timer = window.setInterval(() => {
      if (this.#reading || document.hidden) return;
      this.#reading = true;
      void this.#read(session, streams).finally(() => {
        this.#reading = false;
      });
    }, EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#before = null;
    this.grades.value = new Map();
  }

  async #read(session: MediaSession, streams: () => Iterable<RemoteStream>): Promise<void> {
    const timer = this.#timer;
    const reports = await Promise.all(
      session.transports.map(async (transport) => (await transport.getStats()) as unknown as Report),
    ).catch(() => null); // a transport was closed meanwhile
    if (reports === null || timer !== this.#timer) return;
    const camera = session.producers.get("webcam")?.track?.id ?? null;
    const now = totalsOf(reports, performance.now(), camera);
    const before = this.#before;
    this.#before = now;
    if (!before) return;
    this.samples.value = [...this.samples.value.slice(1 - KEPT), sampleOf(before, now)];
    this.own.value = ownGrade(this.samples.value);
    this.#grade(before, now, streams());
  }

  #grade(before: Totals, now: Totals, streams: Iterable<RemoteStream>): void {
    const grades = new Map<string, Grade>();
    for (const { peerId, track, score, paused } of streams) {
      if (paused) continue;
      const [old, seen] = [before.tracks.get(track.id), now.tracks.get(track.id)];
      const lost = (seen?.lost ?? 0) - (old?.lost ?? 0);
      const arrived = (seen?.received ?? 0) - (old?.received ?? 0);
      const frozen = (seen?.freezes ?? 0) > (old?.freezes ?? seen?.freezes ?? 0);
      const grade = gradeOf(score, lost, arrived, frozen);
      grades.set(peerId, Math.min(grade, grades.get(peerId) ?? 3) as Grade);
    }
    const held = this.grades.value;
    if (held.size === grades.size && [...grades].every(([id, grade]) => held.get(id) === grade)) return;
    this.grades.value = grades;
  }
}
