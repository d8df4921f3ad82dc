// One meeting of this browser, from the first connection to its end. The signals hold the state
// that the page shows. The methods are the actions of the user.
//
//   connecting → live ⇄ reconnecting → over
//
// If the signaling connection is lost, socket.io reconnects, and the server sends `roomBack`. Media
// goes on meanwhile. If the server has removed this peer, the meeting is joined again with a new
// token from `connect`. Outside demo mode there is no new token, and the meeting is over.
import { batch, computed, effect, signal } from "@preact/signals";
import { channelsOf } from "./channels.ts";
import type { LocalMedia } from "./local-media.ts";
import { MediaSession, type MediaOptions, type RemoteStream } from "./media-session.ts";
import {
  type ForwardedPeers,
  has,
  type JoinReply,
  type JoinRequest,
  nameOf,
  type NewConsumer,
  type Notice,
  parseToken,
  type PeerInfo,
  Role,
  type SpeakersReply,
} from "./protocol.ts";
import { Sending } from "./sending.ts";
import { Signaling, TimedOut } from "./signaling.ts";
import { Speakers } from "./speakers.ts";
import { Watch } from "./watch.ts";
import { Plain, reasonOf, type Say, words } from "./words/words.ts";

const MAX_REQUESTS = 50; // to come in; the oldest are forgotten
const LEVELS_EVERY_MS = 150;
const READY_WITHIN_MS = 12_000;
const REJOIN_WAITS_MS = [0, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000];

const RANK = { media: 0, signaling: 1, rejoin: 2 } as const;

export type Phase = "connecting" | "live" | "reconnecting" | "over";
export type Ending = "left" | "kicked" | "ended" | "lost" | "failed";

/** What is being mended, and since when (ms of the page's clock). */
export interface Trouble {
  kind: "signaling" | "media" | "rejoin";
  since: number;
  /** of `rejoin`: 1 … attempts */
  attempt: number;
}

export const REJOIN_ATTEMPTS = REJOIN_WAITS_MS.length;

export interface ChatMessage {
  id: number;
  peerId: string;
  name: string;
  text: string;
  time: number;
  own: boolean;
}

export interface Toast {
  id: number;
  text: string;
  urgent: boolean;
}

export interface MeetingOptions extends MediaOptions {
  name: string;
  local: LocalMedia;
  /** gets a token URL, a new one for each join */
  connect: () => Promise<string>;
  canRejoin: boolean;
}

export class Meeting {
  readonly phase = signal<Phase>("connecting");
  readonly ending = signal<{ why: Ending; say: Say } | null>(null);
  readonly me = signal<PeerInfo | null>(null);
  readonly peers = signal<ReadonlyMap<string, PeerInfo>>(new Map());
  readonly streams = signal<ReadonlyMap<string, RemoteStream>>(new Map());
  readonly chat = signal<readonly ChatMessage[]>([]);
  readonly toasts = signal<readonly Toast[]>([]);
  readonly speaking = signal<ReadonlySet<string>>(new Set());
  readonly activeSpeaker = signal<string | null>(null);
  /** peers that were the active speaker, the newest first */
  readonly latestSpeakers = signal<readonly string[]>([]);
  /** whose cameras the server sends; null: all, or the server does not say */
  readonly forwarded = signal<ReadonlySet<string> | null>(null);
  /** null: all is well */
  readonly trouble = signal<Trouble | null>(null);
  /** who waits outside, for moderators */
  readonly requests = signal<readonly JoinRequest[]>([]);
  /** who has raised a hand, the first one first */
  readonly hands = signal<readonly string[]>([]);
  /** the languages that somebody interprets into */
  readonly channels = computed(() => channelsOf(this.peers.value.values()));
  /** the language that the user listens to; null: the original */
  readonly channel = signal<string | null>(null);
  readonly watch = new Watch();
  readonly local: LocalMedia;
  readonly sending: Sending;

  readonly #options: MeetingOptions;
  #signaling: Signaling | null = null;
  #session: MediaSession | null = null;
  #stopTroubleEffect: (() => void) | null = null;
  #joinNumber = 0; // callbacks and results of an earlier join are ignored
  #speakers = new Speakers();
  #levelTimer = 0;
  #serverSaysWhoSpeaks = false;
  #pinned: readonly string[] = [];
  #lastId = 0; // of chat messages and toasts
  #rejoining = false;
  #endingForAll = false;

  constructor(options: MeetingOptions) {
    this.#options = options;
    this.local = options.local;
    this.sending = new Sending(options.local, this);
    addEventListener("pagehide", this.#onPageHide);
  }

  get session(): MediaSession | null {
    return this.#session;
  }

  get #over(): boolean {
    return this.phase.value === "over";
  }

