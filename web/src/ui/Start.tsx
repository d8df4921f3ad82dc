// The first screen: make a room, or open one by its link.
import { useState } from "preact/hooks";
import { makeRoom } from "../demo.ts";
import { roomIdIn } from "../protocol.ts";
import { words } from "../words.ts";
import { Avatar, Heading } from "./bits.tsx";
import { Mark } from "./icons.tsx";

export function Start({ onRoom }: { onRoom: (roomId: string) => void }) {
  const [busy, setBusy] = useState(false);
  const [link, setLink] = useState("");
  const [makeError, setMakeError] = useState("");
  const [linkError, setLinkError] = useState("");

  const make = async (): Promise<void> => {
    setBusy(true);
    setMakeError("");
    try {
      onRoom(await makeRoom());
    } catch (error) {
      setMakeError(words(error, "The meeting could not be made. Try again."));
      setBusy(false);
    }
  };

  const enter = (event: Event): void => {
    event.preventDefault();
    const roomId = roomIdIn(link);
    if (roomId) onRoom(roomId);
    else setLinkError("This does not look like a meeting link.");
  };

  return (
    <main class="start">
      <section class="start-words">
        <p class="brand">
          <Mark /> Meet
        </p>
        <Heading class="hero">Start a meeting, send the link, talk.</Heading>
        <p class="lead">No account, nothing to install. Whoever has the link can come in.</p>
        <button
          type="button"
          class="primary big"
          data-testid="make-room"
          disabled={busy}
          onClick={() => void make()}
        >
          {busy ? "One moment…" : "Start a meeting"}
        </button>
        <p class="problem" role="alert">
          {makeError}
        </p>
        <form class="link-form" onSubmit={enter} noValidate>
          <label for="link-input">Have a link?</label>
          <div class="joined">
            <input
              id="link-input"
              data-testid="link-input"
              type="text"
              inputMode="url"
              autocomplete="off"
              placeholder="Paste it here"
              value={link}
              aria-invalid={linkError !== ""}
              aria-describedby="link-problem"
              onInput={(event) => {
                setLink(event.currentTarget.value);
                setLinkError("");
              }}
            />
            <button type="submit" data-testid="link-join" disabled={link.trim() === ""}>
              Go
            </button>
          </div>
          <p id="link-problem" class="problem" role="alert">
            {linkError}
          </p>
        </form>
      </section>
      <Picture />
    </main>
  );
}

/** A small picture of a meeting, for decoration. */
function Picture() {
  return (
    <div class="picture" aria-hidden="true">
      {["Mira Okafor", "Lena Brandt", "Tom Ito", "Aria Silva"].map((name, index) => (
        <span key={name} class={`mini mini-${index}`}>
          <Avatar id={`mini${index}`} name={name} />
        </span>
      ))}
    </div>
  );
}
