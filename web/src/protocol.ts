// The messages of the signaling protocol, as far as this page uses them, with roles and the token
// URL. Pure: this file uses neither the network nor the document.
import type { types as ms } from "mediasoup-client";

export const Role = { subscriber: 1, publisher: 2, moderator: 4, screen: 8, owner: 16 } as const;

export type Source = "mic" | "webcam" | "screen";
export type Kind = "audio" | "video";

export interface PeerInfo {
  id: string;
  language: string | null;
  /** false until the peer has joined with a name */
  nickname: string | false;
  role: number;
  raisedHand: boolean;
}

export interface JoinReply extends PeerInfo {
  peers: PeerInfo[];
}

export interface RoomReady {
  iceServers: RTCIceServer[] | null;
  roomId: string;
}

export interface TransportReply {
  id: string;
  iceParameters: ms.IceParameters;
  iceCandidates: ms.IceCandidate[];
  dtlsParameters: ms.DtlsParameters;
}

export interface NewConsumer {
  peerId: string;
  kind: Kind;
  producerId: string;
  id: string;
  rtpParameters: ms.RtpParameters;
  type: "simple" | "simulcast" | "svc";
  appData: { source?: Source };
  producerPaused: boolean;
}

/** The latest speakers with a camera, whose cameras are sent; `lastN` null: all cameras are. */
export interface ForwardedPeers {
  lastN: number | null;
  peerIds: string[];
}

export interface SpeakersReply extends ForwardedPeers {
  activeSpeaker: string | null;
}

/** Somebody waits outside: the application sends this to moderators by `POST signal`. */
export interface JoinRequest {
  requestId: string;
  nickname?: string | null;
}

/** The notifications of the server that this page handles. */
export type Notice =
  | { method: "roomReady"; data: RoomReady }
  | { method: "roomBack"; data: object }
  | { method: "newPeer"; data: PeerInfo }
  | { method: "peerClosed"; data: { peerId: string } }
  | { method: "consumerClosed" | "consumerPaused" | "consumerResumed"; data: { consumerId: string } }
  | {
      method: "producerLayersWanted";
      /** the highest layer that anybody wants, null while nobody watches */
      data: { producerId: string; spatialLayer: number | null };
    }
  | {
      method: "consumerScoreChanged";
      data: { consumerId: string; score: number | { score: number } };
    }
  | { method: "activeSpeaker"; data: { peerId: string | null } }
  | { method: "forwardedPeers"; data: ForwardedPeers }
  | { method: "changeNickname"; data: { peerId: string; nickname: string | false } }
  | { method: "changeLanguage"; data: { peerId: string; language: string | null } }
  | { method: "changeRaisedHand"; data: { peerId: string; raisedHand: boolean } }
  | { method: "changeRole"; data: { peerId: string; role: number } }
  | { method: "chatMessage"; data: { peerId: string; nickname: string | false; message: string } }
  | { method: "signal:joinRequest"; data: Partial<JoinRequest> | null }
  | { method: "moderator:kickPeer" | "moderator:closeRoom"; data: object };

export interface Token {
  /** origin of the signaling server: ws(s)://host:port */
  origin: string;
  peerId: string;
  roomId: string;
  authToken: string;
}

/** The parts of a token URL `ws(s)://host?peerId=…&roomId=…&authToken=…`; null if it is none. */
export function parseToken(text: string): Token | null {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  if (!/^(wss?|https?):$/.test(url.protocol)) return null;
  const peerId = url.searchParams.get("peerId");
  const roomId = url.searchParams.get("roomId");
  const authToken = url.searchParams.get("authToken");
  if (!peerId || !roomId || !authToken) return null;
  const origin = `${url.protocol.replace("http", "ws")}//${url.host}`;
  return { origin, peerId, roomId, authToken };
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;

/** The room id in a pasted link, path or bare id; null if there is none. */
export function roomIdIn(text: string): string | null {
  return UUID.exec(text)?.[0].toLowerCase() ?? null;
}

export const has = (role: number, bit: number): boolean => (role & bit) !== 0;

/** The name of a peer, `otherwise` if it has given none. */
export function nameOf(peer: Pick<PeerInfo, "nickname"> | null | undefined, otherwise: string): string {
  return (peer?.nickname || "").trim() || otherwise;
}
