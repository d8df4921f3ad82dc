// The test before the meeting: a call to oneself, with what it has found in words.
import { useEffect, useRef, useState } from "preact/hooks";
import type { LocalMedia } from "../local-media.ts";
import type { Findings, SelfCall } from "../self-call.ts";
import { type Say, type Words, words } from "../words/words.ts";
import { Video } from "./bits.tsx";
import { Icon, type IconName } from "./icons.tsx";
import { Outlet } from "./Outlets.tsx";

type Grade = "wait" | "good" | "bad";

export const PATHS = {
  udp: (w: Words) => w.pathUdp,
  tcp: (w: Words) => w.pathTcp,
  turn: (w: Words) => w.pathTurn,
};
const FAR_MS = 300;
const LOSSY_PERCENT = 3;

function graded(value: boolean | null, good: Say, bad: Say, wait: Say): { grade: Grade; say: Say } {
  if (value === null) return { grade: "wait", say: wait };
  return value ? { grade: "good", say: good } : { grade: "bad", say: bad };
}

function ofNetwork(network: Findings["network"]): { grade: Grade; say: Say } {
  if (network === null) return { grade: "wait", say: (w) => w.netWaits };
  if (network === false) return { grade: "bad", say: (w) => w.netNone };
  const { kind, roundTrip, lostPercent } = network;
  const fine = roundTrip < FAR_MS && lostPercent < LOSSY_PERCENT;
  return {
    grade: fine ? "good" : "bad",
    say: (w) =>
      fine ? w.netFine(PATHS[kind](w), roundTrip) : w.netPoor(PATHS[kind](w), roundTrip, lostPercent),
  };
}

interface TrialProps {
  local: LocalMedia;
  /** makes the call; it starts and ends with this component */
  call: () => SelfCall;
  onStop: () => void;
}

export function Trial({ local, call: make, onStop }: TrialProps) {
  const [call] = useState(make);
  useEffect(() => {
    void call.start();
    return () => call.stop();
  }, [call]);
  const stop = useRef<HTMLButtonElement>(null);
  useEffect(() => stop.current?.focus(), []); // the button that opened this is gone
  const w = words.value;
  const { heard, seen, network } = call.findings.value;
  const streams = [...call.streams.value.values()];
  const picture = streams.find((stream) => stream.kind === "video");
  const sound = streams.find((stream) => stream.kind === "audio");
  const mic = local.micOn.value
    ? graded(heard, (all) => all.micHeard, (all) => all.micSilent, (all) => all.micWaits)
    : { grade: "bad" as const, say: (all: Words) => all.micIsOff };
  const cam = local.camOn.value
    ? graded(seen, (all) => all.camSeen, (all) => all.camUnseen, (all) => all.camWaits)
    : { grade: "bad" as const, say: (all: Words) => all.cameraIsOff };
  const problem = call.problem.value;
  return (
    <section class="trial" aria-label={w.testTitle} data-testid="trial">
      <div class="trial-picture">
        {picture ? <Video track={picture.track} /> : null}
        <span>{picture ? w.testPicture : problem ? "" : w.testCalling}</span>
      </div>
      <div class="trial-words">
        <h2>{w.testTitle}</h2>
        <p class="quiet">{w.testWhat}</p>
        {problem ? (
          <p class="problem" role="alert">
            {problem(w)}
          </p>
        ) : (
          <ul role="status">
            <Finding what="mic" icon="mic" {...mic} />
            <Finding what="cam" icon="cam" {...cam} />
            <Finding what="net" icon="weak" {...ofNetwork(network)} />
          </ul>
        )}
        <button ref={stop} type="button" data-testid="trial-stop" onClick={onStop}>
          {w.stopTest}
        </button>
      </div>
      {sound ? <Outlet track={sound.track} speaker={local.speakerInUse.value} /> : null}
    </section>
  );
}

function Finding({ what, icon, grade, say }: { what: string; icon: IconName; grade: Grade; say: Say }) {
  return (
    <li class={`finding ${grade}`} data-testid={`found-${what}`} data-grade={grade}>
      <Icon name={grade === "good" ? "check" : icon} />
      <span>{say(words.value)}</span>
    </li>
  );
}

/** A short tone through a speaker, for people who want to know whether they would hear others. */
export async function playTone(speaker: string): Promise<void> {
  const context = new AudioContext();
  const tone = context.createOscillator();
  const volume = context.createGain();
  const out = context.createMediaStreamDestination();
  tone.frequency.value = 523;
  volume.gain.setValueAtTime(0.25, context.currentTime);
  volume.gain.linearRampToValueAtTime(0, context.currentTime + 0.8);
  tone.connect(volume).connect(out);
  const audio = new Audio();
  audio.srcObject = out.stream;
  try {
    if (speaker && "setSinkId" in audio) await audio.setSinkId(speaker);
    tone.start();
    await audio.play();
    await new Promise((done) => setTimeout(done, 900));
  } catch (error) {
    console.warn("tone:", error);
  } finally {
    audio.srcObject = null;
    await context.close();
  }
}
