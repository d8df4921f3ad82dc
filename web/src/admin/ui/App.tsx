// The frame of the page: health and sums at the top, then the rooms, a room, or a peer.
import { useEffect, useState } from "preact/hooks";
import { call } from "../calls.ts";
import { type Console, EVERY_MS } from "../console.ts";
import type { ServerSample } from "../history.ts";
import type { Server } from "../types.ts";
import { age, bytes, lag, percent, plural, rate } from "../words.ts";
import { Confirm, Mark, type Question, sentence } from "./bits.tsx";
import { Login } from "./Login.tsx";
import { type Line, Spark } from "./Plot.tsx";
import { PeerView } from "./PeerView.tsx";
import { RoomsView, RoomView } from "./views.tsx";

export type Ask = (question: Question) => void;

export function App({ shown }: { shown: Console }) {
  const [question, setQuestion] = useState<Question | null>(null);
  const [done, setDone] = useState("");
  const session = shown.session.value;
  useEffect(() => keys(shown), [shown]);
  useEffect(() => {
    const timer = setTimeout(() => setDone(""), 6000);
    return () => clearTimeout(timer);
  }, [done]);
  if (session === undefined) {
    return <main class="login">{shown.trouble.value ? <p role="alert">{shown.trouble.value}</p> : null}</main>;
  }
  if (session === null) return <Login shown={shown} />;
  const place = shown.place.value;
  return (
    <>
      <Top shown={shown} ask={setQuestion} />
      <Trouble shown={shown} />
      <main>
        {shown.server.value ? <Sums server={shown.server.value} shown={shown} /> : null}
        {place.kind === "rooms" ? <RoomsView shown={shown} ask={setQuestion} /> : null}
        {place.kind === "room" ? <RoomView shown={shown} ask={setQuestion} id={place.room} /> : null}
        {place.kind === "peer" ? <PeerView shown={shown} ask={setQuestion} place={place} /> : null}
      </main>
      <footer class="quiet small">
        meet-trio {session.version} · refreshes every {EVERY_MS / 1000} s · bitrates in bit/s · plots show 2 minutes
        {!session.endsAt ? "" : ` · your session ends ${session.endsAt}`} · <span class="keys">keys: <kbd>/</kbd> filter,{" "}
        <kbd>↑</kbd> <kbd>↓</kbd> rows, <kbd>Esc</kbd> back</span>
      </footer>
      <p class="toast" role="status" data-testid="done">
        {done}
      </p>
      {question ? (
        <Confirm
          key={question.title}
          question={question}
          onEnd={(what) => {
            setQuestion(null);
            if (what) {
              setDone(sentence(what));
              shown.refresh();
            }
          }}
        />
      ) : null}
    </>
  );
}

/** `/` goes to the filter, Escape one place up. A dialog has its own Escape. */
function keys(shown: Console): () => void {
  const listener = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    const place = shown.place.value;
    if (event.key === "/" && !typing) {
      event.preventDefault();
      document.querySelector<HTMLElement>(".filter")?.focus();
    } else if (event.key === "Escape" && typing) {
      (event.target as HTMLElement).blur();
    } else if (event.key === "Escape" && place.kind !== "rooms") {
      shown.goTo(place.kind === "peer" ? { kind: "room", room: place.room } : { kind: "rooms" });
    }
  };
  addEventListener("keydown", listener);
  return () => removeEventListener("keydown", listener);
}

const HEALTH: Record<string, string> = {
  healthy: "Healthy",
  draining: "Draining",
  unhealthy: "Not healthy",
};

/** A server that drains is not healthy for a load balancer. That is no trouble, if it is all. */
function healthOf(server: Server): string {
  if (server.healthy) return "healthy";
  return server.draining && server.reasons.length === 1 ? "draining" : "unhealthy";
}

function Top({ shown, ask }: { shown: Console; ask: Ask }) {
  const server = shown.server.value;
  const silent = shown.trouble.value !== "";
  const health = !server || silent ? "unknown" : healthOf(server);
  return (
    <header class="top">
      <a class="brand" href="#/">
        <Mark /> meet-trio <span class="quiet">admin</span>
      </a>
      <span class={`pill ${health}`} data-testid="health" data-health={health}>
        {HEALTH[health] ?? (silent ? "No answer" : "…")}
      </span>
      <span class="spring" />
      {server?.draining ? (
        <button type="button" data-testid="undrain" onClick={() => ask(undrain())}>
          Take the drain back
        </button>
      ) : (
        <button type="button" disabled={!server} data-testid="drain" onClick={() => server && ask(drain(server))}>
          Drain…
        </button>
      )}
      <button type="button" class="plain" data-testid="log-out" onClick={() => void shown.logOut()}>
        Log out
      </button>
    </header>
  );
}

