// Messages about errors for the user. Names of exceptions and status codes are only in the console.

/** The reason why a device could not be opened, and what the user can do about it. */
export function deviceWords(kind: "microphone" | "camera" | "screen", error: unknown): string {
  const name = error instanceof Error ? error.name : "";
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return kind === "screen"
        ? "The browser was not allowed to share the screen."
        : `The browser may not use your ${kind}. Allow it in the address bar, then try again.`;
    case "NotFoundError":
    case "DevicesNotFoundError":
      return `No ${kind} was found.`;
    case "NotReadableError":
    case "TrackStartError":
      return `Your ${kind} is busy. Another program may be using it.`;
    case "InsecureContext":
      return `Browsers give a ${kind} only to pages opened over https or on this machine.`;
    default:
      return `Your ${kind} could not be started.`;
  }
}

/** An error with a message for the user. */
export class Plain extends Error {
  override name = "Plain";
}

export function words(error: unknown, otherwise: string): string {
  return error instanceof Plain ? error.message : otherwise;
}
