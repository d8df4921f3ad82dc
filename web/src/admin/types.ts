// The answers of the admin page's calls, see the server's admin/openapi.py.

export interface Session {
  version: string;
  /** seconds */
  endsIn: number | null;
  /** in words; set by the page */
  endsAt?: string | null | undefined;
  trace: boolean;
}

/** Bitrates in bit/s, the worst loss as a share of 1, the longest round trip in ms. */
export interface Link {
  in: number;
  out: number;
  loss: number;
  rtt: number;
}

export interface Engine {
  port: number;
  failed: boolean;
  peers: number;
  busySeconds: number;
  bytesIn: number;
  bytesOut: number;
}

export interface Server {
  healthy: boolean;
  reasons: string[];
  draining: boolean;
  rooms: number;
  peers: number;
  memory: number;
  engines: Engine[];
  lag: { seconds: number; bounds: number[]; held: { counts: number[] } };
}

export interface RoomRow extends Link {
  id: string;
  age: number;
  connected: number;
  away: number;
  invited: number;
  producers: number;
  consumers: number;
  engines: number[];
}

export type PeerState = "invited" | "connected" | "away";

export interface PeerRow extends Link {
  id: string;
  name: string;
  role: string;
  state: PeerState;
  joined: boolean;
  age: number;
  address: string;
  estimate: number;
  /** `mic webcam-paused` */
  sends: string;
  consumers: number;
}

export interface Transport extends Link {
  id: string;
  type: "webrtc" | "plain";
  direction: "sends" | "receives";
  state: string;
  ice: string;
  protocol: string | null;
  address: string;
  estimate: number;
  wanted: number;
  traced: boolean;
}

export interface Layer {
  active: boolean;
  bitrate: number;
  width: number;
  height: number;
  score: number;
}

export interface Producer {
  id: string;
  kind: "audio" | "video";
  source: string;
  paused: boolean;
  viewers: number;
  layers: Layer[];
}

export interface Consumer {
  id: string;
  kind: "audio" | "video";
  source: string;
  publisher: string;
  publisherName: string;
  reason: string;
  /** it is so although nobody wants it */
  trouble: boolean;
  /** encodings of the publisher */
  layers: number;
  spatial: number | null;
  temporal: number | null;
  target: number | null;
  preferred: number | null;
  bitrate: number;
  loss: number;
  score: number | null;
  freezes: number;
}

export interface Peer extends PeerRow {
  transports: Transport[];
  producers: Producer[];
  watched: Consumer[];
}

export interface Table<Row> {
  total: number;
  found: number;
  offset: number;
  rows: Row[];
}

export interface RoomsAnswer {
  server: Server;
  rooms: Table<RoomRow>;
}

export interface RoomAnswer {
  server: Server;
  room: Link & { id: string; age: number; lastN: number | null };
  peers: Table<PeerRow>;
}

export interface Explanation {
  sentences: string[];
  reason: string | null;
}
