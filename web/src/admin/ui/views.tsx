// The table of rooms, and a room with its peers.
import { call } from "../calls.ts";
import type { Console } from "../console.ts";
import type { Link, PeerRow, RoomRow } from "../types.ts";
import { age, lossGrade, millis, percent, plural, rate, shortId, tripGrade } from "../words.ts";
import type { Ask } from "./App.tsx";
import { type Column, Filter, Id, type Question, RowLink, SortedTable } from "./bits.tsx";
import { Plot, Spark } from "./Plot.tsx";

interface ViewProps {
  shown: Console;
  ask: Ask;
}

const done = async (path: string, body: object = {}): Promise<string> =>
  (await call<{ done: string }>(path, "POST", body)).done;

export function closeRoom(id: string, peers: number): Question {
  return {
    title: `Close room ${shortId(id)}?`,
    text: (
      <p>
        The meeting ends for {peers === 0 ? "everybody" : `all ${plural(peers, "peer")}`}. They are told that it was
        closed. This cannot be taken back.
      </p>
    ),
    yes: "Close the room",
    danger: true,
    act: () => done(`/rooms/${encodeURIComponent(id)}/close`),
  };
}

export function kickPeer(room: string, peer: { id: string; name: string }): Question {
  return {
    title: `Kick ${peer.name || `peer ${shortId(peer.id)}`}?`,
    text: <p>The peer is removed from the meeting and told so. Kolab may invite it again.</p>,
    yes: "Kick",
    danger: true,
    field: { label: "Reason, for the peer (optional)", type: "text", maxLength: 200 },
    act: (reason) =>
      done(`/rooms/${encodeURIComponent(room)}/peers/${encodeURIComponent(peer.id)}/kick`, { reason }),
  };
}

/** The columns that rooms and peers share. */
function linkColumns<Row extends Link & { id: string }>(shown: Console): Column<Row>[] {
  const now = shown.answeredAt.value;
  const of = (id: string, key: "in" | "out" | "loss") =>
    shown.history.of(id).map((sample) => ({ at: sample.at, value: sample[key] }));
  return [
    { key: "in", title: "In", numeric: true, cell: (row) => rate(row.in) },
    { key: "out", title: "Out", numeric: true, cell: (row) => rate(row.out) },
    {
      key: "",
      title: "In and out",
      cell: ({ id }) => (
        <Spark
          lines={[
            { name: "in", values: of(id, "in") },
            { name: "out", values: of(id, "out") },
          ]}
          least={1e5}
          now={now}
        />
      ),
    },
    {
      key: "loss",
      title: "Loss",
      numeric: true,
      cell: (row) => percent(row.loss),
      class: (row) => lossGrade(row.loss),
    },
    {
      key: "rtt",
      title: "Round trip",
      numeric: true,
      cell: (row) => millis(row.rtt),
      class: (row) => tripGrade(row.rtt),
    },
  ];
}

export function RoomsView({ shown, ask }: ViewProps) {
  const table = shown.rooms.value;
  const order = shown.orders.rooms.value;
  const columns: Column<RoomRow>[] = [
    {
      key: "id",
      title: "Room",
      cell: ({ id }) => (
        <RowLink to={{ kind: "room", room: id }}>
          <Id id={id} />
        </RowLink>
      ),
    },
    {
      key: "connected",
      title: "Peers",
      numeric: true,
      cell: (row) => (
        <>
          {row.connected}
          {row.away ? <small class="fair"> +{row.away} away</small> : null}
          {row.invited ? <small class="quiet"> +{row.invited} invited</small> : null}
        </>
      ),
    },
    { key: "producers", title: "Streams", numeric: true, cell: (row) => row.producers },
    { key: "consumers", title: "Viewed", numeric: true, cell: (row) => row.consumers },
    ...linkColumns<RoomRow>(shown),
    { key: "age", title: "Age", numeric: true, cell: (row) => age(row.age) },
    {
      key: "",
      title: "Actions",
      cell: (row) => (
        <button
          type="button"
          class="small"
          aria-label={`Close room ${shortId(row.id)}`}
          onClick={() => ask(closeRoom(row.id, row.connected + row.away))}
        >
          Close…
        </button>
      ),
    },
  ];
  return (
    <section aria-labelledby="rooms-heading">
      <div class="heading">
        <h1 id="rooms-heading">Rooms</h1>
        <Filter
          value={order.find}
          what="by room, peer or name"
          onFind={(find) => shown.order("rooms", { find })}
        />
      </div>
      {table ? (
        <SortedTable
          label="Rooms"
          columns={columns}
          table={table}
          order={order}
          onOrder={(change) => shown.order("rooms", change)}
          empty="There are no rooms now."
          testId="rooms"
        />
      ) : (
        <p class="empty">Loading …</p>
      )}
    </section>
  );
}

