// The screen before the meeting: preview, choice of devices, name.
import { useCallback, useEffect, useState } from "preact/hooks";
import type { LocalMedia } from "../local-media.ts";
import type { SelfCall } from "../self-call.ts";
import { words } from "../words/words.ts";
import { Heading, Avatar, InputPicks, LanguagePick, Loudness, RoundButton, SpeakerPick, Video } from "./bits.tsx";
import { Icon, Mark } from "./icons.tsx";
import { playTone, Trial } from "./Trial.tsx";

interface LobbyProps {
  local: LocalMedia;
  name: string;
  onJoin: (name: string) => void;
  /** makes a test call; null outside demo mode, where this page has one token only */
  selfCall: (() => SelfCall) | null;
  onBack: (() => void) | null;
}

export function Lobby({ local, name: remembered, onJoin, selfCall, onBack }: LobbyProps) {
  const [name, setName] = useState(remembered);
  const [testing, setTesting] = useState(false);
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
        {selfCall && testing ? (
          <Trial
            key={`${local.micTrack.value?.id} ${local.camTrack.value?.id}`}
            local={local}
            call={selfCall}
            onStop={() => setTesting(false)}
          />
        ) : null}
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
        <div class="with-button">
          <SpeakerPick local={local} />
          <button
            type="button"
            class="icon-button"
            aria-label={w.playTone}
            title={w.playTone}
            data-testid="tone-button"
            onClick={() => void playTone(local.speakerInUse.value)}
          >
            <Icon name="sound" />
          </button>
        </div>
        <button type="submit" class="primary big" data-testid="join-button">
          {w.join}
        </button>
        {selfCall && !testing ? (
          <button type="button" data-testid="trial-button" onClick={() => setTesting(true)}>
            {w.testSetUp}
          </button>
        ) : null}
      </form>
    </main>
  );
}
