// Plays sound: one invisible <audio> element for each audio consumer. A browser may refuse to play
// before the first click; then the page shows a button for it.
import { useEffect, useRef } from "preact/hooks";
import { volumeOf } from "../channels.ts";
import type { Meeting } from "../meeting.ts";
import type { View } from "./view.ts";

export function Outlets({ meeting, view }: { meeting: Meeting; view: View }) {
  const voices = [...meeting.streams.value.values()].filter((stream) => stream.kind === "audio");
  return (
    <div hidden>
      {voices.map((stream) => (
        <Outlet
          key={stream.id}
          track={stream.track}
          volume={volumeOf(meeting.peers.value.get(stream.peerId)?.language ?? null, meeting.channel.value)}
          speaker={meeting.local.speakerInUse.value}
          wake={view.soundBlocked.value}
          onBlocked={() => {
            view.soundBlocked.value = true;
          }}
        />
      ))}
    </div>
  );
}

interface OutletProps {
  track: MediaStreamTrack;
  speaker: string;
  /** 0-1 */
  volume?: number;
  /** when this becomes false again, playing is tried again */
  wake?: boolean;
  onBlocked?: () => void;
}

export function Outlet({ track, speaker, volume = 1, wake, onBlocked }: OutletProps) {
  const ref = useRef<HTMLAudioElement>(null);

  useEffect(() => {
    const audio = ref.current;
    if (!audio) return undefined;
    audio.srcObject = new MediaStream([track]);
    return () => {
      audio.srcObject = null;
    };
  }, [track]);

  useEffect(() => {
    if (wake) return;
    ref.current?.play().catch((error: unknown) => {
      if (error instanceof Error && error.name === "NotAllowedError") onBlocked?.();
    });
  }, [track, wake]);

  useEffect(() => {
    const audio = ref.current;
    if (!audio || !("setSinkId" in audio) || audio.sinkId === speaker) return;
    audio.setSinkId(speaker).catch((error: unknown) => console.warn("speaker:", error));
  }, [speaker]);

  useEffect(() => {
    if (ref.current) ref.current.volume = volume;
  }, [volume]);

  return <audio ref={ref} autoplay />;
}
