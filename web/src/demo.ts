// Calls the demo routes: they give rooms and tokens to everybody who can reach the page. The server
// has them in demo mode only. Otherwise the application that owns the meeting hands out tokens.
import { Plain } from "./words/words.ts";

async function post(path: string): Promise<Record<string, unknown>> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: "{}",
    });
  } catch {
    throw new Plain((w) => w.unreachable);
  }
  if (response.ok) return (await response.json()) as Record<string, unknown>;
  switch (response.status) {
    case 400:
      throw new Plain((w) => w.linkIncomplete);
    case 404:
    case 405:
      throw new Plain((w) => w.noDemo);
    case 429:
      throw new Plain((w) => w.tooMany);
    case 503:
      throw new Plain((w) => w.full);
    default:
      throw new Plain((w) => w.serverTrouble);
  }
}

function field(reply: Record<string, unknown>, name: string): string {
  const value = reply[name];
  if (typeof value !== "string") throw new Plain((w) => w.strangeAnswer);
  return value;
}

export async function makeRoom(): Promise<string> {
  return field(await post("/demo/rooms"), "roomId");
}

/** A token URL for a new peer of the room. */
export async function connection(roomId: string): Promise<string> {
  return field(await post(`/demo/rooms/${encodeURIComponent(roomId)}/connection`), "token");
}
