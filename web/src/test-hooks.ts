// `window.meetTest`, the hooks for end-to-end tests. They read the state of the page and allow
// nothing that the page's user cannot do. web/README.md documents them.
import type { MediaSession } from "./media-session.ts";
import type { Page } from "./ui/App.tsx";

type Figures = Record<string, string | number | boolean | null>;

export interface MeetTest {
  state(): object;
  /** the tracks that are sent, by slot */
  sending(): { slot: string; label: string }[];
  stats(): Promise<Figures[]>;
  sendStats(): Promise<Figures[]>;
  transports(): Promise<Figures[]>;
  restartIce(): Promise<void>;
  /** drops the websocket as a bad network would */
  interrupt(): void;
}

export function testHooks(page: Page): MeetTest {
  const session = (): MediaSession | null => page.meeting.value?.session ?? null;
  return {
    state() {
      const meeting = page.meeting.value;
      return {
        joined: meeting?.phase.value === "live",
        phase: meeting?.phase.value ?? "lobby",
        ending: meeting?.ending.value?.why ?? null,
        me: meeting?.me.value ?? null,
        peers: [...(meeting?.peers.value.values() ?? [])],
        consumers: [...(meeting?.streams.value.values() ?? [])].map(
          ({ id, kind, peerId, source, paused, score }) => ({ id, kind, peerId, source, paused, score }),
        ),
        producers: [...(session()?.producers ?? [])].map(([slot, producer]) => ({
          slot,
          id: producer.id,
          paused: producer.paused,
        })),
        speaking: [...(meeting?.speaking.value ?? [])],
        activeSpeaker: meeting?.activeSpeaker.value ?? null,
      };
    },

    sending() {
      return [...(session()?.producers ?? [])].flatMap(([slot, { track }]) =>
        track ? [{ slot, label: track.label }] : [],
      );
    },

    async stats() {
      const out: Figures[] = [];
      for (const [id, receiving] of session()?.consumers ?? []) {
        const stream = page.meeting.value?.streams.value.get(id);
        const figures: Figures = {
          id,
          kind: receiving.consumer.kind,
          mimeType: receiving.consumer.rtpParameters.codecs[0]?.mimeType ?? null,
          peerId: stream?.peerId ?? null,
          source: stream?.source ?? null,
          paused: stream?.paused ?? null,
          timeToFirstFrame:
            receiving.firstFrame === null ? null : receiving.firstFrame - receiving.asked,
        };
        for (const entry of (await receiving.consumer.getStats()).values()) {
          if (entry.type === "inbound-rtp") take(figures, entry, INBOUND);
        }
        out.push(figures);
      }
      return out;
    },

    async sendStats() {
      const out: Figures[] = [];
      for (const [slot, producer] of session()?.producers ?? []) {
        for (const entry of (await producer.getStats()).values()) {
          if (entry.type !== "outbound-rtp") continue;
          const figures: Figures = { slot, id: producer.id, paused: producer.paused };
          take(figures, entry, OUTBOUND);
          out.push(figures);
        }
      }
      return out;
    },

    async transports() {
      const out: Figures[] = [];
      for (const transport of session()?.transports ?? []) {
        const figures: Figures = {
          id: transport.id,
          direction: transport.direction,
          connectionState: transport.connectionState,
        };
        const stats = await transport.getStats();
        for (const entry of stats.values()) {
          if (entry.type === "transport") take(figures, entry, TRANSPORT);
          if (entry.type !== "candidate-pair" || !entry.nominated) continue;
          take(figures, entry, PAIR);
          take(figures, stats.get(entry.localCandidateId) ?? {}, OWN_CANDIDATE);
          figures.serverAddress = stats.get(entry.remoteCandidateId)?.address ?? null;
        }
        out.push(figures);
      }
      return out;
    },

    async restartIce() {
      await session()?.restartIce();
    },

    interrupt() {
      page.meeting.value?.interrupt();
    },
  };
}

const INBOUND = (
  "packetsReceived packetsLost packetsDiscarded bytesReceived jitter nackCount pliCount firCount " +
  "framesReceived framesDecoded framesDropped framesPerSecond frameWidth frameHeight " +
  "keyFramesDecoded freezeCount totalFreezesDuration totalAudioEnergy totalSamplesReceived " +
  "concealedSamples audioLevel retransmittedPacketsReceived fecPacketsReceived decoderImplementation"
).split(" ");
const OUTBOUND = (
  "rid active packetsSent bytesSent retransmittedPacketsSent framesSent framesEncoded " +
  "framesPerSecond frameWidth frameHeight keyFramesEncoded targetBitrate nackCount pliCount " +
  "firCount qualityLimitationReason scalabilityMode encoderImplementation"
).split(" ");
const TRANSPORT = "dtlsState iceState srtpCipher tlsVersion packetsSent packetsReceived".split(" ");
const PAIR = "currentRoundTripTime availableOutgoingBitrate responsesReceived requestsSent".split(" ");
const OWN_CANDIDATE = ["candidateType", "relayProtocol", "protocol"];

function take(figures: Figures, entry: Record<string, unknown>, names: readonly string[]): void {
  for (const name of names) {
    const value = entry[name];
    if (["string", "number", "boolean"].includes(typeof value)) {
      figures[name] = value as string | number | boolean;
    }
  }
}

declare global {
  interface Window {
    meetTest: MeetTest;
  }
}
