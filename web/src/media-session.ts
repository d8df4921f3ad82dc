// The media of one joined peer: mediasoup's Device, one transport to send and one to receive,
// producers by slot, consumers by id. Each join makes a new session.
//
// If ICE fails, the session restarts it through signaling until the transport is connected again.
// If the server no longer knows the transport, only a new join helps, and `onDead` is called.
import { signal, type Signal } from "@preact/signals";
import { Device, type types as ms } from "mediasoup-client";
import type { IcePath, VideoCodec } from "./options.ts";
import type { Kind, NewConsumer, Source, TransportReply } from "./protocol.ts";
import { Refused, type Signaling } from "./signaling.ts";
import { layerFor, layersOf, type Wish, Wishes } from "./wishes.ts";

const RESTART_AFTER_MS = 2000; // "disconnected" often becomes "connected" again by itself
const RESTART_AGAIN_MS = 6000;
// A transport that is not connected by then counts as broken. Chromium never reports "failed" for
// one without local candidates, for example if only TURN is allowed and the TURN server refuses.
const FIRST_PATH_MS = 12_000;

/** The place of a producer: there is at most one producer for each slot. */
export type Slot = "mic" | "webcam" | "screen" | "screen-audio";

export interface MediaOptions {
  /** simulcast layers of the camera, 1-3 */
  layers: number;
  /** of the camera; null: the server's first one */
  codec: VideoCodec | null;
  /** scalability mode of the camera with VP9 and AV1 */
  mode: string;
  ice: IcePath;
  /** ask for layers that fit the tiles; otherwise for the highest */
  wishes: boolean;
}

/** A track of another peer, as it is received. */
export interface RemoteStream {
  id: string;
  peerId: string;
  kind: Kind;
  source: Source;
  track: MediaStreamTrack;
  /** the sender has paused it */
  paused: boolean;
  /** the server's score of the stream, 0-10; 10 before the first one */
  score: number;
}

export interface Receiving {
  consumer: ms.Consumer;
  /** performance.now() of the newConsumer request, and of its first video frame */
  asked: number;
  firstFrame: number | null;
}

/** A consumer that is being made, and its changes by the server meanwhile. */
interface Arrival {
  peerId: string;
  paused: boolean;
  gone: boolean;
  done: Promise<void> | null;
}

export class MediaSession {
  readonly consumers = new Map<string, Receiving>();
  readonly producers = new Map<Slot, ms.Producer>();
  /** a transport has lost its path, or has found none in time */
  readonly trouble = signal(false);
  onDead: (() => void) | null = null;

