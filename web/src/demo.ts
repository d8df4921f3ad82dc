// Calls the demo routes: they give rooms and tokens to everybody who can reach the page. The server
// has them in demo mode only. Otherwise the application that owns the meeting hands out tokens.
import { Plain } from "./words.ts";

async function post(path: string): Promise<Record<string, unknown>> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: "{}",
    });
  } catch {
    throw new Plain("The server can't be reached. Check the connection and try again.");
  }
  if (response.ok) return (await response.json()) as Record<string, unknown>;
  switch (response.status) {
    case 400:
      throw new Plain("This link is not complete. Ask for it again.");
    case 404:
    case 405:
      throw new Plain(
        "This server does not hand out meetings by itself. Open the link you were given.",
      );
    case 429:
      throw new Plain("Too many requests just now. Wait a moment and try again.");
    case 503:
      throw new Plain("The server is full at the moment. Try again later.");
    default:
      throw new Plain("The server had a problem. Try again.");
  }
}

function field(reply: Record<string, unknown>, name: string): string {
  const value = reply[name];
  if (typeof value !== "string") throw new Plain("The server gave an answer nobody understands.");
  return value;
}

export async function makeRoom(): Promise<string> {
  return field(await post("/demo/rooms"), "roomId");
}

/** A token URL for a new peer of the room. */
export async function connection(roomId: string): Promise<string> {
  return field(await post(`/demo/rooms/${encodeURIComponent(roomId)}/connection`), "token");
}
