// One peer: its links, what it sends, what it gets and why, in which layers.
import { CallError, send } from "../calls.ts";
import type { Console } from "../console.ts";
import type { Place } from "../places.ts";
import type { Consumer, Layer, Peer, Producer, Transport } from "../types.ts";
import { age, bytes, lossGrade, millis, percent, plural, rate, shortId, tripGrade } from "../words.ts";
import type { Ask } from "./App.tsx";
import { Id, type Question } from "./bits.tsx";
import { Gone, kickPeer, LinkPlots, State } from "./views.tsx";

interface PeerViewProps {
  shown: Console;
  ask: Ask;
  place: Extract<Place, { kind: "peer" }>;
}

export function PeerView({ shown, ask, place }: PeerViewProps) {
  const peer = shown.peer.value;
  const mayTrace = shown.session.value?.trace === true;
  return (
    <section aria-labelledby="peer-heading">
      <p class="crumbs">
        <a href="#/">Rooms</a> / <a href={`#/rooms/${encodeURIComponent(place.room)}`}>Room {shortId(place.room)}</a> /
      </p>
      <div class="heading">
        <h1 id="peer-heading">{peer?.name ? peer.name : <>Peer {shortId(place.peer)}</>}</h1>
        <span class="spring" />
        <ExplainButton shown={shown} id={place.peer} what="this peer" />
        <button
          type="button"
          class="danger"
          disabled={!peer || shown.gone.value !== ""}
          data-testid="kick"
          onClick={() => peer && ask(kickPeer(place.room, peer))}
        >
          Kick…
        </button>
      </div>
      <p class="quiet small facts">
        <code>{place.peer}</code>
        {peer ? ` · ${peer.role.replaceAll("+", ", ") || "no role"} · for ${age(peer.age)}` : ""}
        {peer?.address ? ` · from ${peer.address} ` : " "}
        {peer ? <State of={peer} /> : null}
      </p>
      {shown.gone.value ? <Gone why={shown.gone.value} /> : null}
      {peer && !shown.gone.value ? (
        <>
          <Explained shown={shown} id={peer.id} />
          <LinkPlots shown={shown} id={peer.id} />
          <Transports room={place.room} peer={peer} ask={ask} mayTrace={mayTrace} />
          <Sent producers={peer.producers} />
          <Watched shown={shown} peer={peer} />
        </>
      ) : null}
    </section>
  );
}

function ExplainButton({ shown, id, what }: { shown: Console; id: string; what: string }) {
  const open = shown.explained.value?.id === id;
  return (
    <button
      type="button"
      class="small"
      aria-expanded={open}
      aria-label={`Explain ${what}`}
      data-testid={`explain-${id}`}
      onClick={() => shown.explain(open ? null : id)}
    >
      {open ? "Hide why" : "Why?"}
    </button>
  );
}

function Explained({ shown, id }: { shown: Console; id: string }) {
  const explained = shown.explained.value;
  if (explained?.id !== id) return null;
  const names = namesOf(shown);
  return (
    <div class="explained card" role="region" aria-label="Explanation" data-testid="explanation">
      {explained.text ? (
        <ul>
          {explained.text.sentences.map((text, index) => (
            <li key={index}>{named(text, names)}</li>
          ))}
        </ul>
      ) : (
        <p class="quiet">…</p>
      )}
    </div>
  );
}

/** The names of the peers that the page knows, by their ids. */
function namesOf(shown: Console): Map<string, string> {
  const peer = shown.peer.value;
  const known = [
    ...(shown.peers.value?.rows ?? []).map((row) => [row.id, row.name] as const),
    ...(peer?.watched ?? []).map((each) => [each.publisher, each.publisherName] as const),
    ...(peer ? [[peer.id, peer.name] as const] : []),
  ];
  return new Map(known.filter(([, name]) => name));
}

/** A sentence of the server with names in place of the ids of peers. */
function named(text: string, names: ReadonlyMap<string, string>): string {
  return text.replace(/\bpeer ([0-9a-f-]{36})/gi, (whole, id: string) => {
    const name = names.get(id);
    return name ? `${name} (${shortId(id)})` : whole;
  });
}

interface TransportsProps {
  room: string;
  peer: Peer;
  ask: Ask;
  mayTrace: boolean;
}

