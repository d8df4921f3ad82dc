// The media side of one joined peer: mediasoup's Device, one transport to send and one to receive,
// producers by slot, consumers by id. It is made anew when the peer joins anew.
//
// Transports heal themselves: when ICE is lost, ICE is restarted through signaling until it is
// back. When the server no longer knows the transport, `onDead` says that only a new join helps.
import { signal, type Signal } from "@preact/signals";
import { Device, type types as ms } from "mediasoup-client";
import type { IcePath } from "./options.ts";
import type { Kind, NewConsumer, Source, TransportReply } from "./protocol.ts";
import { Refused, type Signaling } from "./signaling.ts";

const RESTART_AFTER_MS = 2000; // "disconnected" often heals by itself
const RESTART_AGAIN_MS = 6000;
// Chromium never says "failed" of a transport that has found no candidate of its own, as when the
// TURN server refuses it and no other way is allowed.
const FIRST_PATH_MS = 12_000;

/** What is sent at most once each. */
export type Slot = "mic" | "webcam" | "screen" | "screen-audio";

export interface MediaOptions {
  /** simulcast layers of the camera, 1-3 */
  layers: number;
  ice: IcePath;
}

/** Somebody's track as it arrives here. */
export interface RemoteStream {
  id: string;
  peerId: string;
  kind: Kind;
  source: Source;
  track: MediaStreamTrack;
  /** the sender has paused it */
  paused: boolean;
  /** 0-10 as the server judges the link; 10 until it says */
  score: number;
}

export interface Receiving {
  consumer: ms.Consumer;
  /** performance.now() of the newConsumer request, and of its first picture */
  asked: number;
  firstFrame: number | null;
}

/** A consumer being made, and what the server has said of it meanwhile. */
interface Arrival {
  peerId: string;
  paused: boolean;
  gone: boolean;
  done: Promise<void> | null;
}

export class MediaSession {
  readonly consumers = new Map<string, Receiving>();
  readonly producers = new Map<Slot, ms.Producer>();
  /** some transport has lost its path, or has found none in time */
  readonly trouble = signal(false);
  onDead: (() => void) | null = null;

  readonly #device: Device;
  readonly #signaling: Signaling;
  readonly #iceServers: RTCIceServer[];
  readonly #options: MediaOptions;
  readonly #streams: Signal<ReadonlyMap<string, RemoteStream>>;
  /** what the server has been told, and has acknowledged, to be paused */
  readonly #toldPaused = new Set<Slot>();
  readonly #arriving = new Map<string, Arrival>();
  readonly #timers = new Map<string, number>();
  /** ids of transports that should have been connected by now and never were */
  readonly #overdue = new Set<string>();
  #receive: ms.Transport | null = null;
  #send: Promise<ms.Transport> | null = null;
  #sendReady: ms.Transport | null = null;
  #closed = false;

  private constructor(
    device: Device,
    signaling: Signaling,
    iceServers: RTCIceServer[],
    options: MediaOptions,
    streams: Signal<ReadonlyMap<string, RemoteStream>>,
  ) {
    this.#device = device;
    this.#signaling = signaling;
    this.#iceServers = iceServers;
    this.#options = options;
    this.#streams = streams;
  }

  /** Loads the router's capabilities and makes the receiving transport, ready for `join`. */
  static async open(
    signaling: Signaling,
    iceServers: RTCIceServer[],
    options: MediaOptions,
    streams: Signal<ReadonlyMap<string, RemoteStream>>,
  ): Promise<MediaSession> {
    const device = await Device.factory();
    const routerRtpCapabilities = await signaling.request<ms.RtpCapabilities>(
      "getRouterRtpCapabilities",
    );
    await device.load({ routerRtpCapabilities });
    const session = new MediaSession(device, signaling, iceServers, options, streams);
    session.#receive = await session.#makeTransport("recv");
    return session;
  }

  get rtpCapabilities(): ms.RtpCapabilities {
    return this.#device.recvRtpCapabilities;
  }

  // -- receiving ---------------------------------------------------------------------------------

