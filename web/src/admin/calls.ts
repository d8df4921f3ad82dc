// The calls of the server, below the page's own path.
import type { Session } from "./types.ts";

const PATIENCE_MS = 8000;

export class CallError extends Error {
  readonly status: number;

  /** `status` 0: the server does not answer. */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** the page's own path, which is a setting of the server */
export const HERE = location.pathname.replace(/\/+$/, "");

type Method = "GET" | "POST" | "DELETE";

/** Calls the server; `path` is below `/api`. Throws CallError. */
export async function call<Answer>(path: string, method: Method = "GET", body?: object): Promise<Answer> {
  const response = await send(path, method, body, AbortSignal.timeout(PATIENCE_MS));
  try {
    return (await response.json()) as Answer;
  } catch {
    throw new CallError(0, "The server does not answer.");
  }
}

/** The response, if it is none of an error. */
export async function send(
  path: string,
  method: Method,
  body: object | undefined,
  signal: AbortSignal,
): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json" };
  // a page of another origin cannot send this header
  if (method !== "GET") headers["x-meet-trio-admin"] = "1";
  if (body) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(`${HERE}/api${path}`, {
      method,
      headers,
      signal,
      credentials: "same-origin",
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
  } catch {
    throw new CallError(0, "The server does not answer.");
  }
  if (!response.ok) throw new CallError(response.status, await errorOf(response));
  return response;
}

async function errorOf(response: Response): Promise<string> {
  try {
    const { error } = (await response.json()) as { error?: string };
    if (error) return error;
  } catch {
    // a proxy's own page
  }
  return `The server answered ${response.status}.`;
}

export const currentSession = async (): Promise<Session> => dated(await call<Session>("/session"));
export const logIn = async (token: string): Promise<Session> =>
  dated(await call<Session>("/session", "POST", { token }));
export const logOut = (): Promise<object> => call<object>("/session", "DELETE");

function dated(session: Session): Session {
  if (session.endsIn === null) return { ...session, endsAt: null };
  const end = new Date(Date.now() + 1000 * session.endsIn);
  const near = session.endsIn < 86_400;
  const words = near
    ? `at ${end.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`
    : `on ${end.toLocaleDateString()}`;
  return { ...session, endsAt: words };
}
