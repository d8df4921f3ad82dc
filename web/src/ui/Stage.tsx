// The tiles of all peers, in the layout that the user has chosen. If a peer shares a screen or a tile
// is pinned, that tile is large in every layout.
import { useEffect, useRef, useState } from "preact/hooks";
import { arrange, type Box, speakersFirst } from "../layout.ts";
import type { Meeting } from "../meeting.ts";
import type { RemoteStream } from "../media-session.ts";
import { nameOf } from "../protocol.ts";
import type { Grade } from "../quality.ts";
import { Priority } from "../wishes.ts";
import { type Words, words } from "../words/words.ts";
import { Avatar, gradeWords, Signal, Video } from "./bits.tsx";
import { Icon } from "./icons.tsx";
import type { View } from "./view.ts";

const GAP = 10;

interface TileModel {
  key: string;
  peerId: string;
  name: string;
  self: boolean;
  screen: boolean;
  track: MediaStreamTrack | null;
  streamId: string | null;
  muted: boolean;
  hand: boolean;
}

export function tiles(meeting: Meeting, w: Words): TileModel[] {
  const all = [...meeting.streams.value.values()];
  const out: TileModel[] = [];
  const of = (peerId: string, match: (stream: RemoteStream) => boolean): RemoteStream | undefined =>
    all.find((stream) => stream.peerId === peerId && !stream.paused && match(stream));
  for (const peer of meeting.peers.value.values()) {
    const cam = of(peer.id, (stream) => stream.kind === "video" && stream.source !== "screen");
    const screen = of(peer.id, (stream) => stream.kind === "video" && stream.source === "screen");
    const mic = of(peer.id, (stream) => stream.kind === "audio" && stream.source !== "screen");
    const base = { peerId: peer.id, name: nameOf(peer, w.guest), self: false, hand: peer.raisedHand };
    out.push({
      ...base,
      key: `tile-${peer.id}`,
      screen: false,
      track: cam?.track ?? null,
      streamId: cam?.id ?? null,
      muted: !mic,
    });
    if (screen) {
      out.push({
        ...base,
        key: `tile-screen-${peer.id}`,
        screen: true,
        track: screen.track,
        streamId: screen.id,
        muted: false,
        hand: false,
        });
    }
  }
  const me = meeting.me.value;
  const own = { peerId: me?.id ?? "me", name: nameOf(me, w.guest), self: true, streamId: null };
  out.push({
    ...own,
    key: `tile-${own.peerId}`,
    screen: false,
    track: meeting.local.camOn.value ? meeting.local.camTrack.value : null,
    muted: !meeting.local.micOn.value,
    hand: me?.raisedHand ?? false,
  });
  const shared = meeting.sending.screen.value?.getVideoTracks()[0];
  if (shared) {
    out.push({
      ...own,
      key: `tile-screen-${own.peerId}`,
      screen: true,
      track: shared,
      muted: false,
      hand: false,
    });
  }
  return out;
}

/** The tile that is large: the pinned one, a screen, or in some layouts who speaks. */
function largeOf(all: readonly TileModel[], meeting: Meeting, view: View): TileModel | undefined {
  const asked =
    all.find((tile) => tile.key === view.pinned.value) ?? all.find((tile) => tile.screen && !tile.self);
  if (asked || view.layout.value === "grid") return asked;
  const others = all.filter((tile) => !tile.self);
  const [latest] = speakersFirst(others, meeting.latestSpeakers.value);
  return latest ?? all[0];
}

/** The tile that a window for one shows. */
export function mainTile(meeting: Meeting, view: View): TileModel | undefined {
  const all = tiles(meeting, words.value);
  const others = speakersFirst(
    all.filter((tile) => !tile.self),
    meeting.latestSpeakers.value,
  );
  return largeOf(all, meeting, view) ?? others[0] ?? all[0];
}

export function Stage({ meeting, view }: { meeting: Meeting; view: View }) {
  const w = words.value;
  const unordered = tiles(meeting, w);
  const large = largeOf(unordered, meeting, view);
  // A strip, and a meeting in which only speakers are seen, have no room for everybody. A grid of
  // all peers keeps its order: tiles that change places are hard to follow.
  const all =
    large || meeting.forwarded.value
      ? speakersFirst(unordered, meeting.latestSpeakers.value)
      : unordered;
  const alone = meeting.peers.value.size === 0;
  const ref = useRef<HTMLUListElement>(null);
  const [box, setBox] = useState({ width: 0, height: 0 });

  useEffect(() => {
    const list = ref.current;
    if (!list) return undefined;
    const observer = new ResizeObserver(() => {
      setBox({ width: list.clientWidth, height: list.clientHeight });
    });
    observer.observe(list);
    return () => observer.disconnect();
  }, []);

  const boxes = arrange(
    view.layout.value,
    all.length,
    large ? all.indexOf(large) : null,
    box.width,
    box.height,
    GAP,
  );
  const hidden = boxes.filter((one) => one === null).length;
  return (
    <main class="stage" aria-label={w.participants} data-layout={large ? view.layout.value : "grid"}>
      <ul class="tiles" ref={ref}>
        {all.map((tile, index) => (
          <Tile
            key={tile.key}
            tile={tile}
            box={boxes[index] ?? null}
            large={tile === large}
            meeting={meeting}
            view={view}
          />
        ))}
      </ul>
      {hidden > 0 ? <p class="hidden-tiles">{w.more(hidden)}</p> : null}
      {alone ? <p class="alone">{w.alone}</p> : null}
    </main>
  );
}

