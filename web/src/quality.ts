// How good a connection is: figures over time from two readings of getStats, and what they mean in
// words. Pure.
import { num, pathOf, type PathKind, type Report } from "./figures.ts";
import type { Say } from "./words/words.ts";

/** Of a person: 3 is good, 2 fair, 1 poor. */
export type Grade = 1 | 2 | 3;

/** Sums since the start of the connection. */
export interface Totals {
  /** ms */
  at: number;
  bytesSent: number;
  bytesReceived: number;
  packetsSent: number;
  lostSent: number;
  packetsReceived: number;
  lostReceived: number;
  framesSent: number;
  framesDecoded: number;
  /** layers of the camera that are sent now */
  layers: number;
  /** why the camera's picture is smaller than it could be */
  limited: "bandwidth" | "cpu" | null;
  /** bit/s that the browser thinks the network carries; null: it does not say */
  available: number | null;
  /** ms; null: not known */
  roundTrip: number | null;
  path: PathKind | null;
  /** of each received track, by its id */
  tracks: ReadonlyMap<string, TrackTotals>;
}

export interface TrackTotals {
  received: number;
  lost: number;
  freezes: number;
}

/** What happened between two readings. */
export interface Sample {
  at: number;
  /** bit/s */
  rateOut: number;
  rateIn: number;
  /** percent */
  lossOut: number;
  lossIn: number;
  framesOut: number;
  framesIn: number;
  freezes: number;
  layers: number;
  limited: Totals["limited"];
  available: number | null;
  roundTrip: number | null;
  path: PathKind | null;
}

/** Reads the statistics of all transports of this page. `camera` is the track of its camera. */
export function totalsOf(reports: readonly Report[], at: number, camera: string | null): Totals {
  const totals: Totals = {
    at,
    bytesSent: 0,
    bytesReceived: 0,
    packetsSent: 0,
    lostSent: 0,
    packetsReceived: 0,
    lostReceived: 0,
    framesSent: 0,
    framesDecoded: 0,
    layers: 0,
    limited: null,
    available: null,
    roundTrip: null,
    path: null,
    tracks: new Map(),
  };
  const tracks = new Map<string, TrackTotals>();
  for (const report of reports) {
    const path = pathOf(report);
    totals.path = path?.kind ?? totals.path;
    if (path?.roundTrip != null) totals.roundTrip = Math.max(totals.roundTrip ?? 0, path.roundTrip);
    for (const entry of report.values()) {
      switch (entry.type) {
        case "inbound-rtp":
          totals.bytesReceived += num(entry.bytesReceived);
          totals.packetsReceived += num(entry.packetsReceived);
          totals.lostReceived += num(entry.packetsLost);
          totals.framesDecoded += num(entry.framesDecoded);
          tracks.set(String(entry.trackIdentifier), {
            received: num(entry.packetsReceived),
            lost: num(entry.packetsLost),
            freezes: num(entry.freezeCount),
          });
          break;
        case "outbound-rtp": {
          totals.bytesSent += num(entry.bytesSent);
          totals.packetsSent += num(entry.packetsSent);
          const source = report.get(String(entry.mediaSourceId));
          if (entry.kind !== "video" || source?.trackIdentifier !== camera) break;
          totals.framesSent = Math.max(totals.framesSent, num(entry.framesSent));
          if (entry.active !== false) totals.layers++;
          const why = entry.qualityLimitationReason;
          if (why === "cpu" || (why === "bandwidth" && totals.limited === null)) totals.limited = why;
          break;
        }
        case "remote-inbound-rtp":
          totals.lostSent += num(entry.packetsLost);
          break;
        case "candidate-pair":
          if (entry.nominated && num(entry.availableOutgoingBitrate) > 0 && num(entry.bytesSent) > 0) {
            totals.available = num(entry.availableOutgoingBitrate);
          }
      }
    }
  }
  totals.tracks = tracks;
  return totals;
}

/** Sums fall when a stream ends: that is no negative rate. */
const rise = (before: number, now: number): number => Math.max(0, now - before);

function percent(lost: number, arrived: number): number {
  return lost > 0 ? (100 * lost) / (lost + arrived) : 0;
}

