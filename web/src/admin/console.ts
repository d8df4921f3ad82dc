// The state of the page: the session, what is shown, the newest answers, and the loop that asks for
// them every two seconds.
import { batch, signal } from "@preact/signals";
import { call, CallError, currentSession, logIn, logOut } from "./calls.ts";
import { hashOf, type Place, placeOf } from "./places.ts";
import { History, type ServerSample, serverSample, SPAN_MS } from "./history.ts";
import type {
  Explanation,
  Link,
  Peer,
  PeerRow,
  RoomAnswer,
  RoomRow,
  RoomsAnswer,
  Server,
  Session,
  Table,
} from "./types.ts";

export const EVERY_MS = 2000;
const EVERY_HIDDEN_MS = 10_000;
export const ROWS = 100;

export interface Order {
  find: string;
  sort: string;
  descending: boolean;
  offset: number;
}

const FIRST_ORDERS: Record<"rooms" | "peers", Order> = {
  rooms: { find: "", sort: "connected", descending: true, offset: 0 },
  peers: { find: "", sort: "name", descending: false, offset: 0 },
};

export class Console {
  /** null: not logged in; undefined: not known yet */
  readonly session = signal<Session | null | undefined>(undefined);
  /** why there is no session any more */
  readonly notice = signal("");
  readonly place = signal<Place>(placeOf(location.hash));
  readonly orders = { rooms: signal(FIRST_ORDERS.rooms), peers: signal(FIRST_ORDERS.peers) };

  readonly server = signal<Server | null>(null);
  readonly rooms = signal<Table<RoomRow> | null>(null);
  readonly room = signal<RoomAnswer["room"] | null>(null);
  readonly peers = signal<Table<PeerRow> | null>(null);
  readonly peer = signal<Peer | null>(null);
  /** the consumer or peer that is explained, and its explanation */
  readonly explained = signal<{ id: string; text: Explanation | null } | null>(null);
  /** what is shown has ended */
  readonly gone = signal("");
  /** when the server answered last, and what was wrong since */
  readonly answeredAt = signal(0);
  readonly trouble = signal("");
  readonly now = signal(Date.now());

  readonly history = new History();
  readonly samples = signal<readonly ServerSample[]>([]);

  #last: { server: Server; at: number } | null = null;
  #timer = 0;
  #round = 0;