  /** Takes in a consumer the server has made. Asked again for the same one, it makes no second. */
  consume(info: NewConsumer): Promise<void> {
    if (this.consumers.has(info.id)) return Promise.resolve();
    let arrival = this.#arriving.get(info.id);
    if (!arrival) {
      arrival = { peerId: info.peerId, paused: info.producerPaused, gone: false, done: null };
      this.#arriving.set(info.id, arrival);
      const made = arrival;
      arrival.done = this.#consume(info, made).finally(() => {
        if (this.#arriving.get(info.id) === made) this.#arriving.delete(info.id);
      });
    }
    return arrival.done ?? Promise.resolve();
  }

  async #consume(info: NewConsumer, arrival: Arrival): Promise<void> {
    if (!this.#receive || this.#closed) throw new Error("no receiving transport");
    const asked = performance.now();
    const source: Source = info.appData?.source ?? (info.kind === "audio" ? "mic" : "webcam");
    const consumer = await this.#receive.consume({
      id: info.id,
      producerId: info.producerId,
      kind: info.kind,
      rtpParameters: info.rtpParameters,
      // tracks of one stream are kept in sync: the voice with its face, the screen by itself
      streamId: `${info.peerId}-${source === "screen" ? "screen" : "self"}`,
    });
    if (this.#closed || arrival.gone) {
      consumer.close();
      return;
    }
    this.consumers.set(info.id, { consumer, asked, firstFrame: null });
    this.#put({
      id: info.id,
      peerId: info.peerId,
      kind: info.kind,
      source,
      track: consumer.track,
      paused: arrival.paused,
      score: 10,
    });
  }

  closeConsumer(id: string): void {
    const arrival = this.#arriving.get(id);
    if (arrival) arrival.gone = true;
    this.consumers.get(id)?.consumer.close();
    this.consumers.delete(id);
    if (!this.#streams.value.has(id)) return;
    const streams = new Map(this.#streams.value);
    streams.delete(id);
    this.#streams.value = streams;
  }

  closePeer(peerId: string): void {
    for (const stream of this.#streams.value.values()) {
      if (stream.peerId === peerId) this.closeConsumer(stream.id);
    }
    for (const [id, arrival] of this.#arriving) {
      if (arrival.peerId === peerId) this.closeConsumer(id);
    }
  }

  change(id: string, patch: Partial<Pick<RemoteStream, "paused" | "score">>): void {
    const arrival = this.#arriving.get(id);
    if (arrival && patch.paused !== undefined) arrival.paused = patch.paused;
    const stream = this.#streams.value.get(id);
    if (stream) this.#put({ ...stream, ...patch });
  }

  /** The page shows the first picture of a consumer. */
  firstFrame(id: string): void {
    const receiving = this.consumers.get(id);
    if (receiving && receiving.firstFrame === null) receiving.firstFrame = performance.now();
  }

  /** Linear loudness (0-1) of an audio consumer as last played. */
  level(id: string): number {
    const receiver = this.consumers.get(id)?.consumer.rtpReceiver;
    return receiver?.getSynchronizationSources()[0]?.audioLevel ?? 0;
  }

  #put(stream: RemoteStream): void {
    this.#streams.value = new Map(this.#streams.value).set(stream.id, stream);
  }

  // -- sending -----------------------------------------------------------------------------------

  /** Sends a track in a slot: starts it, or swaps the track and goes on. */
  async send(slot: Slot, track: MediaStreamTrack): Promise<void> {
    const producer = this.producers.get(slot);
    if (producer && !producer.closed) {
      if (producer.track !== track) await producer.replaceTrack({ track });
      producer.resume();
      if (this.#toldPaused.has(slot)) {
        await this.#signaling.request("resumeProducer", { producerId: producer.id });
        this.#toldPaused.delete(slot);
      }
      return;
    }
    this.#send ??= this.#makeTransport("send");
    let transport: ms.Transport;
    try {
      transport = await this.#send;
    } catch (error) {
      this.#send = null;
      throw error;
    }
    this.#sendReady = transport;
    const source: Source = slot === "screen-audio" ? "screen" : slot;
    const made = await transport.produce({
      track,
      stopTracks: false,
      streamId: source === "screen" ? "screen" : "self",
      ...this.#coding(slot),
      appData: { source },
    });
    this.producers.set(slot, made);
  }

  /** Keeps the producer but sends nothing; `release` lets go of the track too. */
  async pause(slot: Slot, release: boolean): Promise<void> {
    const producer = this.producers.get(slot);
    if (!producer || producer.closed) return;
    producer.pause();
    if (release && producer.track) await producer.replaceTrack({ track: null });
    if (!this.#toldPaused.has(slot)) {
      await this.#signaling.request("pauseProducer", { producerId: producer.id });
      this.#toldPaused.add(slot);
    }
  }

  async stop(slot: Slot): Promise<void> {
    const producer = this.producers.get(slot);
    if (!producer) return;
    this.producers.delete(slot);
    this.#toldPaused.delete(slot);
    producer.close();
    try {
      await this.#signaling.request("closeProducer", { producerId: producer.id });
    } catch (error) {
      // the server has closed it before us (a role taken away)
      if (!(error instanceof Refused)) throw error;
    }
  }

  #coding(slot: Slot): Pick<ms.ProducerOptions, "encodings" | "codecOptions"> {
    switch (slot) {
      case "mic":
        return { codecOptions: { opusStereo: false, opusDtx: true, opusFec: true } };
      case "screen-audio":
        return { codecOptions: { opusStereo: true, opusDtx: true } };
      case "screen":
        return {
          encodings: [{ maxBitrate: 1_300_000 }],
          codecOptions: { videoGoogleStartBitrate: 1000 },
        };
      case "webcam": {
        const layers: ms.RtpEncodingParameters[] = [
          { scaleResolutionDownBy: 4, maxBitrate: 100_000 },
          { scaleResolutionDownBy: 2, maxBitrate: 300_000 },
          { scaleResolutionDownBy: 1, maxBitrate: 900_000 },
        ];
        return {
          encodings: layers.slice(3 - this.#options.layers),
          codecOptions: { videoGoogleStartBitrate: 1000 },
        };
      }
    }
  }

  // -- transports --------------------------------------------------------------------------------

  get transports(): ms.Transport[] {
    return [this.#receive, this.#sendReady].filter((one) => one !== null && !one.closed) as ms.Transport[];
  }

  /** New ICE credentials and candidates on every transport; media goes on meanwhile. */
  async restartIce(): Promise<void> {
    await Promise.all(this.transports.map((transport) => this.#restart(transport)));
  }

  /** After the signaling connection came back: mend what broke with it. */
  mend(): void {
    for (const transport of this.transports) this.#watch(transport, 0);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    for (const transport of this.transports) transport.close();
    this.consumers.clear();
    this.producers.clear();
  }

  async #makeTransport(direction: "send" | "recv"): Promise<ms.Transport> {
    const sending = direction === "send";
    const reply = await this.#signaling.request<TransportReply>("createWebRtcTransport", {
      forceTcp: this.#options.ice === "tcp",
      producing: sending,
      consuming: !sending,
    });
    const options: ms.TransportOptions = {
      id: reply.id,
      iceParameters: reply.iceParameters,
      iceCandidates: reply.iceCandidates,
      dtlsParameters: reply.dtlsParameters,
      iceServers: this.#iceServers,
      ...(this.#options.ice === "relay" ? { iceTransportPolicy: "relay" as const } : {}),
    };
    const transport = sending
      ? this.#device.createSendTransport(options)
      : this.#device.createRecvTransport(options);
    transport.on("connect", ({ dtlsParameters }, done, failed) => {
      window.setTimeout(() => {
        if (!pending(transport)) return;
        this.#overdue.add(transport.id);
        this.#watch(transport, 0);
      }, FIRST_PATH_MS);
      this.#signaling
        .request("connectWebRtcTransport", { transportId: transport.id, dtlsParameters })
        .then(done, failed);
    });
    transport.on("produce", ({ kind, rtpParameters, appData }, done, failed) => {
      this.#signaling
        .request<{ id: string }>("produce", {
          transportId: transport.id,
          kind,
          rtpParameters,
          appData,
        })
        .then(done, failed);
    });
    transport.on("connectionstatechange", () => this.#watch(transport, RESTART_AFTER_MS));
    return transport;
  }

  #watch(transport: ms.Transport, wait: number): void {
    clearTimeout(this.#timers.get(transport.id));
    this.#timers.delete(transport.id);
    if (this.#closed) return;
    if (transport.connectionState === "connected") this.#overdue.delete(transport.id);
    this.trouble.value = this.transports.some((one) => this.#broken(one));
    if (!this.#broken(transport)) return;
    const delay = transport.connectionState === "failed" ? 0 : wait;
    this.#timers.set(
      transport.id,
      window.setTimeout(() => {
        if (this.#closed || !this.#broken(transport)) return;
        const again = (): void => {
          if (!this.#closed && this.#broken(transport)) {
            this.#timers.set(
              transport.id,
              window.setTimeout(() => this.#watch(transport, 0), RESTART_AGAIN_MS),
            );
          }
        };
        if (!this.#signaling.connected) return; // mend() is called when it is back
        this.#restart(transport).then(again, (error: unknown) => {
          console.warn("ICE restart:", error);
          if (error instanceof Refused && !this.#closed) this.onDead?.();
          else again();
        });
      }, delay),
    );
  }

  async #restart(transport: ms.Transport): Promise<void> {
    const iceParameters = await this.#signaling.request<ms.IceParameters>("restartIce", {
      transportId: transport.id,
    });
    if (!transport.closed) await transport.restartIce({ iceParameters });
  }

  #broken(transport: ms.Transport): boolean {
    const { id, connectionState } = transport;
    if (pending(transport)) return this.#overdue.has(id);
    return connectionState === "failed" || connectionState === "disconnected";
  }
}

function pending(transport: ms.Transport): boolean {
  return transport.connectionState === "new" || transport.connectionState === "connecting";
}
