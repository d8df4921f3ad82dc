// The first screen: make a room, or open one by its link.
import { useState } from "preact/hooks";
import { makeRoom } from "../demo.ts";
import { roomIdIn } from "../protocol.ts";
import { reasonOf, type Say, words } from "../words/words.ts";
import { Avatar, Heading, LanguagePick } from "./bits.tsx";
import { Mark } from "./icons.tsx";

export function Start({ onRoom }: { onRoom: (roomId: string) => void }) {
  const [busy, setBusy] = useState(false);
  const [link, setLink] = useState("");
  const [makeError, setMakeError] = useState<{ say: Say } | null>(null);
  const [linkWrong, setLinkWrong] = useState(false);
  const w = words.value;

  const make = async (): Promise<void> => {
    setBusy(true);
    setMakeError(null);
    try {
      onRoom(await makeRoom());
    } catch (error) {
      setMakeError({ say: reasonOf(error, (all) => all.notMade) });
      setBusy(false);
    }
  };

  const enter = (event: Event): void => {
    event.preventDefault();
    const roomId = roomIdIn(link);
    if (roomId) onRoom(roomId);
    else setLinkWrong(true);
  };

  return (
    <main class="start">
      <section class="start-words">
        <p class="brand">
          <Mark /> {w.untitled}
        </p>
        <Heading class="hero">{w.hero}</Heading>
        <p class="lead">{w.lead}</p>
        <button
          type="button"
          class="primary big"
          data-testid="make-room"
          disabled={busy}
          onClick={() => void make()}
        >
          {busy ? w.oneMoment : w.startMeeting}
        </button>
        <p class="problem" role="alert">
          {makeError?.say(w)}
        </p>
        <form class="link-form" onSubmit={enter} noValidate>
          <label for="link-input">{w.haveLink}</label>
          <div class="joined">
            <input
              id="link-input"
              data-testid="link-input"
              type="text"
              inputMode="url"
              autocomplete="off"
              placeholder={w.pasteHere}
              value={link}
              aria-invalid={linkWrong}
              aria-describedby="link-problem"
              onInput={(event) => {
                setLink(event.currentTarget.value);
                setLinkWrong(false);
              }}
            />
            <button type="submit" data-testid="link-join" disabled={link.trim() === ""}>
              {w.go}
            </button>
          </div>
          <p id="link-problem" class="problem" role="alert">
            {linkWrong ? w.noLink : ""}
          </p>
        </form>
        <LanguagePick />
      </section>
      <Picture />
    </main>
  );
}

const FACES = ["Mira Okafor", "Lena Brandt", "Tom Ito", "Aria Silva"];

/** A small picture of a meeting, for decoration. */
function Picture() {
  return (
    <div class="picture" aria-hidden="true">
      {FACES.map((name, index) => (
        <span key={name} class={`mini mini-${index}`}>
          <Avatar id={`mini${index}`} name={name} />
        </span>
      ))}
    </div>
  );
}
