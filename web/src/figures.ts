// Reads getStats: the few figures that this page shows, of one transport at one moment. Pure.

/** How media goes to the server: straight by UDP or TCP, or through a TURN server. */
export type PathKind = "udp" | "tcp" | "turn";

export interface PathFigures {
  kind: PathKind;
  /** ms to the server and back; null before the first answer */
  roundTrip: number | null;
}

/** An entry of getStats: what it holds depends on its type and on the browser. */
export type Entry = Record<string, unknown>;

/** What getStats gives, as far as this page reads it. */
export interface Report {
  get(id: string): Entry | undefined;
  values(): Iterable<Entry>;
}

export const num = (value: unknown): number =>
  typeof value === "number" && Number.isFinite(value) ? value : 0;

/** The path that a transport uses now; null if it has none. */
export function pathOf(report: Report): PathFigures | null {
  let chosen: Entry | null = null;
  for (const entry of report.values()) {
    if (entry.type === "transport" && typeof entry.selectedCandidatePairId === "string") {
      chosen = report.get(entry.selectedCandidatePairId) ?? chosen;
    }
  }
  // Firefox's transport names no pair
  if (!chosen) {
    for (const entry of report.values()) {
      if (entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") chosen = entry;
    }
  }
  if (!chosen) return null;
  const own = report.get(String(chosen.localCandidateId)) ?? {};
  const trip = chosen.currentRoundTripTime;
  return {
    kind: own.candidateType === "relay" ? "turn" : own.protocol === "tcp" ? "tcp" : "udp",
    roundTrip: typeof trip === "number" ? 1000 * trip : null,
  };
}
