// Chooses the screen. The address of the page says whether it is the start screen or a room. In a
// room the screens are lobby → meeting → over, and then the lobby or a meeting again.
import { type Signal, signal } from "@preact/signals";
import { connection, makeRoom } from "../demo.ts";
import { LocalMedia } from "../local-media.ts";
import { Meeting } from "../meeting.ts";
import { type PageOptions, type Place, placeOf } from "../options.ts";
import { recall, remember } from "../prefs.ts";
import { parseToken } from "../protocol.ts";
import { SelfCall } from "../self-call.ts";
import { words } from "../words/words.ts";
import { Heading } from "./bits.tsx";
import { Mark } from "./icons.tsx";
import { Lobby } from "./Lobby.tsx";
import { Over } from "./Over.tsx";
import { Room } from "./Room.tsx";
import { Start } from "./Start.tsx";

export class Page {
  readonly place: Signal<Place>;
  readonly local = signal<LocalMedia | null>(null);
  readonly meeting = signal<Meeting | null>(null);
  readonly #options: PageOptions;

  constructor(options: PageOptions) {
    this.#options = options;
    this.place = signal(placeOf(location.pathname, location.hash));
    addEventListener("popstate", () => this.#moved());
    addEventListener("pageshow", (event) => {
      // the page comes from the browser's cache: it left the meeting when it was hidden
      if (event.persisted) location.reload();
    });
    this.#arrive();
    if (options.autojoin && this.place.value.kind !== "start") void this.join(this.name);
  }

  get name(): string {
    return this.#options.name ?? recall("name");
  }

  goTo(path: string): void {
    history.pushState(null, "", path);
    this.#moved();
  }

  async join(name: string): Promise<void> {
    const place = this.place.value;
    const local = this.local.value;
    if (place.kind === "start" || !local) return;
    if (name && this.#options.name === null) remember("name", name);
    const meeting = new Meeting({
      ...this.#options,
      name: name || words.value.guest,
      local,
      connect: () => tokenFor(place),
      canRejoin: place.kind === "room",
    });
    this.meeting.value = meeting;
    await meeting.start();
  }

  /** A call to oneself, in a room of its own. */
  selfCall(local: LocalMedia): SelfCall {
    return new SelfCall(local, this.#options, async () => {
      const roomId = await makeRoom();
      return [await roomToken(roomId), await roomToken(roomId)];
    });
  }

  async rejoin(): Promise<void> {
    const before = this.local.value;
    this.#arrive();
    if (this.local.value && before) {
      this.local.value.micOn.value = before.micOn.value;
      this.local.value.camOn.value = before.camOn.value;
    }
    await this.join(this.name);
  }

  #moved(): void {
    this.place.value = placeOf(location.pathname, location.hash);
    this.#arrive();
  }

  #arrive(): void {
    this.meeting.value?.dispose();
    this.meeting.value = null;
    this.local.value?.close();
    this.local.value = null;
    if (this.place.value.kind === "start") return;
    const local = new LocalMedia();
    local.micOn.value = this.#options.audio;
    local.camOn.value = this.#options.video;
    this.local.value = local;
  }
}

async function tokenFor(place: Place): Promise<string> {
  if (place.kind === "token") return place.token;
  if (place.kind === "start") throw new Error("no room");
  return roomToken(place.roomId);
}

async function roomToken(roomId: string): Promise<string> {
  const token = await connection(roomId);
  // The demo's server is the host of this page. The token may have another name of it.
  const url = parseToken(token);
  if (!url) return token;
  const query = new URLSearchParams({
    peerId: url.peerId,
    roomId: url.roomId,
    authToken: url.authToken,
  });
  return `${location.protocol.replace("http", "ws")}//${location.host}/?${query}`;
}

export function App({ page }: { page: Page }) {
  const place = page.place.value;
  const meeting = page.meeting.value;
  const local = page.local.value;
  const inDemo = place.kind !== "token";
  const toStart = inDemo ? () => page.goTo("/") : null;
  if (place.kind === "start") {
    return <Start onRoom={(roomId) => page.goTo(`/room/${roomId}`)} />;
  }
  if (!meeting) {
    if (!local) return null;
    return (
      <Lobby
        key={place.kind === "room" ? place.roomId : "token"}
        local={local}
        name={page.name}
        onJoin={(name) => void page.join(name)}
        selfCall={inDemo ? () => page.selfCall(local) : null}
        onBack={toStart}
      />
    );
  }
  const ending = meeting.ending.value;
  if (ending) {
    return (
      <Over
        why={ending.why}
        reason={ending.say(words.value)}
        onRejoin={inDemo ? () => void page.rejoin() : null}
        onStart={toStart}
      />
    );
  }
  if (meeting.phase.value === "connecting") {
    return (
      <main class="over">
        <Mark />
        <Heading>{words.value.joining}</Heading>
        <span class="spinner" aria-hidden="true" />
      </main>
    );
  }
  const link = place.kind === "room" ? `${location.origin}/room/${place.roomId}` : null;
  return <Room meeting={meeting} link={link} />;
}
