// A call to oneself: two peers of this page in a private room. What one sends goes to the server and
// comes back to the other, as it would go to other people.
import { signal } from "@preact/signals";
import { num, pathOf, type PathKind, type Report } from "./figures.ts";
import type { LocalMedia } from "./local-media.ts";
import { type MediaOptions, MediaSession, type RemoteStream } from "./media-session.ts";
import { type NewConsumer, parseToken } from "./protocol.ts";
import { Signaling } from "./signaling.ts";
import { Plain, reasonOf, type Say } from "./words/words.ts";

const LOOK_EVERY_MS = 500;
const READY_WITHIN_MS = 8000;
const VERDICT_AFTER_MS = 12_000; // what has not come by then counts as missing
const LONGEST_MS = 60_000; // nobody forgets a call that costs the server as much as a meeting
const LOUD = 1e-4; // energy of sound that is more than the noise of a quiet room
const PICTURES = 3;

/** null: not known yet */
export interface Findings {
  heard: boolean | null;
  seen: boolean | null;
  /** false: nothing arrives */
  network: { kind: PathKind; roundTrip: number; lostPercent: number } | false | null;
}

export const unknown: Findings = { heard: null, seen: null, network: null };

/** What one look at the receiving peer has shown. */
export interface Look {
  energy: number;
  pictures: number;
  received: number;
  lost: number;
  path: ReturnType<typeof pathOf>;
}

/** The findings after `look`. Once `over`, what is missing is missed. */
export function judge(look: Look, sends: { mic: boolean; cam: boolean }, over: boolean): Findings {
  const open = over ? false : null;
  const { path, received, lost } = look;
  const measured = path !== null && path.roundTrip !== null && (received >= 50 || (over && received > 0));
  return {
    heard: sends.mic && look.energy > LOUD ? true : open,
    seen: sends.cam && look.pictures >= PICTURES ? true : open,
    network: measured
      ? {
          kind: path.kind,
          roundTrip: Math.round(path.roundTrip ?? 0),
          lostPercent: Math.round((100 * Math.max(0, lost)) / Math.max(1, received + lost)),
        }
      : open,
  };
}

interface Member {
  signaling: Signaling;
  session: MediaSession;
}

export class SelfCall {
  readonly phase = signal<"calling" | "running" | "over">("calling");
  readonly findings = signal<Findings>(unknown);
  readonly problem = signal<Say | null>(null);
  /** what comes back */
  readonly streams = signal<ReadonlyMap<string, RemoteStream>>(new Map());
  readonly #local: LocalMedia;
  readonly #options: MediaOptions;
  readonly #connect: () => Promise<readonly [string, string]>;
  readonly #members: Member[] = [];
  readonly #signalings: Signaling[] = [];
  #timer = 0;
  #closed = false;

  /** `connect` gives the token URLs of two peers of one room. */
  constructor(
    local: LocalMedia,
    options: MediaOptions,
    connect: () => Promise<readonly [string, string]>,
  ) {
    this.#local = local;
    this.#options = options;
    this.#connect = connect;
  }

  async start(): Promise<void> {
    try {
      const tokens = await this.#connect();
      const receiver = await this.#enter(tokens[0], true);
      const sender = await this.#enter(tokens[1], false);
      const { micTrack, camTrack } = this.#local;
      if (micTrack.value) await sender.session.send("mic", micTrack.value);
      if (camTrack.value) await sender.session.send("webcam", camTrack.value);
      if (this.#closed) return;
      this.phase.value = "running";
      this.#look(receiver.session, performance.now());
    } catch (error) {
      if (this.#closed) return;
      console.warn("test call:", error);
      this.problem.value = reasonOf(error, (w) => w.testFailed);
      this.stop();
    }
  }

  /** Hangs up. The findings stay. */
  stop(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { session } of this.#members) session.close();
    for (const signaling of this.#signalings) signaling.close();
    this.streams.value = new Map();
    this.phase.value = "over";
  }

  async #enter(url: string, receives: boolean): Promise<Member> {
    const token = parseToken(url);
    if (!token || this.#closed) throw new Plain((w) => w.testFailed);
    let session: MediaSession | null = null;
    const signaling = await new Promise<{ made: Signaling; iceServers: RTCIceServer[] }>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Plain((w) => w.noAnswer)), READY_WITHIN_MS);
      const made: Signaling = new Signaling(token, {
        notified: ({ method, data }) => {
          if (method !== "roomReady") return;
          clearTimeout(timer);
          resolve({ made, iceServers: data.iceServers ?? [] });
        },
        requested: async (method, data) => {
          if (receives && method === "newConsumer") await session?.consume(data as NewConsumer);
          return undefined;
        },
        interrupted: () => undefined,
        ended: () => reject(new Plain((w) => w.notLetIn)),
      });
      this.#signalings.push(made);
    });
    const streams = receives ? this.streams : signal<ReadonlyMap<string, RemoteStream>>(new Map());
    const { made, iceServers } = signaling;
    session = await MediaSession.open(made, iceServers, this.#options, streams);
    const member = { signaling: made, session };
    this.#members.push(member);
    if (this.#closed) session.close();
    await made.request("join", { nickname: "", rtpCapabilities: session.rtpCapabilities });
    return member;
  }

  #look(receiver: MediaSession, since: number): void {
    this.#timer = window.setTimeout(async () => {
      const look: Look = { energy: 0, pictures: 0, received: 0, lost: 0, path: null };
      for (const transport of receiver.transports) {
        const report = (await transport.getStats().catch(() => null)) as unknown as Report | null;
        if (!report) return; // the call has ended meanwhile
        look.path = pathOf(report);
        for (const entry of report.values()) {
          if (entry.type !== "inbound-rtp") continue;
          look.received += num(entry.packetsReceived);
          look.lost += num(entry.packetsLost);
          if (entry.kind === "audio") look.energy = num(entry.totalAudioEnergy);
          else look.pictures = num(entry.framesDecoded);
        }
      }
      if (this.#closed) return;
      const sends = {
        mic: this.#local.micOn.value && this.#local.micTrack.value !== null,
        cam: this.#local.camOn.value && this.#local.camTrack.value !== null,
      };
      this.findings.value = judge(look, sends, performance.now() - since > VERDICT_AFTER_MS);
      if (performance.now() - since > LONGEST_MS) this.stop();
      else this.#look(receiver, since);
    }, LOOK_EVERY_MS);
  }
}
