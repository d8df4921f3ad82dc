// The user's own microphone and camera, from the first preview to the end of the meeting.
// LocalMedia owns their tracks and stops them. `micOn` and `camOn` say what the user wants, the
// tracks what there is. `openScreen` opens a screen; its tracks belong to the caller.
//
// A muted microphone stays open, so unmuting is instant. A camera that is off is closed, so its
// light goes out.
import { computed, signal } from "@preact/signals";
import { lostDevice, newDevices } from "./devices.ts";
import { recall, remember } from "./prefs.ts";
import { deviceWords, type Say } from "./words/words.ts";

export interface Devices {
  mics: MediaDeviceInfo[];
  cams: MediaDeviceInfo[];
  speakers: MediaDeviceInfo[];
}

const CAMERA: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30, max: 30 },
};
const MICROPHONE: MediaTrackConstraints = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};

export class LocalMedia {
  readonly micOn = signal(true);
  readonly camOn = signal(true);
  readonly micTrack = signal<MediaStreamTrack | null>(null);
  readonly camTrack = signal<MediaStreamTrack | null>(null);
  readonly micProblem = signal<Say | null>(null);
  readonly camProblem = signal<Say | null>(null);
  readonly devices = signal<Devices>({ mics: [], cams: [], speakers: [] });
  readonly micId = signal(recall("mic"));
  readonly camId = signal(recall("camera"));
  readonly speakerId = signal(recall("speaker"));
  /** the chosen speaker if it is there, else "": the system's */
  readonly speakerInUse = computed(() => {
    const chosen = this.speakerId.value;
    return this.devices.value.speakers.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
  });
  /** Called when a device has come or gone, with what to tell the user. The tracks are up to date. */
  onDevice: ((kind: "mic" | "cam" | "speaker", news: Say) => void) | null = null;

  readonly #meter = new Meter();
  #closed = false;