  get connected(): boolean {
    return this.#signaling?.connected ?? false;
  }

  get canPublish(): boolean {
    return has(this.me.value?.role ?? 0, Role.publisher);
  }

  get isModerator(): boolean {
    return has(this.me.value?.role ?? 0, Role.moderator);
  }

  // -- joining -----------------------------------------------------------------------------------

  async start(): Promise<void> {
    for (let tries = this.#options.canRejoin ? 3 : 1; !this.#over; tries--) {
      try {
        await this.#join();
        return;
      } catch (error) {
        console.warn("joining:", error);
        // on a bad network the connection may be lost while joining
        if (error instanceof TimedOut && tries > 1) continue;
        this.#end("failed", reasonOf(error, (w) => w.joinFailed));
      }
    }
  }

  /** Joins with a new token; resolves when the phase is live. */
  async #join(): Promise<void> {
    const joinNumber = ++this.#joinNumber;
    this.#teardown();
    const token = parseToken(await this.#options.connect());
    if (!token) throw new Plain((w) => w.linkIncomplete);
    if (joinNumber !== this.#joinNumber || this.#over) return;
    await new Promise<void>((resolve, reject) => {
      const current = (): boolean => joinNumber === this.#joinNumber;
      let state: "waiting" | "entering" | "live" = "waiting";
      const timer = window.setTimeout(
        () => reject(new Plain((w) => w.noAnswer)),
        READY_WITHIN_MS,
      );
      this.#signaling = new Signaling(token, {
        notified: (notice) => {
          if (!current()) return;
          const { method } = notice;
          if (method !== "roomReady" && !(method === "roomBack" && state === "waiting")) {
            this.#notified(notice);
          } else if (state === "waiting") {
            clearTimeout(timer);
            state = "entering";
            // roomBack here: the page was reloaded, and the server still has the peer
            const iceServers = method === "roomReady" ? notice.data.iceServers : null;
            this.#enter(joinNumber, iceServers ?? []).then(() => {
              state = "live";
              resolve();
            }, reject);
          } else {
            // a second roomReady: the server has forgotten this peer's session
            reject(new Plain((w) => w.connectionLost));
            if (state === "live") void this.#rejoin();
          }
        },
        requested: (method, data) => this.#requested(method, data),
        interrupted: () => {
          if (!current() || this.phase.value !== "live") return;
          this.phase.value = "reconnecting";
          this.#inTrouble("signaling", true);
        },
        ended: () => {
          clearTimeout(timer);
          if (!current()) return;
          if (this.#endingForAll) this.#end("ended", (w) => w.whyEndedByYou);
          else if (state === "live") void this.#rejoin();
          else reject(new Plain((w) => w.notLetIn));
        },
      });
    }).catch((error: unknown) => {
      if (joinNumber === this.#joinNumber) this.#signaling?.close();
      throw error;
    });
  }

  async #enter(joinNumber: number, iceServers: RTCIceServer[]): Promise<void> {
    const signaling = this.#signaling;
    if (!signaling) return;
    const session = await MediaSession.open(
      signaling,
      iceServers,
      this.#options,
      this.streams,
    );
    if (joinNumber !== this.#joinNumber) {
      session.close();
      return;
    }
    this.#session = session;
    this.#stopTroubleEffect = effect(() => {
      this.#inTrouble("media", session.trouble.value);
    });
    session.onDead = () => {
      if (joinNumber === this.#joinNumber) void this.#rejoin();
    };
    const { peers, ...me } = await signaling.request<JoinReply>("join", {
      nickname: this.#options.name,
      rtpCapabilities: session.rtpCapabilities,
    });
    if (joinNumber !== this.#joinNumber) return;
    batch(() => {
      this.me.value = me;
      const known = new Map(peers.map((peer) => [peer.id, peer]));
      // peers that have joined after the server's answer
      for (const [id, peer] of this.peers.value) if (!known.has(id)) known.set(id, peer);
      known.delete(me.id);
      this.peers.value = known;
      this.hands.value = [me, ...known.values()].filter((peer) => peer.raisedHand).map((peer) => peer.id);
      this.phase.value = "live";
    });
    void this.#followSpeakers(signaling);
    this.watch.start(session, () => this.streams.value.values());
    this.#levelTimer = window.setInterval(() => this.#measure(), LEVELS_EVERY_MS);
    await this.sending.sync();
  }

  /** Has the server say who speaks. The original server cannot: this page then measures it. */
  async #followSpeakers(signaling: Signaling): Promise<void> {
    try {
      const reply = await signaling.request<SpeakersReply>("subscribeSpeakers", {});
      if (signaling !== this.#signaling) return;
      this.#serverSaysWhoSpeaks = true;
      this.#spoke(reply.activeSpeaker);
      this.#forward(reply);
      if (this.#pinned.length > 0) await this.pin(this.#pinned);
    } catch (error) {
      console.info("the server does not say who speaks:", error);
    }
  }

  #spoke(peerId: string | null): void {
    this.activeSpeaker.value = peerId;
    if (peerId === null || this.latestSpeakers.value[0] === peerId) return;
    const others = this.latestSpeakers.value.filter((id) => id !== peerId);
    this.latestSpeakers.value = [peerId, ...others];
  }

  #forward({ lastN, peerIds }: ForwardedPeers): void {
    this.forwarded.value = lastN === null ? null : new Set(peerIds);
  }

  /** Joins as a new peer, after the server has removed this one. Tries several times. */
  async #rejoin(): Promise<void> {
    if (this.#rejoining || this.#over) return;
    if (!this.#options.canRejoin) {
      this.#end("lost", (w) => w.connectionLost);
      return;
    }
    this.#rejoining = true;
    this.phase.value = "reconnecting";
    this.#joinNumber++;
    let last: unknown = null;
    for (const [index, wait] of REJOIN_WAITS_MS.entries()) {
      this.#inTrouble("rejoin", true, index + 1);
      await new Promise((done) => setTimeout(done, wait));
      if (this.#over) return;
      try {
        await this.#join();
        this.#rejoining = false;
        this.#inTrouble("rejoin", false);
        return;
      } catch (error) {
        last = error;
      }
    }
    console.warn("rejoining:", last);
    this.#end("lost", reasonOf(last, (w) => w.connectionLost));
  }

  // -- requests and notifications of the server --------------------------------------------------

  async #requested(method: string, data: unknown): Promise<unknown> {
    if (method !== "newConsumer") throw new Error(`unknown method ${method}`);
    await this.#session?.consume(data as NewConsumer);
    return undefined;
  }

  #notified(notice: Notice): void {
    const session = this.#session;
    const { method, data } = notice;
    switch (method) {
      case "roomBack":
        if (!session || !this.me.value) break;
        this.phase.value = "live";
        this.#inTrouble("signaling", false);
        session.mend();
        void this.sending.sync();
        break;
      case "newPeer":
        if (data.id === this.me.value?.id) break;
        this.peers.value = new Map(this.peers.value).set(data.id, data);
        if (this.me.value) this.tell((w) => w.joined(this.name(data.id)));
        break;
      case "peerClosed": {
        const peer = this.peers.value.get(data.peerId);
        session?.closePeer(data.peerId);
        if (!peer) break;
        const peers = new Map(this.peers.value);
        peers.delete(peer.id);
        this.peers.value = peers;
        this.#handed(peer.id, false);
        this.#checkChannel();
        this.tell((w) => w.left(peer.nickname || w.guest));
        break;
      }
      case "consumerClosed":
        session?.closeConsumer(data.consumerId);
        break;
      case "consumerPaused":
      case "consumerResumed":
        session?.change(data.consumerId, { paused: method === "consumerPaused" });
        break;
      case "producerLayersWanted":
        session?.limitLayers(data.producerId, data.spatialLayer).catch((error: unknown) => {
          console.warn("layers:", error);
        });
        break;
      case "consumerScoreChanged": {
        const score = typeof data.score === "number" ? data.score : data.score.score;
        session?.change(data.consumerId, { score });
        break;
      }
      case "activeSpeaker":
        this.#spoke(data.peerId);
        break;
      case "forwardedPeers":
        this.#forward(data);
        break;
      case "changeNickname":
        this.#patch(data.peerId, { nickname: data.nickname });
        break;
      case "changeLanguage":
        this.#patch(data.peerId, { language: data.language });
        this.#checkChannel();
        break;
      case "changeRaisedHand":
        this.#patch(data.peerId, { raisedHand: data.raisedHand });
        this.#handed(data.peerId, data.raisedHand);
        if (data.raisedHand && data.peerId !== this.me.value?.id) {
          this.tell((w) => w.raisedHand(this.name(data.peerId)));
        }
        break;
      case "changeRole":
        this.#roleChanged(data.peerId, data.role);
        break;
      case "chatMessage":
        this.chat.value = [
          ...this.chat.value,
          {
            id: ++this.#lastId,
            peerId: data.peerId,
            name: data.nickname || this.name(data.peerId),
            text: data.message,
            time: Date.now(),
            own: data.peerId === this.me.value?.id,
          },
        ];
        break;
      case "signal:joinRequest":
        this.#asked(data);
        break;
      case "moderator:kickPeer":
        this.#end("kicked", (w) => w.whyKicked);
        break;
      case "moderator:closeRoom":
        this.#end("ended", (w) => w.whyEnded);
        break;
      default: // #join handles roomReady; this page does not use layers and signal:…
    }
  }

  /** Somebody asks to come in. The application may repeat a request. */
  #asked(request: Partial<JoinRequest> | null): void {
    const requestId = request?.requestId;
    if (typeof requestId !== "string" || !this.isModerator) return;
    if (this.requests.value.some((known) => known.requestId === requestId)) return;
    const nickname = typeof request?.nickname === "string" ? request.nickname.slice(0, 100) : null;
    this.requests.value = [...this.requests.value.slice(1 - MAX_REQUESTS), { requestId, nickname }];
    this.tell((w) => w.wantsIn(nameOf({ nickname: nickname ?? false }, w.guest)), true);
  }

  #handed(peerId: string, raised: boolean): void {
    const others = this.hands.value.filter((id) => id !== peerId);
    if (raised) this.hands.value = [...others, peerId];
    else if (others.length < this.hands.value.length) this.hands.value = others;
  }

  /** Back to the original if nobody interprets into the chosen language any more. */
  #checkChannel(): void {
    const chosen = this.channel.value;
    if (chosen === null || this.channels.value.includes(chosen)) return;
    this.channel.value = null;
    this.tell((w) => w.channelGone, true);
  }

  #patch(peerId: string, patch: Partial<PeerInfo>): void {
    const me = this.me.value;
    if (me?.id === peerId) {
      this.me.value = { ...me, ...patch };
      return;
    }
    const peer = this.peers.value.get(peerId);
    if (peer) this.peers.value = new Map(this.peers.value).set(peerId, { ...peer, ...patch });
  }

  #roleChanged(peerId: string, role: number): void {
    const before = peerId === this.me.value?.id ? this.me.value.role : null;
    this.#patch(peerId, { role });
    if (before === null) return;
    if (has(role, Role.publisher) !== has(before, Role.publisher)) {
      if (has(role, Role.publisher)) {
        this.tell((w) => w.maySpeak);
        void this.sending.sync();
      } else {
        this.tell((w) => w.nowListener);
        void this.sending.stop();
      }
    }
    if (has(role, Role.moderator) !== has(before, Role.moderator)) {
      if (!has(role, Role.moderator)) this.requests.value = [];
      this.tell((w) => (has(role, Role.moderator) ? w.nowModerator : w.noModerator));
    }
  }

  // -- actions of the user -----------------------------------------------------------------------

  name(peerId: string): string {
    const peer = peerId === this.me.value?.id ? this.me.value : this.peers.value.get(peerId);
    return nameOf(peer, words.value.guest);
  }

  async say(message: string): Promise<boolean> {
    return this.#ask("chatMessage", { message }, (w) => w.notSent);
  }

  async raiseHand(raisedHand: boolean): Promise<void> {
    await this.#ask("raisedHand", { raisedHand }, (w) => w.handNotChanged);
  }

  async rename(nickname: string): Promise<void> {
    this.#options.name = nickname;
    await this.#ask("changeNickname", { nickname }, (w) => w.notRenamed);
  }

  async kick(peerId: string): Promise<void> {
    await this.#ask("moderator:kickPeer", { peerId }, (w) => w.notRemoved);
  }

  async setRole(peerId: string, role: number, on: boolean): Promise<void> {
    const method = on ? "moderator:addRole" : "moderator:removeRole";
    await this.#ask(method, { peerId, role }, (w) => w.roleNotChanged);
  }

  /** Lets somebody in who waits outside, or refuses. */
  async answer(requestId: string, letIn: boolean): Promise<void> {
    const method = letIn ? "moderator:joinRequestAccept" : "moderator:joinRequestDeny";
    if (!(await this.#ask(method, { requestId }, (w) => w.notAnswered))) return;
    this.requests.value = this.requests.value.filter((one) => one.requestId !== requestId);
  }

  /** Makes a peer an interpreter into a language; null: it speaks for everybody. */
  async setLanguage(peerId: string, language: string | null): Promise<void> {
    await this.#ask("moderator:changeLanguage", { peerId, language }, (w) => w.languageNotChanged);
  }

  async endForAll(): Promise<void> {
    this.#endingForAll = true; // the connection may end before the answer comes
    if (await this.#ask("moderator:closeRoom", {}, (w) => w.notEnded)) {
      this.#end("ended", (w) => w.whyEndedByYou);
    }
    this.#endingForAll = false;
  }

  /** Asks for the cameras of these peers even where the server sends those of speakers only. */
  async pin(peerIds: readonly string[]): Promise<void> {
    this.#pinned = peerIds;
    if (!this.#serverSaysWhoSpeaks) return;
    await this.#ask("setPinnedPeers", { peerIds }, (w) => w.notPinned);
  }

  leave(): void {
    this.#end("left", (w) => w.whyLeft);
  }

  /** Shows a short message for a few seconds. A screen reader speaks urgent ones at once. */
  tell(say: Say, urgent = false): void {
    const toast = { id: ++this.#lastId, text: say(words.value), urgent };
    this.toasts.value = [...this.toasts.value.slice(-3), toast];
    setTimeout(() => this.dismiss(toast.id), urgent ? 9000 : 5000);
  }

  dismiss(id: number): void {
    this.toasts.value = this.toasts.value.filter((toast) => toast.id !== id);
  }

  /** For tests: drops the signaling connection as a bad network would. */
  interrupt(): void {
    this.#signaling?.interrupt();
  }

  /** Leaves the meeting and closes everything, the local devices too. */
  dispose(): void {
    if (!this.#over) this.#end("left", (w) => w.whyLeft);
    removeEventListener("pagehide", this.#onPageHide);
  }

  // -- helpers -----------------------------------------------------------------------------------

  /** Sends a request. If it fails, the user is told `otherwise`. */
  async #ask(method: string, data: object, otherwise: Say): Promise<boolean> {
    try {
      await this.#signaling?.request(method, data);
      return true;
    } catch (error) {
      console.warn(method, error);
      if (!this.#over) this.tell(otherwise, true);
      return false;
    }
  }

  /** Notes that something is broken or mended. What is worse stays: a lost meeting, then signaling. */
  #inTrouble(kind: Trouble["kind"], broken: boolean, attempt = 0): void {
    const held = this.trouble.value;
    if (broken) {
      if (held && RANK[held.kind] > RANK[kind]) return;
      this.trouble.value = { kind, since: held?.since ?? performance.now(), attempt };
    } else if (held?.kind === kind) {
      const media = kind === "signaling" && this.#session?.trouble.value;
      this.trouble.value = media ? { kind: "media", since: held.since, attempt: 0 } : null;
    }
  }

  #measure(): void {
    const session = this.#session;
    const me = this.me.value;
    if (!session || !me) return;
    const levels = new Map<string, number>([[me.id, this.local.micOn.value ? this.local.level() : 0]]);
    for (const id of this.peers.value.keys()) levels.set(id, 0);
    for (const stream of this.streams.value.values()) {
      if (stream.kind !== "audio" || stream.source !== "mic" || stream.paused) continue;
      levels.set(stream.peerId, session.level(stream.id));
    }
    const { speaking, active } = this.#speakers.update(levels, performance.now());
    const before = this.speaking.value;
    if (speaking.size !== before.size || [...speaking].some((id) => !before.has(id))) {
      this.speaking.value = speaking;
    }
    if (!this.#serverSaysWhoSpeaks && active !== this.activeSpeaker.value) this.#spoke(active);
  }

  #teardown(): void {
    clearInterval(this.#levelTimer);
    this.watch.stop();
    this.#stopTroubleEffect?.();
    this.#stopTroubleEffect = null;
    this.#session?.close();
    this.#session = null;
    this.#signaling?.close();
    this.#signaling = null;
    this.#speakers = new Speakers();
    this.#serverSaysWhoSpeaks = false;
    batch(() => {
      this.me.value = null;
      this.peers.value = new Map();
      this.streams.value = new Map();
      this.hands.value = [];
      this.speaking.value = new Set();
      this.activeSpeaker.value = null;
      this.latestSpeakers.value = [];
      this.forwarded.value = null;
    });
  }

  #end(why: Ending, say: Say): void {
    if (this.#over) return;
    this.#joinNumber++;
    batch(() => {
      this.phase.value = "over";
      this.ending.value = { why, say };
    });
    this.#teardown();
    this.sending.close();
    removeEventListener("pagehide", this.#onPageHide);
  }

  /** The page is closed: leave now, so that the other peers need not wait for a timeout. */
  readonly #onPageHide = (): void => this.leave();
}