function Transports({ room, peer, ask, mayTrace }: TransportsProps) {
  return (
    <>
      <h2>Transports</h2>
      <div class="table-frame">
        <table data-testid="transports">
          <thead>
            <tr>
              <th scope="col">Transport</th>
              <th scope="col">State</th>
              <th scope="col">Path</th>
              <th scope="col" class="numeric">In</th>
              <th scope="col" class="numeric">Out</th>
              <th scope="col" class="numeric">Estimate</th>
              <th scope="col" class="numeric">Wanted</th>
              <th scope="col" class="numeric">Loss</th>
              <th scope="col" class="numeric">Round trip</th>
              <th scope="col"><span class="unseen">Actions</span></th>
            </tr>
          </thead>
          <tbody>
            {peer.transports.map((each) => (
              <tr key={each.id}>
                <td data-label="Transport">
                  {each.direction} <Id id={each.id} />
                </td>
                <td data-label="State">
                  <span class={`pill ${each.state === "connected" ? "healthy" : "unknown"}`}>{each.state}</span>
                </td>
                <td data-label="Path">
                  {each.protocol ? `${each.protocol.toUpperCase()} ${each.address}` : <span class="quiet">none</span>}
                  {each.type === "plain" ? " (plain RTP)" : ""}
                </td>
                <td data-label="In" class="numeric">{rate(each.in)}</td>
                <td data-label="Out" class="numeric">{rate(each.out)}</td>
                <td data-label="Estimate" class="numeric">{each.estimate ? rate(each.estimate) : "–"}</td>
                <td data-label="Wanted" class="numeric">{each.wanted ? rate(each.wanted) : "–"}</td>
                <td data-label="Loss" class={`numeric ${lossGrade(each.loss)}`}>{percent(each.loss)}</td>
                <td data-label="Round trip" class={`numeric ${tripGrade(each.rtt)}`}>{millis(each.rtt)}</td>
                <td data-label="Actions">
                  <button
                    type="button"
                    class="small"
                    disabled={!mayTrace || each.traced}
                    title={mayTrace ? undefined : "Traces are switched off (admin.trace)"}
                    aria-label={`Trace transport ${shortId(each.id)}`}
                    onClick={() => ask(traceOf(room, peer, each))}
                  >
                    {each.traced ? "Traced" : "Trace…"}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        {peer.transports.length === 0 ? <p class="empty">It has no transport.</p> : null}
      </div>
    </>
  );
}

const TRACE = { least: 1, most: 60, bytes: 32 * 1024 * 1024 };

function traceOf(room: string, peer: Peer, transport: Transport): Question {
  return {
    title: `Trace what ${peer.name || "the peer"} ${transport.direction}?`,
    text: (
      <p>
        The file has <b>what its client says, shows, hears and sees</b>, in clear. The people in the room are not told;
        the law may require that they are asked before. The log of the server says who made it. At most{" "}
        {bytes(TRACE.bytes)}, for Wireshark.
      </p>
    ),
    yes: "Trace",
    danger: true,
    field: { label: "Seconds", type: "number", value: "10", min: TRACE.least, max: TRACE.most },
    act: async (value) => {
      const path = `/rooms/${encodeURIComponent(room)}/peers/${encodeURIComponent(peer.id)}/transports/${encodeURIComponent(transport.id)}/trace`;
      const seconds = Number(value);
      // a trace may end a little later than its time
      const signal = AbortSignal.timeout(1000 * (seconds + 15));
      const response = await send(path, "POST", { seconds, bytes: TRACE.bytes }, signal);
      let file: Blob;
      try {
        file = await response.blob();
      } catch {
        throw new CallError(0, "The trace was cut: the server has ended it, or does not answer.");
      }
      save(file, `trace-${shortId(transport.id)}.pcapng`);
      return `A trace of ${bytes(file.size)} was saved.`;
    },
  };
}

function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function Sent({ producers }: { producers: readonly Producer[] }) {
  return (
    <>
      <h2>Sends {plural(producers.length, "stream")}</h2>
      {producers.length === 0 ? null : (
        <div class="table-frame">
          <table data-testid="producers">
            <thead>
              <tr>
                <th scope="col">Stream</th>
                <th scope="col">Layers, the lowest first</th>
                <th scope="col" class="numeric">Viewers</th>
              </tr>
            </thead>
            <tbody>
              {producers.map((each) => (
                <tr key={each.id}>
                  <td data-label="Stream">
                    {sourceOf(each)} <Id id={each.id} /> {each.paused ? <span class="pill unknown">paused</span> : null}
                  </td>
                  <td data-label="Layers">
                    <span class="chips">
                      {each.layers.map((layer, index) => (
                        <SentLayer key={index} layer={layer} />
                      ))}
                    </span>
                  </td>
                  <td data-label="Viewers" class="numeric">{each.viewers}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function SentLayer({ layer }: { layer: Layer }) {
  if (!layer.active) return <span class="chip off">off</span>;
  const size = layer.width ? `${layer.width}×${layer.height} · ` : "";
  const bad = layer.score < 4 ? "poor" : layer.score < 7 ? "fair" : "";
  return (
    <span class="chip">
      {size}
      {rate(layer.bitrate)} · <span class={bad}>score {layer.score}</span>
    </span>
  );
}

const sourceOf = ({ source, kind }: { source: string; kind: string }): string =>
  ({ mic: "microphone", webcam: "camera" })[source] ?? (kind === "audio" ? `${source} sound` : source);

function Watched({ shown, peer }: { shown: Console; peer: Peer }) {
  const more = peer.consumers - peer.watched.length;
  return (
    <>
      <h2>Gets {plural(peer.consumers, "stream")}</h2>
      {peer.watched.length === 0 ? null : (
        <div class="table-frame">
          <table data-testid="consumers">
            <thead>
              <tr>
                <th scope="col">Of</th>
                <th scope="col">Stream</th>
                <th scope="col">Layer</th>
                <th scope="col">Why</th>
                <th scope="col" class="numeric">Bitrate</th>
                <th scope="col" class="numeric">Loss</th>
                <th scope="col" class="numeric">Score</th>
                <th scope="col" class="numeric">Freezes</th>
                <th scope="col"><span class="unseen">Actions</span></th>
              </tr>
            </thead>
            <tbody>
              {peer.watched.map((each) => (
                <ConsumerRow key={each.id} shown={shown} consumer={each} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {more > 0 ? <p class="quiet">{plural(more, "more stream")}.</p> : null}
    </>
  );
}

function ConsumerRow({ shown, consumer }: { shown: Console; consumer: Consumer }) {
  const open = shown.explained.value?.id === consumer.id;
  const who = consumer.publisherName || shortId(consumer.publisher);
  return (
    <>
      <tr>
        <td data-label="Of">{who}</td>
        <td data-label="Stream">
          {sourceOf(consumer)} <Id id={consumer.id} />
        </td>
        <td data-label="Layer">
          <Layers of={consumer} />
        </td>
        <td data-label="Why" class={consumer.trouble ? "fair" : "quiet"}>
          {consumer.reason}
        </td>
        <td data-label="Bitrate" class="numeric">{rate(consumer.bitrate)}</td>
        <td data-label="Loss" class={`numeric ${lossGrade(consumer.loss)}`}>{percent(consumer.loss)}</td>
        <td data-label="Score" class="numeric">{consumer.score ?? "–"}</td>
        <td data-label="Freezes" class="numeric">{consumer.freezes}</td>
        <td data-label="Actions">
          <ExplainButton shown={shown} id={consumer.id} what={`${sourceOf(consumer)} of ${who}`} />
        </td>
      </tr>
      {open ? (
        <tr class="why-row">
          <td colSpan={9}>
            <Explained shown={shown} id={consumer.id} />
          </td>
        </tr>
      ) : null}
    </>
  );
}

/** One bar for each layer of the publisher; those up to the one that is sent are lit. */
function Layers({ of }: { of: Consumer }) {
  if (of.kind === "audio") return <span class="quiet">–</span>;
  const sent = of.spatial;
  // layers of one encoding (SVC) are not among the publisher's encodings
  const count = Math.max(1, of.layers, (sent ?? 0) + 1);
  const words =
    sent === null ? "none" : `${sent + 1} of ${count}${of.temporal ? `, temporal ${of.temporal}` : ""}`;
  const waits = of.target !== null && of.target !== sent ? ` → ${of.target + 1}` : "";
  return (
    <span class="layers">
      <svg viewBox={`0 0 ${7 * count} 14`} class="bars" aria-hidden="true" focusable="false">
        {Array.from({ length: count }, (_, index) => {
          const height = 5 + (9 * (index + 1)) / count;
          const lit = sent !== null && index <= sent;
          return <rect key={index} class={lit ? "on" : "off"} x={7 * index} y={14 - height} width="5" height={height} rx="1" />;
        })}
      </svg>
      {words}
      {waits}
    </span>
  );
}