  start(): void {
    addEventListener("hashchange", () => this.#moved());
    document.addEventListener("visibilitychange", () => this.refresh());
    setInterval(() => (this.now.value = Date.now()), 1000);
    void this.#begin();
  }

  async #begin(): Promise<void> {
    try {
      this.session.value = await currentSession();
      this.refresh();
    } catch (error) {
      const { status } = error as CallError;
      if (status === 401) this.session.value = null;
      else {
        this.trouble.value = (error as Error).message;
        setTimeout(() => void this.#begin(), EVERY_MS);
      }
    }
  }

  async logIn(token: string): Promise<void> {
    this.session.value = await logIn(token);
    this.notice.value = "";
    this.refresh();
  }

  async logOut(): Promise<void> {
    try {
      await logOut();
    } finally {
      this.#ended("You have logged out.");
    }
  }

  goTo(place: Place): void {
    location.hash = hashOf(place);
  }

  order(table: "rooms" | "peers", change: Partial<Order>): void {
    this.orders[table].value = { ...this.orders[table].value, offset: 0, ...change };
    this.refresh();
  }

  explain(id: string | null): void {
    this.explained.value = id === null ? null : { id, text: null };
    this.refresh();
  }

  /** Asks now, and then again and again. */
  refresh(): void {
    clearTimeout(this.#timer);
    const round = ++this.#round;
    void this.#ask(round).finally(() => {
      if (round !== this.#round || !this.session.value) return;
      this.#timer = window.setTimeout(() => this.refresh(), document.hidden ? EVERY_HIDDEN_MS : EVERY_MS);
    });
  }

  async #ask(round: number): Promise<void> {
    if (!this.session.value) return;
    try {
      await this.#read(() => round === this.#round);
      if (round !== this.#round) return;
      batch(() => {
        this.answeredAt.value = this.now.value = Date.now();
        this.trouble.value = "";
      });
    } catch (error) {
      if (round !== this.#round) return;
      const { status, message } = error as CallError;
      if (status === 401) this.#ended("Your session has ended. Please log in again.");
      else if (status === 404) await this.#findGone(message, round);
      else this.trouble.value = message;
    }
  }

  async #read(stillWanted: () => boolean): Promise<void> {
    const place = this.place.value;
    const explained = this.explained.value;
    if (place.kind === "rooms") {
      const answer = await call<RoomsAnswer>(`/rooms${query(this.orders.rooms.value)}`);
      if (!stillWanted()) return;
      batch(() => {
        this.#hear(answer.server);
        this.rooms.value = answer.rooms;
        this.#keep(answer.rooms.rows);
      });
      return;
    }
    const room = `/rooms/${encodeURIComponent(place.room)}`;
    const [answer, peer, text] = await Promise.all([
      call<RoomAnswer>(`${room}${query(this.orders.peers.value)}`),
      place.kind === "peer" ? call<Peer>(`${room}/peers/${encodeURIComponent(place.peer)}`) : null,
      explained ? this.#explanation(room, explained.id) : null,
    ]);
    if (!stillWanted()) return;
    batch(() => {
      this.gone.value = "";
      this.#hear(answer.server);
      this.room.value = answer.room;
      this.peers.value = answer.peers;
      this.peer.value = peer;
      const rows = answer.peers.rows.filter((row) => row.id !== peer?.id);
      this.#keep([answer.room, ...rows, ...(peer ? [peer] : [])]);
      if (explained && explained.id === this.explained.value?.id) {
        this.explained.value = { id: explained.id, text };
      }
    });
  }

  /** What is shown has ended. The server goes on. */
  async #findGone(why: string, round: number): Promise<void> {
    this.gone.value = why;
    try {
      const { server } = await call<RoomsAnswer>("/rooms?limit=1");
      if (round !== this.#round) return;
      batch(() => {
        this.#hear(server);
        this.answeredAt.value = this.now.value = Date.now();
        this.trouble.value = "";
      });
    } catch (error) {
      this.trouble.value = (error as Error).message;
    }
  }

  async #explanation(room: string, id: string): Promise<Explanation> {
    try {
      return await call<Explanation>(`${room}/explain/${encodeURIComponent(id)}`);
    } catch (error) {
      if ((error as CallError).status !== 404) throw error;
      return { sentences: ["It has ended."], reason: null };
    }
  }

  #hear(server: Server): void {
    const at = Date.now();
    const last = this.#last;
    this.server.value = server;
    if (last && at - last.at < EVERY_MS / 4) return; // too short for a rate
    if (last) {
      const sample = serverSample(last.server, server, at - last.at, at);
      this.samples.value = [...this.samples.value.filter((s) => s.at > at - SPAN_MS), sample];
    }
    this.#last = { server, at };
  }

  #keep(rows: readonly (Link & { id: string })[]): void {
    const at = Date.now();
    for (const row of rows) this.history.add(row.id, row, at);
    this.history.forget(at);
  }

  #moved(): void {
    const before = this.place.value;
    const place = placeOf(location.hash);
    batch(() => {
      this.place.value = place;
      this.gone.value = "";
      this.explained.value = null;
      this.peer.value = null;
      if (place.kind === "rooms" || before.kind === "rooms" || place.room !== before.room) {
        this.room.value = this.peers.value = null;
        this.orders.peers.value = FIRST_ORDERS.peers;
      }
    });
    this.refresh();
  }

  #ended(why: string): void {
    batch(() => {
      this.session.value = null;
      this.notice.value = why;
      this.#last = this.server.value = this.rooms.value = this.room.value = null;
      this.peers.value = this.peer.value = this.explained.value = null;
      this.samples.value = [];
    });
  }
}

function query({ find, sort, descending, offset }: Order): string {
  const parts = new URLSearchParams({ sort: `${descending ? "-" : ""}${sort}`, limit: String(ROWS) });
  if (find) parts.set("find", find);
  if (offset) parts.set("offset", String(offset));
  return `?${parts}`;
}
