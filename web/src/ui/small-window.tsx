// A small window that stays on top of other programs. Where the browser has Document
// Picture-in-Picture, it shows who speaks, with buttons. Elsewhere it is one video.
import { render } from "preact";
import type { Meeting } from "../meeting.ts";
import { words } from "../words/words.ts";
import { Avatar, RoundButton, Video } from "./bits.tsx";
import { mainTile } from "./Stage.tsx";
import type { View } from "./view.ts";

interface DocumentPip {
  readonly window: Window | null;
  requestWindow(options: { width: number; height: number }): Promise<Window>;
}

const documentPip = (): DocumentPip | null =>
  (globalThis as { documentPictureInPicture?: DocumentPip }).documentPictureInPicture ?? null;

export const canShrink = (): boolean =>
  documentPip() !== null || ("pictureInPictureEnabled" in document && document.pictureInPictureEnabled);

/** Opens the small window, or closes it. The browser allows it after a click or a key only. */
export async function toggleSmallWindow(meeting: Meeting, view: View): Promise<void> {
  try {
    const pip = documentPip();
    if (pip?.window) pip.window.close();
    else if (pip) await openDocument(pip, meeting, view);
    else if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else await openVideo();
  } catch (error) {
    console.warn("small window:", error);
    meeting.tell((w) => w.smallWindowFailed, true);
  }
}

/** Closes the small window, when the meeting screen goes. */
export function closeSmallWindow(): void {
  documentPip()?.window?.close();
  if (document.pictureInPictureElement) void document.exitPictureInPicture().catch(() => undefined);
}

async function openDocument(pip: DocumentPip, meeting: Meeting, view: View): Promise<void> {
  const small = await pip.requestWindow({ width: 380, height: 250 });
  for (const sheet of document.querySelectorAll("link[rel=stylesheet], style")) {
    small.document.head.append(sheet.cloneNode(true));
  }
  small.document.documentElement.lang = document.documentElement.lang;
  small.document.title = words.value.meeting;
  render(<Small meeting={meeting} view={view} />, small.document.body);
  small.addEventListener("pagehide", () => render(null, small.document.body), { once: true });
}

async function openVideo(): Promise<void> {
  const videos = ["large", "active", "tile:not(.self)", "tile"].map((name) =>
    document.querySelector<HTMLVideoElement>(`.stage .${name} > video`),
  );
  const video = videos.find((one) => one !== null);
  if (!video) throw new Error("nobody shows a picture");
  await video.requestPictureInPicture();
}

function Small({ meeting, view }: { meeting: Meeting; view: View }) {
  const w = words.value;
  if (meeting.ending.value) return <p class="small-window">{meeting.ending.value.say(w)}</p>;
  const { local, sending } = meeting;
  const tile = mainTile(meeting, view);
  const micOn = local.micOn.value;
  const camOn = local.camOn.value;
  return (
    <main class="small-window" data-testid="small-window">
      {tile?.track ? (
        <Video track={tile.track} mirror={tile.self && !tile.screen} whole={tile.screen} />
      ) : (
        <Avatar id={tile?.peerId ?? ""} name={tile?.name ?? ""} />
      )}
      <p class="small-name">{tile?.name}</p>
      <div class="small-buttons">
        <RoundButton
          icon={micOn ? "mic" : "mic-off"}
          label={micOn ? w.mute : w.unmute}
          look={micOn ? undefined : "off"}
          testId="small-mic"
          disabled={!meeting.canPublish}
          onClick={() => void sending.setMic(!micOn)}
        />
        <RoundButton
          icon={camOn ? "cam" : "cam-off"}
          label={camOn ? w.cameraOff : w.cameraOn}
          look={camOn ? undefined : "off"}
          testId="small-cam"
          disabled={!meeting.canPublish}
          onClick={() => void sending.setCam(!camOn)}
        />
        <RoundButton
          icon="leave"
          label={w.leave}
          look="danger"
          testId="small-leave"
          onClick={() => meeting.leave()}
        />
      </div>
    </main>
  );
}
