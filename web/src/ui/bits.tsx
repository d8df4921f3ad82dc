// Small components for several screens.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { LocalMedia } from "../local-media.ts";
import type { Grade } from "../quality.ts";
import { hueIndex, initials } from "../text.ts";
import { chooseLanguage, language, LANGUAGES, type Language, type Say, words } from "../words/words.ts";
import { Icon, type IconName } from "./icons.tsx";

/** A heading that takes the focus when its screen appears, so that screen readers read it. */
export function Heading({ children, class: name }: { children: ComponentChildren; class?: string }) {
  const ref = useRef<HTMLHeadingElement>(null);
  useEffect(() => ref.current?.focus({ preventScroll: true }), []);
  return (
    <h1 ref={ref} tabIndex={-1} class={name}>
      {children}
    </h1>
  );
}

export function Avatar({ id, name }: { id: string; name: string }) {
  return (
    <span class={`avatar hue-${hueIndex(id, 8)}`} aria-hidden="true">
      {initials(name)}
    </span>
  );
}

interface RoundButtonProps {
  icon: IconName;
  label: string;
  testId: string;
  onClick: () => void;
  /** the look of a button that is off, dangerous, on, or whose panel is open */
  look?: "off" | "danger" | "lit" | "open" | undefined;
  keys?: string;
  disabled?: boolean;
  expanded?: boolean;
  controls?: string;
  /** unread messages */
  badge?: number;
  /** a number that `label` says already */
  mark?: number;
}

export function RoundButton(props: RoundButtonProps) {
  const { icon, label, testId, onClick, look, keys, disabled, expanded, controls, badge, mark } = props;
  return (
    <button
      type="button"
      class={`round ${look ?? ""}`}
      data-testid={testId}
      aria-label={badge ? words.value.withUnread(label, badge) : label}
      aria-keyshortcuts={keys}
      aria-expanded={expanded}
      aria-controls={expanded ? controls : undefined}
      data-tip={keys ? `${label} (${keys})` : label}
      disabled={disabled}
      onClick={(event) => {
        // after a click of the mouse the space bar is for talking, not for this button
        if (event.detail > 0) event.currentTarget.blur();
        onClick();
      }}
    >
      <Icon name={icon} />
      {badge ? (
        <span class="badge" aria-hidden="true" data-testid="unread-count">
          {badge > 99 ? "99+" : badge}
        </span>
      ) : null}
      {mark ? (
        <span class="badge" aria-hidden="true">
          {mark}
        </span>
      ) : null}
    </button>
  );
}

interface VideoProps {
  track: MediaStreamTrack;
  mirror?: boolean;
  whole?: boolean;
  onPicture?: (() => void) | undefined;
}

/** A video track without sound. Outlets plays sound. */
export function Video({ track, mirror, whole, onPicture }: VideoProps) {
  const ref = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const video = ref.current;
    if (!video) return undefined;
    video.srcObject = new MediaStream([track]);
    return () => {
      video.srcObject = null;
    };
  }, [track]);
  return (
    <video
      ref={ref}
      class={`${mirror ? "mirror" : ""} ${whole ? "whole" : ""}`}
      autoplay
      muted
      playsInline
      aria-hidden="true"
      onLoadedData={onPicture}
    />
  );
}

interface PickProps {
  label: string;
  testId: string;
  devices: readonly MediaDeviceInfo[];
  value: string;
  none: string;
  onPick: (id: string) => void;
}

/** A select element for devices. */
export function Pick({ label, testId, devices, value, none, onPick }: PickProps) {
  const known = devices.some((device) => device.deviceId === value);
  return (
    <label class="field">
      <span>{label}</span>
      <select
        data-testid={testId}
        disabled={devices.length === 0}
        value={known ? value : (devices[0]?.deviceId ?? "")}
        onChange={(event) => onPick(event.currentTarget.value)}
      >
        {devices.length === 0 ? <option value="">{none}</option> : null}
        {devices.map((device) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label}
          </option>
        ))}
      </select>
    </label>
  );
}

interface InputPicksProps {
  local: LocalMedia;
  /** takes the choice: LocalMedia before the meeting, Sending during it */
  chooser: { chooseMic(id: string): Promise<void>; chooseCam(id: string): Promise<void> };
}

/** The select elements for microphone and camera. */
export function InputPicks({ local, chooser }: InputPicksProps) {
  const w = words.value;
  const { mics, cams } = local.devices.value;
  return (
    <>
      <Pick
        label={w.microphone}
        testId="mic-select"
        devices={mics}
        value={local.micId.value}
        none={w.noMicrophone}
        onPick={(id) => void chooser.chooseMic(id)}
      />
      <Pick
        label={w.camera}
        testId="cam-select"
        devices={cams}
        value={local.camId.value}
        none={w.noCamera}
        onPick={(id) => void chooser.chooseCam(id)}
      />
    </>
  );
}

/** The select element for the speaker, where the browser lets the page choose one. */
export function SpeakerPick({ local }: { local: LocalMedia }) {
  const w = words.value;
  if (!("setSinkId" in HTMLMediaElement.prototype)) return null;
  return (
    <Pick
      label={w.speaker}
      testId="speaker-select"
      devices={local.devices.value.speakers}
      value={local.speakerId.value}
      none={w.systemSpeaker}
      onPick={(id) => local.chooseSpeaker(id)}
    />
  );
}

/** The choice of the page's language. Each language is under its own name. */
export function LanguagePick() {
  return (
    <label class="field language">
      <span>{words.value.language}</span>
      <select
        data-testid="language-select"
        value={language.value}
        onChange={(event) => chooseLanguage(event.currentTarget.value as Language)}
      >
        {Object.entries(LANGUAGES).map(([tag, name]) => (
          <option key={tag} value={tag} lang={tag}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

const GRADES: Record<Grade, Say> = {
  1: (w) => w.qualityPoor,
  2: (w) => w.qualityFair,
  3: (w) => w.qualityGood,
};

export const gradeWords = (grade: Grade): string => GRADES[grade](words.value);

/** One to three bars; their number says the same as their colour. */
export function Signal({ grade }: { grade: Grade }) {
  return (
    <span class={`signal grade-${grade}`} title={gradeWords(grade)}>
      <svg viewBox="0 0 14 12" aria-hidden="true" focusable="false">
        {[1, 2, 3].map((bar) => (
          <rect
            key={bar}
            class={bar <= grade ? "on" : "off"}
            x={5 * bar - 5}
            y={12 - 4 * bar}
            width="3.5"
            height={4 * bar}
            rx="1"
          />
        ))}
      </svg>
    </span>
  );
}

/** A bar with the loudness of the microphone. It is updated without a render by Preact. */
export function Loudness({ read }: { read: () => number }) {
  const ref = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const timer = setInterval(() => {
      // loudness is heard logarithmically: -50 dB … 0 dB fill the bar
      const level = read();
      const share = level > 0 ? Math.max(0, Math.min(1, 1 + Math.log10(level) / 2.5)) : 0;
      ref.current?.style.setProperty("--level", share.toFixed(2));
    }, 80);
    return () => clearInterval(timer);
  }, [read]);
  return (
    <span class="loudness" aria-hidden="true">
      <span ref={ref} />
    </span>
  );
}
