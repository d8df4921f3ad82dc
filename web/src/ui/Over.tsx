// The screen after the meeting: why it ended, and links to rejoin or to start.
import type { Ending } from "../meeting.ts";
import { Heading } from "./bits.tsx";
import { Mark } from "./icons.tsx";

const titles: Record<Ending, string> = {
  left: "You left",
  kicked: "You were removed",
  ended: "The meeting has ended",
  lost: "Connection lost",
  failed: "You could not join",
};

interface OverProps {
  why: Ending;
  words: string;
  onRejoin: (() => void) | null;
  onStart: (() => void) | null;
}

export function Over({ why, words, onRejoin, onStart }: OverProps) {
  const again = why === "left" || why === "lost" || why === "failed";
  return (
    <main class="over" data-testid="over" data-why={why}>
      <Mark />
      <Heading>{titles[why]}</Heading>
      <p class="lead">{words}</p>
      <div class="row">
        {again && onRejoin ? (
          <button type="button" class="primary" data-testid="rejoin-button" onClick={onRejoin}>
            {why === "left" ? "Rejoin" : "Try again"}
          </button>
        ) : null}
        {onStart ? (
          <button type="button" data-testid="start-button" onClick={onStart}>
            Back to the start
          </button>
        ) : (
          <p class="quiet">You can close this page.</p>
        )}
      </div>
    </main>
  );
}