  readonly #device: Device;
  readonly #signaling: Signaling;
  readonly #iceServers: RTCIceServer[];
  readonly #options: MediaOptions;
  readonly #streams: Signal<ReadonlyMap<string, RemoteStream>>;
  /** slots whose producer is paused on the server: it has acknowledged pauseProducer */
  readonly #pausedOnServer = new Set<Slot>();
  readonly #arriving = new Map<string, Arrival>();
  readonly #wishes = new Wishes(
    (id, wish) => this.#wish(id, wish),
    (act, ms) => setTimeout(act, ms),
  );
  /** timers of ICE restarts, by transport id */
  readonly #timers = new Map<string, number>();
  /** ids of transports that were not connected within FIRST_PATH_MS */
  readonly #overdue = new Set<string>();
  #recvTransport: ms.Transport | null = null;
  /** the sending transport, made when it is first needed */
  #sendTransportMade: Promise<ms.Transport> | null = null;
  #sendTransport: ms.Transport | null = null;
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

  /** Loads the router's capabilities and makes the receiving transport. `join` comes next. */
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
    session.#recvTransport = await session.#makeTransport("recv");
    return session;
  }

  get rtpCapabilities(): ms.RtpCapabilities {
    return this.#device.recvRtpCapabilities;
  }

  // -- receiving ---------------------------------------------------------------------------------

  /** Makes the consumer that the server offers. A repeated offer does not make a second one. */
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
    if (!this.#recvTransport || this.#closed) throw new Error("no receiving transport");
    const asked = performance.now();
    const source: Source = info.appData?.source ?? (info.kind === "audio" ? "mic" : "webcam");
    const consumer = await this.#recvTransport.consume({
      id: info.id,
      producerId: info.producerId,
      kind: info.kind,
      rtpParameters: info.rtpParameters,
      // browsers synchronise the tracks of one stream: mic with camera, screen with its sound
      streamId: `${info.peerId}-${source === "screen" ? "screen" : "self"}`,
    });
    if (this.#closed || arrival.gone) {
      consumer.close();
      return;
    }
    this.consumers.set(info.id, { consumer, asked, firstFrame: null });
    this.#setStream({
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
    this.#wishes.forget(id);
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
    if (stream) this.#setStream({ ...stream, ...patch });
  }

  /** The page has shown the first video frame of a consumer. */
  firstFrame(id: string): void {
    const receiving = this.consumers.get(id);
    if (receiving && receiving.firstFrame === null) receiving.firstFrame = performance.now();
  }

  /** The page shows a video `width` device pixels wide. */
  show(id: string, width: number, priority: number): void {
    const receiving = this.consumers.get(id);
    if (!receiving || !this.#options.wishes || this.#closed) return;
    const layers = layersOf(receiving.consumer.rtpParameters.encodings?.[0]?.scalabilityMode);
    this.#wishes.want(id, { spatialLayer: layerFor(width, layers), priority });
  }

  async #wish(consumerId: string, { spatialLayer, priority }: Partial<Wish>): Promise<void> {
    if (this.#closed) return;
    try {
      if (priority !== undefined) {
        await this.#signaling.request("setConsumerPriority", { consumerId, priority });
      }
      if (spatialLayer !== undefined) {
        await this.#signaling.request("setConsumerPreferredLayers", { consumerId, spatialLayer });
      }
    } catch (error) {
      // refused: the consumer has gone, or the server does not know these requests
      if (!(error instanceof Refused)) throw error;
    }
  }

  /** The linear loudness (0-1) of an audio consumer at the last playout. */
  level(id: string): number {
    const receiver = this.consumers.get(id)?.consumer.rtpReceiver;
    return receiver?.getSynchronizationSources()[0]?.audioLevel ?? 0;
  }

  #setStream(stream: RemoteStream): void {
    this.#streams.value = new Map(this.#streams.value).set(stream.id, stream);
  }

  // -- sending -----------------------------------------------------------------------------------

  /** Sends a track: makes the producer of the slot, or gives it the track and resumes it. */
  async send(slot: Slot, track: MediaStreamTrack): Promise<void> {
    const producer = this.producers.get(slot);
    if (producer && !producer.closed) {
      if (producer.track !== track) await producer.replaceTrack({ track });
      producer.resume();
      if (this.#pausedOnServer.has(slot)) {
        await this.#signaling.request("resumeProducer", { producerId: producer.id });
        this.#pausedOnServer.delete(slot);
      }
      return;
    }
    this.#sendTransportMade ??= this.#makeTransport("send");
    let transport: ms.Transport;
    try {
      transport = await this.#sendTransportMade;
    } catch (error) {
      this.#sendTransportMade = null;
      throw error;
    }
    this.#sendTransport = transport;
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

  /** Pauses the producer of the slot. With `release` its track is removed too. */
  async pause(slot: Slot, release: boolean): Promise<void> {
    const producer = this.producers.get(slot);
    if (!producer || producer.closed) return;
    producer.pause();
    if (release && producer.track) await producer.replaceTrack({ track: null });
    if (!this.#pausedOnServer.has(slot)) {
      await this.#signaling.request("pauseProducer", { producerId: producer.id });
      this.#pausedOnServer.add(slot);
    }
  }

  /**
   * Stops the layers above `spatialLayer`. The lowest is sent even if nobody watches (null), so that
   * the next viewer sees a picture at once.
   */
  async limitLayers(producerId: string, spatialLayer: number | null): Promise<void> {
    for (const producer of this.producers.values()) {
      if (producer.id === producerId && !producer.closed) {
        await producer.setMaxSpatialLayer(spatialLayer ?? 0);
      }
    }
  }

  async stop(slot: Slot): Promise<void> {
    const producer = this.producers.get(slot);
    if (!producer) return;
    this.producers.delete(slot);
    this.#pausedOnServer.delete(slot);
    producer.close();
    try {
      await this.#signaling.request("closeProducer", { producerId: producer.id });
    } catch (error) {
      // refused: the server has closed the producer already
      if (!(error instanceof Refused)) throw error;
    }
  }

  /** The first codec of that name, of VP9 with profile 0: software encodes no other well. */
  #codec(name: VideoCodec | null): ms.RtpCodecCapability | undefined {
    return this.#device.sendRtpCapabilities.codecs?.find(
      ({ mimeType, parameters }) =>
        mimeType.toLowerCase() === `video/${name}` && !Number(parameters?.["profile-id"] ?? 0),
    );
  }

  #coding(slot: Slot): Pick<ms.ProducerOptions, "encodings" | "codecOptions" | "codec"> {
    switch (slot) {
      case "mic":
        return { codecOptions: { opusStereo: false, opusDtx: true, opusFec: true, opusNack: true } };
      case "screen-audio":
        return { codecOptions: { opusStereo: true, opusDtx: true, opusNack: true } };
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
        const { codec: name, mode } = this.#options;
        const codec = this.#codec(name);
        const inOneStream = codec && (name === "vp9" || name === "av1");
        return {
          encodings: inOneStream
            ? [{ scalabilityMode: mode, maxBitrate: 1_300_000 }]
            : layers.slice(3 - this.#options.layers),
          ...(codec ? { codec } : {}),
          codecOptions: { videoGoogleStartBitrate: 1000 },
        };
      }
    }
  }

  // -- transports --------------------------------------------------------------------------------

  get transports(): ms.Transport[] {
    return [this.#recvTransport, this.#sendTransport].filter(
      (one) => one !== null && !one.closed,
    ) as ms.Transport[];
  }

  /** Restarts ICE on every transport: new credentials and candidates. Media goes on meanwhile. */
  async restartIce(): Promise<void> {
    await Promise.all(this.transports.map((transport) => this.#restart(transport)));
  }

  /** Restarts ICE where it is broken. Called when the signaling connection is back. */
  mend(): void {
    for (const transport of this.transports) this.#checkTransport(transport, 0);
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
        this.#checkTransport(transport, 0);
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
          layersWanted: (rtpParameters.encodings?.length ?? 0) > 1,
        })
        .then(done, failed);
    });
    transport.on("connectionstatechange", () => this.#checkTransport(transport, RESTART_AFTER_MS));
    return transport;
  }

  /** Updates `trouble`. If the transport is broken, it restarts ICE: at once, or after `wait` ms. */
  #checkTransport(transport: ms.Transport, wait: number): void {
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
              window.setTimeout(() => this.#checkTransport(transport, 0), RESTART_AGAIN_MS),
            );
          }
        };
        if (!this.#signaling.connected) return; // mend() is called when signaling is back
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
