// The screen after the meeting: why it ended, and links to rejoin or to start.
import type { Ending } from "../meeting.ts";
import { type Say, words } from "../words/words.ts";
import { Heading } from "./bits.tsx";
import { Mark } from "./icons.tsx";

const titles: Record<Ending, Say> = {
  left: (w) => w.overLeft,
  kicked: (w) => w.overKicked,
  ended: (w) => w.overEnded,
  lost: (w) => w.overLost,
  failed: (w) => w.overFailed,
};

interface OverProps {
  why: Ending;
  /** what happened, in a sentence */
  reason: string;
  onRejoin: (() => void) | null;
  onStart: (() => void) | null;
}

export function Over({ why, reason, onRejoin, onStart }: OverProps) {
  const w = words.value;
  const again = why === "left" || why === "lost" || why === "failed";
  return (
    <main class="over" data-testid="over" data-why={why}>
      <Mark />
      <Heading>{titles[why](w)}</Heading>
      <p class="lead">{reason}</p>
      <div class="row">
        {again && onRejoin ? (
          <button type="button" class="primary" data-testid="rejoin-button" onClick={onRejoin}>
            {why === "left" ? w.rejoin : w.tryAgain}
          </button>
        ) : null}
        {onStart ? (
          <button type="button" data-testid="start-button" onClick={onStart}>
            {w.toStart}
          </button>
        ) : (
          <p class="quiet">{w.mayClose}</p>
        )}
      </div>
    </main>
  );
}
