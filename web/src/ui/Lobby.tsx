// The screen before the meeting: preview, choice of devices, name.
import { useCallback, useEffect, useState } from "preact/hooks";
import type { LocalMedia } from "../local-media.ts";
import { words } from "../words/words.ts";
import { Heading, Avatar, InputPicks, LanguagePick, Loudness, RoundButton, Video } from "./bits.tsx";
import { Mark } from "./icons.tsx";

interface LobbyProps {
  local: LocalMedia;
  name: string;
  onJoin: (name: string) => void;
  onBack: (() => void) | null;
}

export function Lobby({ local, name: remembered, onJoin, onBack }: LobbyProps) {
  const [name, setName] = useState(remembered);
  const read = useCallback(() => local.level(), [local]);

  useEffect(() => {
    // one after the other: two permission prompts at once would confuse the user
    void (async () => {
      if (local.micOn.value && !(await local.openMic())) local.micOn.value = false;
      if (local.camOn.value && !(await local.openCam())) local.camOn.value = false;
    })();
  }, [local]);

  const toggleMic = async (): Promise<void> => {
    if (local.micOn.value) {
      local.micOn.value = false;
      local.closeMic();
    } else {
      local.micOn.value = true;
      if (!(await local.openMic())) local.micOn.value = false;
    }
  };

  const toggleCam = async (): Promise<void> => {
    if (local.camOn.value) {
      local.camOn.value = false;
      local.closeCam();
    } else {
      local.camOn.value = true;
      if (!(await local.openCam())) local.camOn.value = false;
    }
  };

  const w = words.value;
  const micOn = local.micOn.value;
  const camOn = local.camOn.value;
  const cam = local.camTrack.value;
  const problem = local.camProblem.value ?? local.micProblem.value;

  return (
    <main class="lobby">
      <header class="lobby-head">
        {onBack ? (
          <button type="button" class="brand plain" onClick={onBack} aria-label={w.backToStart}>
            <Mark /> {w.untitled}
          </button>
        ) : (
          <p class="brand">
            <Mark /> {w.untitled}
          </p>
        )}
        <LanguagePick />
      </header>
      <section class="preview" aria-label={w.preview}>
        <div class="preview-box">
          {camOn && cam ? (
            <Video track={cam} mirror />
          ) : (
            <div class="faceless">
              <Avatar id={name || "you"} name={name || w.you} />
              <p>{camOn ? w.startingCamera : w.cameraIsOff}</p>
            </div>
          )}
          <div class="preview-controls">
            <RoundButton
              icon={micOn ? "mic" : "mic-off"}
              label={micOn ? w.mute : w.unmute}
              look={micOn ? undefined : "off"}
              testId="mic-toggle"
              onClick={() => void toggleMic()}
            />
            <RoundButton
              icon={camOn ? "cam" : "cam-off"}
              label={camOn ? w.cameraOff : w.cameraOn}
              look={camOn ? undefined : "off"}
              testId="cam-toggle"
              onClick={() => void toggleCam()}
            />
            <Loudness read={read} />
          </div>
        </div>
        <p class="problem" role="status">
          {problem?.(w)}
        </p>
      </section>
      <form
        class="lobby-form"
        onSubmit={(event) => {
          event.preventDefault();
          onJoin(name.trim());
        }}
      >
        <Heading>{w.readyToJoin}</Heading>
        <label class="field">
          <span>{w.yourName}</span>
          <input
            data-testid="name-input"
            type="text"
            autocomplete="name"
            maxLength={60}
            placeholder={w.guest}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <InputPicks local={local} chooser={local} />
        <button type="submit" class="primary big" data-testid="join-button">
          {w.join}
        </button>
      </form>
    </main>
  );
}
