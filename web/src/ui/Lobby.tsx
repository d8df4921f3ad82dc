// The screen before the meeting: preview, choice of devices, name.
import { useCallback, useEffect, useState } from "preact/hooks";
import type { LocalMedia } from "../local-media.ts";
import { Heading, Avatar, InputPicks, Loudness, RoundButton, Video } from "./bits.tsx";
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

  const micOn = local.micOn.value;
  const camOn = local.camOn.value;
  const cam = local.camTrack.value;
  const problem = local.camProblem.value || local.micProblem.value;

  return (
    <main class="lobby">
      <header class="lobby-head">
        {onBack ? (
          <button type="button" class="brand plain" onClick={onBack} aria-label="Meet, back to the start">
            <Mark /> Meet
          </button>
        ) : (
          <p class="brand">
            <Mark /> Meet
          </p>
        )}
      </header>
      <section class="preview" aria-label="Preview">
        <div class="preview-box">
          {camOn && cam ? (
            <Video track={cam} mirror />
          ) : (
            <div class="faceless">
              <Avatar id={name || "you"} name={name || "You"} />
              <p>{camOn ? "Starting the camera…" : "Your camera is off"}</p>
            </div>
          )}
          <div class="preview-controls">
            <RoundButton
              icon={micOn ? "mic" : "mic-off"}
              label={micOn ? "Mute microphone" : "Unmute microphone"}
              look={micOn ? undefined : "off"}
              testId="mic-toggle"
              onClick={() => void toggleMic()}
            />
            <RoundButton
              icon={camOn ? "cam" : "cam-off"}
              label={camOn ? "Turn camera off" : "Turn camera on"}
              look={camOn ? undefined : "off"}
              testId="cam-toggle"
              onClick={() => void toggleCam()}
            />
            <Loudness read={read} />
          </div>
        </div>
        <p class="problem" role="status">
          {problem}
        </p>
      </section>
      <form
        class="lobby-form"
        onSubmit={(event) => {
          event.preventDefault();
          onJoin(name.trim());
        }}
      >
        <Heading>Ready to join?</Heading>
        <label class="field">
          <span>Your name</span>
          <input
            data-testid="name-input"
            type="text"
            autocomplete="name"
            maxLength={60}
            placeholder="Guest"
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <InputPicks local={local} chooser={local} />
        <button type="submit" class="primary big" data-testid="join-button">
          Join the meeting
        </button>
      </form>
    </main>
  );
}
