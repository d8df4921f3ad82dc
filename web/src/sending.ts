// Starts, pauses and stops the producers of microphone, camera and screen as the user wants.
//
// Each slot has a queue of steps, so fast clicks are handled in order. A step reads the user's wish
// when it runs, so the last click wins.
import { signal } from "@preact/signals";
import { type LocalMedia, openScreen } from "./local-media.ts";
import type { MediaSession, Slot } from "./media-session.ts";
import { TimedOut } from "./signaling.ts";
import { deviceWords, type Say } from "./words/words.ts";

export interface SendingHost {
  /** null until joined; a new one after each join */
  readonly session: MediaSession | null;
  readonly canPublish: boolean;
  /** whether the signaling connection is open */
  readonly connected: boolean;
  tell(say: Say, urgent?: boolean): void;
}

export class Sending {
  readonly screen = signal<MediaStream | null>(null);
  readonly #local: LocalMedia;
  readonly #host: SendingHost;
  readonly #queues = new Map<Slot, Promise<void>>();
  #closed = false;

  constructor(local: LocalMedia, host: SendingHost) {
    this.#local = local;
    this.#host = host;
    local.onDevice = (kind, news) => {
      host.tell(news, true);
      if (kind === "mic") void this.#syncMic();
      if (kind === "cam") void this.#syncCam();
    };
  }

  async setMic(on: boolean): Promise<void> {
    this.#local.micOn.value = on;
    await this.#syncMic();
  }

  async setCam(on: boolean): Promise<void> {
    this.#local.camOn.value = on;
    await this.#syncCam();
  }

  async chooseMic(id: string): Promise<void> {
    await this.#local.chooseMic(id);
    await this.#syncMic();
  }

  async chooseCam(id: string): Promise<void> {
    await this.#local.chooseCam(id);
    await this.#syncCam();
  }

  async shareScreen(): Promise<void> {
    if (this.screen.value || !this.#host.canPublish) return;
    let stream: MediaStream;
    try {
      stream = await openScreen();
    } catch (error) {
      // NotAllowedError: the user has declined in the browser's dialog, which needs no message
      if (!(error instanceof Error && error.name === "NotAllowedError")) {
        this.#host.tell(deviceWords("screen", error), true);
      }
      return;
    }
    if (this.#closed || this.screen.value) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    stream.getVideoTracks()[0]?.addEventListener("ended", () => void this.stopScreen());
    this.screen.value = stream;
    await this.#syncScreen();
  }

  async stopScreen(): Promise<void> {
    this.#releaseScreen();
    await this.#syncScreen();
  }

  /** Brings all producers up to date, after a join or when the signaling connection is back. */
  async sync(): Promise<void> {
    if (!this.#host.canPublish) this.#silence();
    await Promise.all([this.#syncMic(), this.#syncCam(), this.#syncScreen()]);
  }

  /** Stops all producers, after the user has lost the role of a publisher. */
  async stop(): Promise<void> {
    this.#silence();
    await Promise.all([
      this.#queue("mic", (session) => session.stop("mic")),
      this.#queue("webcam", (session) => session.stop("webcam")),
      this.#syncScreen(),
    ]);
  }

  /** Closes the screen and the devices. */
  close(): void {
    this.#closed = true;
    this.#releaseScreen();
    this.#local.onDevice = null;
    this.#local.close();
  }

  #silence(): void {
    this.#local.micOn.value = false;
    this.#local.camOn.value = false;
    this.#local.closeMic();
    this.#local.closeCam();
    this.#releaseScreen();
  }

  #releaseScreen(): void {
    for (const track of this.screen.value?.getTracks() ?? []) track.stop();
    this.screen.value = null;
  }

  #syncMic(): Promise<void> {
    return this.#queue("mic", async (session) => {
      if (!this.#local.micOn.value || !this.#host.canPublish) {
        await session.pause("mic", false);
      } else if (await this.#local.openMic()) {
        const track = this.#local.micTrack.value;
        if (track) await session.send("mic", track);
      } else {
        this.#local.micOn.value = false;
        this.#host.tell(this.#local.micProblem.value ?? ((w) => w.micFailed), true);
        await session.pause("mic", false);
      }
    });
  }

  #syncCam(): Promise<void> {
    return this.#queue("webcam", async (session) => {
      if (!this.#local.camOn.value || !this.#host.canPublish) {
        try {
          await session.pause("webcam", true);
        } finally {
          this.#local.closeCam();
        }
      } else if (await this.#local.openCam()) {
        const track = this.#local.camTrack.value;
        if (track) await session.send("webcam", track);
      } else {
        this.#local.camOn.value = false;
        this.#host.tell(this.#local.camProblem.value ?? ((w) => w.camFailed), true);
        await session.pause("webcam", true);
      }
    });
  }

  #syncScreen(): Promise<void> {
    return this.#queue("screen", async (session) => {
      const [video] = this.screen.value?.getVideoTracks() ?? [];
      const [audio] = this.screen.value?.getAudioTracks() ?? [];
      if (video && this.#host.canPublish) {
        await session.send("screen", video);
        if (audio) await session.send("screen-audio", audio);
      } else {
        await Promise.all([session.stop("screen"), session.stop("screen-audio")]);
      }
    });
  }

  #queue(slot: Slot, step: (session: MediaSession) => Promise<void>): Promise<void> {
    const { session } = this.#host;
    if (!session) return Promise.resolve(); // sync() is called after the join
    const current = (): boolean => !this.#closed && this.#host.session === session;
    const run = (this.#queues.get(slot) ?? Promise.resolve()).then(async () => {
      if (!current()) return;
      try {
        await step(session);
      } catch (error) {
        if (!current()) return;
        console.warn("sending", slot, error);
        // sync() is called when signaling is back
        if (error instanceof TimedOut && !this.#host.connected) return;
        this.#host.tell(NOT_SWITCHED[slot], true);
      }
    });
    this.#queues.set(slot, run);
    return run;
  }
}

const NOT_SWITCHED: Record<Slot, Say> = {
  mic: (w) => w.micNotSwitched,
  webcam: (w) => w.camNotSwitched,
  screen: (w) => w.screenNotSwitched,
  "screen-audio": (w) => w.screenNotSwitched,
};