export function sampleOf(before: Totals, now: Totals): Sample {
  const seconds = Math.max(0.001, (now.at - before.at) / 1000);
  const lostSent = rise(before.lostSent, now.lostSent);
  const sent = rise(before.packetsSent, now.packetsSent);
  let freezes = 0;
  for (const [id, track] of now.tracks) {
    const old = before.tracks.get(id);
    if (old) freezes += rise(old.freezes, track.freezes);
  }
  return {
    at: now.at,
    rateOut: (8 * rise(before.bytesSent, now.bytesSent)) / seconds,
    rateIn: (8 * rise(before.bytesReceived, now.bytesReceived)) / seconds,
    lossOut: percent(lostSent, Math.max(0, sent - lostSent)),
    lossIn: percent(
      rise(before.lostReceived, now.lostReceived),
      rise(before.packetsReceived, now.packetsReceived),
    ),
    framesOut: rise(before.framesSent, now.framesSent) / seconds,
    framesIn: rise(before.framesDecoded, now.framesDecoded) / seconds,
    freezes,
    layers: now.layers,
    limited: now.limited,
    available: now.available,
    roundTrip: now.roundTrip,
    path: now.path,
  };
}

const POOR = { loss: 12, trip: 600, score: 4 };
const FAIR = { loss: 4, trip: 300, score: 7 };

/** The grade of what comes from one person: the server's worst score, and the loss on the last leg. */
export function gradeOf(score: number, lost: number, arrived: number, frozen: boolean): Grade {
  const loss = percent(lost, arrived);
  if (score < POOR.score || loss >= POOR.loss) return 1;
  return score < FAIR.score || loss >= FAIR.loss || frozen ? 2 : 3;
}

const RECENT = 5; // samples that the words are about

interface Recent {
  lossIn: number;
  lossOut: number;
  trip: number;
  freezes: number;
}

function recent(samples: readonly Sample[]): Recent {
  const last = samples.slice(-RECENT);
  const mean = (of: (sample: Sample) => number): number =>
    last.reduce((sum, sample) => sum + of(sample), 0) / Math.max(1, last.length);
  return {
    lossIn: mean((sample) => sample.lossIn),
    lossOut: mean((sample) => sample.lossOut),
    trip: mean((sample) => sample.roundTrip ?? 0),
    freezes: last.reduce((sum, sample) => sum + sample.freezes, 0),
  };
}

/** The grade of this page's own connection. */
export function ownGrade(samples: readonly Sample[]): Grade {
  const { lossIn, lossOut, trip } = recent(samples);
  const loss = Math.max(lossIn, lossOut);
  if (loss >= POOR.loss || trip >= POOR.trip) return 1;
  return loss >= FAIR.loss || trip >= FAIR.trip ? 2 : 3;
}

/** What is wrong with one's own connection, the worst first; one sentence if nothing is. */
export function verdicts(samples: readonly Sample[]): Say[] {
  const now = samples.at(-1);
  if (!now) return [(w) => w.connectionWaits];
  const { lossIn, lossOut, trip, freezes } = recent(samples);
  const out: Say[] = [];
  if (lossIn >= 2) out.push((w) => w.losesIn(Math.round(lossIn)));
  if (lossOut >= 2) out.push((w) => w.losesOut(Math.round(lossOut)));
  if (trip >= FAIR.trip) out.push((w) => w.farAway(Math.round(trip)));
  if (now.limited === "cpu") out.push((w) => w.slowComputer);
  if (now.limited === "bandwidth" && now.available !== null && now.available < 1_000_000) {
    const { available } = now;
    out.push((w) => w.narrow(rateWords(available)));
  }
  if (freezes > 0) out.push((w) => w.freezes);
  if (now.path === "tcp") out.push((w) => w.byTcp);
  if (out.length === 0) {
    const still = now.rateIn === 0 && now.rateOut === 0;
    out.push((w) => (still ? w.connectionNone : w.connectionGood));
  }
  return out;
}

/** `840 kbit/s`, `1.2 Mbit/s` */
export function rateWords(rate: number): string {
  if (rate < 999_500) return `${Math.round(rate / 1000)} kbit/s`;
  return `${(rate / 1_000_000).toFixed(1)} Mbit/s`;
}