  constructor() {
    navigator.mediaDevices?.addEventListener("devicechange", this.#listDevices);
    void this.#listDevices();
  }

  /** The present loudness of the microphone, 0-1. */
  level(): number {
    return this.micTrack.value?.enabled ? this.#meter.read() : 0;
  }

  /** Opens the microphone if it is closed; false if that fails (`micProblem` says why). */
  async openMic(): Promise<boolean> {
    if (this.micTrack.value?.readyState === "live") return true;
    try {
      const track = await openTrack("audio", MICROPHONE, this.micId.value);
      if (this.#closed) {
        track.stop();
        return false;
      }
      track.addEventListener("ended", () => void this.#lost("mic", track));
      this.micTrack.value?.stop();
      this.micTrack.value = track;
      this.micProblem.value = null;
      this.#meter.listen(track);
      void this.#listDevices();
      return true;
    } catch (error) {
      console.warn("microphone:", error);
      this.micProblem.value = deviceWords("mic", error);
      return false;
    }
  }

  async openCam(): Promise<boolean> {
    if (this.camTrack.value?.readyState === "live") return true;
    try {
      const track = await openTrack("video", CAMERA, this.camId.value);
      if (this.#closed) {
        track.stop();
        return false;
      }
      track.contentHint = "motion";
      track.addEventListener("ended", () => void this.#lost("cam", track));
      this.camTrack.value?.stop();
      this.camTrack.value = track;
      this.camProblem.value = null;
      void this.#listDevices();
      return true;
    } catch (error) {
      console.warn("camera:", error);
      this.camProblem.value = deviceWords("cam", error);
      return false;
    }
  }

  closeMic(): void {
    this.micTrack.value?.stop();
    this.micTrack.value = null;
    this.#meter.listen(null);
  }

  closeCam(): void {
    this.camTrack.value?.stop();
    this.camTrack.value = null;
  }

  /** Remembers the choice; reopens the device if it was open. The caller sends the new track. */
  async chooseMic(id: string): Promise<void> {
    this.micId.value = id;
    remember("mic", id);
    if (!this.micTrack.value && !this.micProblem.value) return;
    this.closeMic();
    await this.openMic();
  }

  async chooseCam(id: string): Promise<void> {
    this.camId.value = id;
    remember("camera", id);
    if (!this.camTrack.value && !this.camProblem.value) return;
    this.closeCam();
    await this.openCam();
  }

  chooseSpeaker(id: string): void {
    this.speakerId.value = id;
    remember("speaker", id);
  }

  close(): void {
    this.#closed = true;
    navigator.mediaDevices?.removeEventListener("devicechange", this.#listDevices);
    this.closeMic();
    this.closeCam();
    this.#meter.close();
  }

  /** A device was pulled out, or the permission was withdrawn: another one takes over. */
  async #lost(kind: "mic" | "cam", track: MediaStreamTrack): Promise<void> {
    const [current, wanted, problem] =
      kind === "cam"
        ? [this.camTrack, this.camOn, this.camProblem]
        : [this.micTrack, this.micOn, this.micProblem];
    if (current.value !== track) return;
    const gone = track.label;
    if (kind === "cam") this.closeCam();
    else this.closeMic();
    if (!wanted.value) {
      this.onDevice?.(kind, (w) => w.deviceGone(gone)); // another one is opened when it is needed
      return;
    }
    const found = await (kind === "cam" ? this.openCam() : this.openMic());
    if (this.#closed) return;
    const now = current.value?.label ?? "";
    let news: Say = (w) => w.deviceReplaced(gone, now);
    if (!found) {
      wanted.value = false;
      news = (w) => (kind === "cam" ? w.camPulled(gone) : w.micPulled(gone));
    }
    if (this.onDevice) this.onDevice(kind, news);
    else problem.value = news;
  }

  /** Says what was plugged in; a device that the user chose before is used again. */
  #changed(before: Devices, after: Devices): void {
    const speaker = lostDevice(this.speakerId.value, before.speakers, after.speakers);
    if (speaker) this.onDevice?.("speaker", (w) => w.speakerPulled(speaker.label));
    for (const kind of ["mic", "cam"] as const) {
      const [list, track, id] =
        kind === "mic"
          ? (["mics", this.micTrack, this.micId] as const)
          : (["cams", this.camTrack, this.camId] as const);
      for (const { deviceId, label } of newDevices(before[list], after[list])) {
        if (deviceId !== id.value || !track.value) {
          this.onDevice?.(kind, (w) => w.deviceFound(label));
          continue;
        }
        const back = kind === "mic" ? this.chooseMic(deviceId) : this.chooseCam(deviceId);
        void back.then(() => this.onDevice?.(kind, (w) => w.deviceBack(label)));
      }
    }
  }

  readonly #listDevices = async (): Promise<void> => {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    // without permission the browser lists devices without labels, which cannot be told apart
    const named = all.filter((device) => device.label !== "");
    if (this.#closed) return;
    const before = this.devices.value;
    this.devices.value = {
      mics: named.filter((device) => device.kind === "audioinput"),
      cams: named.filter((device) => device.kind === "videoinput"),
      speakers: named.filter((device) => device.kind === "audiooutput"),
    };
    this.#changed(before, this.devices.value);
  };
}

async function openTrack(
  kind: "audio" | "video",
  constraints: MediaTrackConstraints,
  deviceId: string,
): Promise<MediaStreamTrack> {
  if (!navigator.mediaDevices) {
    throw new DOMException("no media devices outside secure contexts", "InsecureContext");
  }
  const open = async (wanted: MediaTrackConstraints): Promise<MediaStreamTrack> => {
    const stream = await navigator.mediaDevices.getUserMedia({ [kind]: wanted });
    const track = stream.getTracks()[0];
    if (!track) throw new DOMException("no track", "NotFoundError");
    return track;
  };
  if (!deviceId) return open(constraints);
  try {
    return await open({ ...constraints, deviceId: { exact: deviceId } });
  } catch (error) {
    // the remembered device is not plugged in
    if (error instanceof Error && ["OverconstrainedError", "NotFoundError"].includes(error.name)) {
      return open(constraints);
    }
    throw error;
  }
}

/** Asks the user for a screen; rejects with the browser's error if the user declines. */
export async function openScreen(): Promise<MediaStream> {
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { frameRate: { ideal: 15, max: 30 } },
    audio: true,
  });
  const [video] = stream.getVideoTracks();
  if (video) video.contentHint = "detail";
  return stream;
}

/** The loudness of one track by WebAudio. The AudioContext starts only after a user's gesture. */
class Meter {
  #context: AudioContext | null = null;
  #source: MediaStreamAudioSourceNode | null = null;
  #analyser: AnalyserNode | null = null;
  #samples = new Float32Array(512);

  listen(track: MediaStreamTrack | null): void {
    this.#source?.disconnect();
    this.#source = null;
    if (!track || typeof AudioContext === "undefined") return;
    if (!this.#context) {
      this.#context = new AudioContext();
      this.#analyser = this.#context.createAnalyser();
      this.#analyser.fftSize = this.#samples.length;
      for (const gesture of ["pointerdown", "keydown"]) addEventListener(gesture, this.#wake);
    }
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    if (this.#analyser) this.#source.connect(this.#analyser);
  }

  read(): number {
    if (!this.#analyser || this.#context?.state !== "running") return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return Math.min(1, Math.sqrt(sum / this.#samples.length));
  }

  close(): void {
    for (const gesture of ["pointerdown", "keydown"]) removeEventListener(gesture, this.#wake);
    this.#source?.disconnect();
    void this.#context?.close();
    this.#context = null;
    this.#analyser = null;
  }

  readonly #wake = (): void => {
    if (this.#context?.state === "suspended") void this.#context.resume();
  };
}