interface TileProps {
  tile: TileModel;
  /** null: there is no room for it */
  box: Box | null;
  large: boolean;
  meeting: Meeting;
  view: View;
}

/** How good the connection to that person is, or one's own; null if nothing is sent. */
function gradeOfTile(tile: TileModel, meeting: Meeting): Grade | null {
  if (tile.screen) return null;
  if (!tile.self) return meeting.watch.grades.value.get(tile.peerId) ?? null;
  return meeting.watch.samples.value.length > 0 ? meeting.watch.own.value : null;
}

const placed = ({ x, y, width, height }: Box) => ({
  left: `${x}px`,
  top: `${y}px`,
  width: `${width}px`,
  height: `${height}px`,
});
// of no size: its smallest layer is asked for
const NOWHERE = { left: "0", top: "0", width: "0", height: "0", visibility: "hidden" };

function Tile({ tile, box, large, meeting, view }: TileProps) {
  const speaking = !tile.screen && meeting.speaking.value.has(tile.peerId) && !tile.muted;
  const active = !tile.screen && meeting.activeSpeaker.value === tile.peerId && !tile.self;
  const pinned = view.pinned.value === tile.key;
  const grade = gradeOfTile(tile, meeting);
  const ref = useRef<HTMLLIElement>(null);
  const { streamId } = tile;
  let priority: number = active ? Priority.speaker : Priority.other;
  if (tile.screen) priority = Priority.screen;
  if (large) priority = Priority.large;

  useEffect(() => {
    const item = ref.current;
    if (!item || streamId === null) return undefined;
    const show = (): void => {
      // a video covers its tile
      const width = Math.max(item.clientWidth, (item.clientHeight * 16) / 9);
      meeting.session?.show(streamId, width * devicePixelRatio, priority);
    };
    const observer = new ResizeObserver(show); // calls at once, too
    observer.observe(item);
    return () => observer.disconnect();
  }, [streamId, priority]);

  const w = words.value;
  const who = tile.self ? w.you : tile.name;
  const label = tile.screen ? (tile.self ? w.yourScreen : w.screenOf(tile.name)) : who;
  const state = [
    label,
    tile.screen ? "" : tile.muted ? w.stateMuted : w.stateMicOn,
    tile.screen ? "" : tile.track ? w.stateCamOn : w.stateCamOff,
    tile.hand ? w.stateHand : "",
    grade ? gradeWords(grade) : "",
  ];
  const classes = ["tile"];
  if (speaking) classes.push("speaking");
  if (active) classes.push("active");
  if (large) classes.push("large");
  if (tile.screen) classes.push("screen");
  if (tile.self) classes.push("self");

  return (
    <li
      ref={ref}
      class={classes.join(" ")}
      style={box ? placed(box) : NOWHERE}
      data-testid={tile.key}
      data-speaking={speaking}
      data-active={active}
      data-muted={tile.muted}
      data-grade={grade ?? ""}
      data-video={tile.track !== null}
      aria-label={state.filter(Boolean).join(", ")}
    >
      {tile.track ? (
        <Video
          track={tile.track}
          mirror={tile.self && !tile.screen}
          whole={tile.screen}
          onPicture={() => {
            if (tile.streamId) meeting.session?.firstFrame(tile.streamId);
          }}
        />
      ) : (
        <Avatar id={tile.peerId} name={tile.name} />
      )}
      <div class="tile-top">
        {tile.hand ? (
          <span class="chip hand">
            <Icon name="hand" />
            <b>{meeting.hands.value.indexOf(tile.peerId) + 1}</b>
          </span>
        ) : null}
      </div>
      <div class="tile-foot" aria-hidden="true">
        {tile.muted ? (
          <span class="muted">
            <Icon name="mic-off" />
          </span>
        ) : null}
        <span class="tile-name">{label}</span>
        {grade ? <Signal grade={grade} /> : null}
      </div>
      <button
        type="button"
        class={`pin ${pinned ? "pinned" : ""}`}
        aria-pressed={pinned}
        aria-label={w.showNamedLarge(label)}
        title={pinned ? w.unpin : w.showLarge}
        onClick={() => {
          view.pinned.value = pinned ? null : tile.key;
          void meeting.pin(pinned || tile.self || tile.screen ? [] : [tile.peerId]);
        }}
      >
        <Icon name="pin" />
      </button>
    </li>
  );
}
