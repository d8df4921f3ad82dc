// The signaling connection: Socket.IO over one websocket, with acknowledged requests both ways.
// This file handles the frames and knows nothing of the meeting. socket.io reconnects a lost
// connection. Requests made meanwhile are sent after that, or fail after their timeout.
import { io, type Socket } from "socket.io-client";
import type { Notice, Token } from "./protocol.ts";

const PATH = "/meetmedia/signaling";
const REQUEST_TIMEOUT_MS = 15_000;

export interface SignalingEvents {
  /** a notification of the server */
  notified(notice: Notice): void;
  /** a request of the server; if this rejects, the server gets the error */
  requested(method: string, data: unknown): Promise<unknown>;
  /** the connection is lost; socket.io tries to reconnect */
  interrupted(): void;
  /** the server has closed or refused the connection; socket.io does not reconnect */
  ended(): void;
}

/** The server has refused a request. */
export class Refused extends Error {
  override name = "Refused";
}

/** No answer came in time. */
export class TimedOut extends Error {
  override name = "TimedOut";
}

export class Signaling {
  readonly #socket: Socket;
  #closed = false;

  constructor(token: Token, events: SignalingEvents) {
    const { peerId, roomId, authToken } = token;
    this.#socket = io(token.origin, {
      path: PATH,
      query: { peerId, roomId, authToken },
      transports: ["websocket"],
      forceNew: true,
      reconnectionDelay: 300,
      reconnectionDelayMax: 3000,
      timeout: 8000,
    });
    const socket = this.#socket;
    socket.on("notification", (frame: { method?: unknown; data?: unknown } | null) => {
      if (!this.#closed && typeof frame?.method === "string") {
        // the server is trusted to follow the protocol; unknown methods are ignored later
        events.notified({ method: frame.method, data: frame.data ?? {} } as Notice);
      }
    });
    socket.on(
      "request",
      (frame: { method?: unknown; data?: unknown } | null, answer?: (...args: unknown[]) => void) => {
        if (this.#closed || typeof frame?.method !== "string") return;
        events.requested(frame.method, frame.data).then(
          (result) => answer?.(null, result),
          (error: unknown) => {
            console.warn("request of the server failed:", frame.method, error);
            answer?.(500, error instanceof Error ? error.message : "failed");
          },
        );
      },
    );
    socket.on("disconnect", (reason) => {
      if (this.#closed) return;
      if (reason === "io server disconnect") events.ended();
      else events.interrupted();
    });
    socket.on("connect_error", () => {
      // `active`: socket.io will try again
      if (!this.#closed && !socket.active) events.ended();
    });
  }

  get connected(): boolean {
    return this.#socket.connected;
  }

  /** Sends a request to the server; rejects with Refused or TimedOut. */
  request<T = unknown>(method: string, data: object = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new TimedOut(method));
        return;
      }
      this.#socket
        .timeout(REQUEST_TIMEOUT_MS)
        .emit(
          "request",
          { method, data },
          (timeout: Error | null, error?: unknown, result?: unknown) => {
            if (timeout) reject(new TimedOut(method));
            else if (error) reject(new Refused(typeof result === "string" ? result : method));
            else resolve(result as T);
          },
        );
    });
  }

  /** For tests: drops the connection as a bad network would. socket.io reconnects. */
  interrupt(): void {
    this.#socket.io.engine.close();
  }

  /** Disconnects. The server removes the peer at once. */
  close(): void {
    this.#closed = true;
    this.#socket.disconnect();
  }
}
