// Reads the address of the page. Its query has the options:
// `?autojoin=1&name=X&video=0&audio=0&layers=N&codec=av1&mode=L3T3&ice=relay&wishes=0`. Its path or its fragment has the place;
// outside demo mode that is `#token=<url-encoded token URL>`. Pure.
import { roomIdIn } from "./protocol.ts";

/** The paths that media may take: any, only a TURN relay, or only TCP to the server. */
export type IcePath = "any" | "relay" | "tcp";

/** The codec of the camera. */
export type VideoCodec = "vp8" | "vp9" | "h264" | "av1";

const CODECS: readonly VideoCodec[] = ["vp8", "vp9", "h264", "av1"];

export interface PageOptions {
  /** join at once, without the lobby: for kiosks and tests */
  autojoin: boolean;
  /** null: the remembered name */
  name: string | null;
  video: boolean;
  audio: boolean;
  layers: number;
  /** null: the server's first one */
  codec: VideoCodec | null;
  /** of VP9 and AV1, like L3T3_KEY: all layers in one stream */
  mode: string;
  ice: IcePath;
  /** ask for layers that fit the tiles; otherwise for the highest */
  wishes: boolean;
}

const DEFAULT_MODE = "L3T3_KEY";

export type Place =
  | { kind: "start" }
  | { kind: "room"; roomId: string }
  | { kind: "token"; token: string };

export function optionsOf(search: string): PageOptions {
  const query = new URLSearchParams(search);
  const ice = query.get("ice");
  const mode = query.get("mode") ?? DEFAULT_MODE;
  const layers = Number(query.get("layers") ?? 3);
  return {
    autojoin: query.get("autojoin") === "1",
    name: query.get("name"),
    video: query.get("video") !== "0",
    audio: query.get("audio") !== "0",
    codec: CODECS.find((codec) => codec === query.get("codec")) ?? null,
    mode: /^[LS]\dT\d(h|_KEY|_KEY_SHIFT)?$/.test(mode) ? mode : DEFAULT_MODE,
    layers: Number.isInteger(layers) && layers >= 1 && layers <= 3 ? layers : 3,
    ice: ice === "relay" || ice === "tcp" ? ice : "any",
    wishes: query.get("wishes") !== "0",
  };
}

export function placeOf(pathname: string, hash: string): Place {
  const token = new URLSearchParams(hash.replace(/^#/, "")).get("token");
  if (token) return { kind: "token", token };
  const room = /^\/room\/([^/]+)\/?$/.exec(pathname)?.[1];
  const roomId = room ? roomIdIn(room) : null;
  return roomId ? { kind: "room", roomId } : { kind: "start" };
}