export function RoomView({ shown, ask, id }: ViewProps & { id: string }) {
  const { room, peers } = shown;
  const order = shown.orders.peers.value;
  const columns: Column<PeerRow>[] = [
    {
      key: "name",
      title: "Peer",
      cell: (row) => (
        <RowLink to={{ kind: "peer", room: id, peer: row.id }} label={row.name || shortId(row.id)}>
          {row.name ? <b>{row.name}</b> : null} <Id id={row.id} />
        </RowLink>
      ),
    },
    {
      key: "state",
      title: "State",
      cell: (row) => <State of={row} />,
    },
    { key: "sends", title: "Sends", cell: (row) => <Sends sends={row.sends} /> },
    { key: "consumers", title: "Gets", numeric: true, cell: (row) => row.consumers },
    ...linkColumns<PeerRow>(shown),
    {
      key: "estimate",
      title: "Estimate",
      numeric: true,
      cell: (row) => (row.estimate ? rate(row.estimate) : "–"),
    },
    {
      key: "",
      title: "Actions",
      cell: (row) => (
        <button
          type="button"
          class="small"
          aria-label={`Kick ${row.name || shortId(row.id)}`}
          onClick={() => ask(kickPeer(id, row))}
        >
          Kick…
        </button>
      ),
    },
  ];
  return (
    <section aria-labelledby="room-heading">
      <p class="crumbs">
        <a href="#/">Rooms</a> /
      </p>
      <div class="heading">
        <h1 id="room-heading">
          Room <code>{shortId(id)}</code>
        </h1>
        <Filter
          value={order.find}
          what="by name or address"
          onFind={(find) => shown.order("peers", { find })}
        />
        <button
          type="button"
          class="danger"
          disabled={!peers.value || shown.gone.value !== ""}
          data-testid="close-room"
          onClick={() => ask(closeRoom(id, peers.value?.total ?? 0))}
        >
          Close the room…
        </button>
      </div>
      <p class="quiet small facts">
        <code>{id}</code>
        {room.value ? ` · for ${age(room.value.age)}` : ""}
        {room.value?.lastN != null ? ` · last-N: ${room.value.lastN} cameras` : ""}
        {peers.value ? ` · ${plural(peers.value.total, "peer")}` : ""}
      </p>
      {shown.gone.value ? <Gone why={shown.gone.value} /> : <LinkPlots shown={shown} id={id} />}
      {peers.value && !shown.gone.value ? (
        <SortedTable
          label="Peers"
          columns={columns}
          table={peers.value}
          order={order}
          onOrder={(change) => shown.order("peers", change)}
          empty="Nobody is in this room now."
          testId="peers"
        />
      ) : null}
    </section>
  );
}

export function Gone({ why }: { why: string }) {
  return (
    <p class="banner fair" role="status" data-testid="gone">
      {why.charAt(0).toUpperCase() + why.slice(1)}. <a href="#/">All rooms</a>
    </p>
  );
}

export function State({ of }: { of: PeerRow }) {
  const look = of.state === "connected" ? (of.joined ? "healthy" : "unknown") : of.state === "away" ? "fair" : "unknown";
  const text = of.state === "connected" && !of.joined ? "not joined" : of.state;
  return <span class={`pill ${look}`}>{text}</span>;
}

const SOURCES: Record<string, string> = { mic: "mic", webcam: "camera", screen: "screen" };

export function Sends({ sends }: { sends: string }) {
  if (!sends) return <span class="quiet">–</span>;
  return (
    <span class="chips">
      {sends.split(" ").map((each, index) => {
        const paused = each.endsWith("-paused");
        const source = each.replace(/-paused$/, "");
        return (
          <span key={index} class={`chip ${paused ? "off" : ""}`} title={paused ? "paused" : undefined}>
            {SOURCES[source] ?? source.replace("-", " ")}
            {paused ? " ⏸" : ""}
          </span>
        );
      })}
    </span>
  );
}

/** The plots of a room or a peer. */
export function LinkPlots({ shown, id }: { shown: Console; id: string }) {
  const samples = shown.history.of(id);
  const now = shown.answeredAt.value;
  const of = (key: "in" | "out" | "loss" | "rtt") =>
    samples.map((sample) => ({ at: sample.at, value: sample[key] }));
  return (
    <div class="plots">
      <Plot
        title="Bitrate, bit/s"
        lines={[
          { name: "in", values: of("in") },
          { name: "out", values: of("out") },
        ]}
        least={1e5}
        show={rate}
        now={now}
      />
      <Plot title="Loss" lines={[{ name: "", values: of("loss") }]} least={0.05} show={percent} now={now} />
      <Plot title="Round trip" lines={[{ name: "", values: of("rtt") }]} least={50} show={(v) => `${Math.round(v)} ms`} now={now} />
    </div>
  );
}