function drain(server: Server): Question {
  return {
    title: "Drain the server?",
    text: (
      <p>
        No new rooms are made from now on. The {plural(server.rooms, "room")} with {plural(server.peers, "peer")} that
        there {server.rooms === 1 ? "is" : "are"} may go on. When the last one has ended, <b>the server ends</b>. You
        can take a drain back until then.
      </p>
    ),
    yes: "Drain",
    danger: true,
    act: async () => (await call<{ done: string }>("/drain", "POST", {})).done,
  };
}

function undrain(): Question {
  return {
    title: "Take the drain back?",
    text: <p>The server makes new rooms again, and goes on when the last one has ended.</p>,
    yes: "Take it back",
    act: async () => (await call<{ done: string }>("/drain", "DELETE")).done,
  };
}

/** What the operator has to know: the server does not answer, is not healthy, or drains. */
function Trouble({ shown }: { shown: Console }) {
  const { trouble, server, answeredAt, now } = shown;
  const silent = (now.value - answeredAt.value) / 1000;
  if (trouble.value) {
    const since = answeredAt.value ? ` The figures are ${age(silent)} old.` : "";
    return (
      <p class="banner poor" role="alert" data-testid="trouble">
        {trouble.value}
        {since}
      </p>
    );
  }
  if (server.value && !server.value.healthy) {
    return (
      <ul class={`banner ${healthOf(server.value) === "draining" ? "fair" : "poor"}`} role="status" data-testid="reasons">
        {server.value.reasons.map((reason) => (
          <li key={reason}>{reason.charAt(0).toUpperCase() + reason.slice(1)}</li>
        ))}
      </ul>
    );
  }
  return null;
}

function Sums({ server, shown }: { server: Server; shown: Console }) {
  const samples = shown.samples.value;
  const now = shown.answeredAt.value;
  const newest = samples.at(-1);
  const of = (name: string, value: (sample: ServerSample) => number): Line[] => [
    { name, values: samples.map((sample) => ({ at: sample.at, value: value(sample) })) },
  ];
  const busy = (sample: ServerSample): number => Math.max(0, ...sample.busy);
  const failed = server.engines.filter((engine) => engine.failed).length;
  return (
    <section class="sums" aria-label="The server">
      <Sum name="Rooms" value={String(server.rooms)} testId="sum-rooms" />
      <Sum name="Peers" value={String(server.peers)} testId="sum-peers" />
      <Sum name="In, bit/s" value={newest ? rate(newest.in) : "–"}>
        <Spark lines={of("in", (sample) => sample.in)} least={1e5} now={now} />
      </Sum>
      <Sum name="Out, bit/s" value={newest ? rate(newest.out) : "–"}>
        <Spark lines={of("out", (sample) => sample.out)} least={1e5} now={now} />
      </Sum>
      <Sum
        name={server.engines.length === 1 ? "Engine busy" : `Busiest of ${server.engines.length} engines`}
        value={failed ? `${failed} failed` : newest ? percent(busy(newest)) : "–"}
        grade={failed ? "poor" : newest && busy(newest) > 0.8 ? "fair" : ""}
      >
        <Spark lines={of("busy", busy)} least={0.2} now={now} />
      </Sum>
      <Sum name="Longest turn" value={newest ? lag(newest.lag) : "–"} />
      <Sum name="Memory" value={bytes(server.memory)} />
    </section>
  );
}

interface SumProps {
  name: string;
  value: string;
  grade?: string;
  testId?: string;
  children?: preact.ComponentChildren;
}

function Sum({ name, value, grade, testId, children }: SumProps) {
  return (
    <div class="sum">
      <span class="sum-name">{name}</span>
      <span class={`sum-value ${grade ?? ""}`} data-testid={testId}>
        {value}
      </span>
      {children}
    </div>
  );
}
