"""ffmpeg and GStreamer as users run them with plain RTP: command lines, and checks of recordings.

The command lines are those of ``docs/plain-rtp.md``.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.plain_peer import OPUS, VP8, PlainEnd, sdp
from support.wire.rtp import RtpPacket
from support.wire.vp8 import is_key_frame, parse_vp8_untrusted

Command = tuple[str | Path, ...]
VIDEO_SSRC = 2222
FRAME_RATE = 15


def ffmpeg_sends(audio: PlainEnd, video: PlainEnd) -> Command:
    """A tone and a test picture."""
    return (
        *("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning"),
        *("-re", "-f", "lavfi", "-i", "sine=frequency=440"),
        *("-re", "-f", "lavfi", "-i", f"testsrc=size=320x240:rate={FRAME_RATE}"),
        *("-map", "0:a", "-c:a", "libopus", "-payload_type", str(OPUS), "-f", "rtp"),
        f"rtp://{audio.ip}:{audio.port}?rtcpport={audio.rtcp_port}&pkt_size=1200",
        *("-map", "1:v", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
        *("-b:v", "300k", "-g", str(FRAME_RATE), "-pix_fmt", "yuv420p"),
        *("-ssrc", str(VIDEO_SSRC), "-payload_type", str(VP8), "-f", "rtp"),
        f"rtp://{video.ip}:{video.port}?rtcpport={video.rtcp_port}&pkt_size=1200",
    )


def gstreamer_sends(audio: PlainEnd, video: PlainEnd) -> Command:
    """The same, with sender reports on the RTCP ports."""
    picture = f"video/x-raw,width=320,height=240,framerate={FRAME_RATE}/1"
    pipeline = (
        "rtpbin name=bin "
        "audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! "
        f"rtpopuspay pt={OPUS} ! bin.send_rtp_sink_0 "
        f"bin.send_rtp_src_0 ! udpsink host={audio.ip} port={audio.port} "
        f"bin.send_rtcp_src_0 ! udpsink host={audio.ip} port={audio.rtcp_port} "
        "sync=false async=false "
        f"videotestsrc is-live=true ! {picture} ! vp8enc deadline=1 cpu-used=8 "
        f"target-bitrate=300000 keyframe-max-dist={FRAME_RATE} ! "
        f"rtpvp8pay pt={VP8} ssrc={VIDEO_SSRC} picture-id-mode=15-bit mtu=1200 ! "
        "bin.send_rtp_sink_1 "
        f"bin.send_rtp_src_1 ! udpsink host={video.ip} port={video.port} "
        f"bin.send_rtcp_src_1 ! udpsink host={video.ip} port={video.rtcp_port} "
        "sync=false async=false"
    )
    return ("gst-launch-1.0", "-q", *pipeline.split())


def ffmpeg_records(consumer: Mapping[str, Any], port: int, file: Path) -> Command:
    """Record the media of ``port`` into ``file``, without encoding it again."""
    description = file.with_suffix(".sdp")
    description.write_text(sdp(consumer, port))
    return (
        *("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-y"),
        *("-protocol_whitelist", "file,rtp,udp", "-i", description, "-c", "copy", file),
    )


def gstreamer_records(consumer: Mapping[str, Any], port: int, file: Path) -> Command:
    codec = consumer["rtpParameters"]["codecs"][0]
    name = codec["mimeType"].split("/")[1].upper()
    caps = (
        f"application/x-rtp,media={consumer['kind']},encoding-name={name},"
        f"clock-rate={codec['clockRate']},payload={codec['payloadType']}"
    )
    pipeline = (
        f"udpsrc port={port} caps={caps} ! rtpjitterbuffer ! rtp{name.lower()}depay ! "
        f"matroskamux ! filesink location={file}"
    )
    return ("gst-launch-1.0", "-q", "-e", *pipeline.split())


def count_frames(file: Path, kind: str) -> int:
    """The number of frames that can be decoded."""
    command = (
        *("ffprobe", "-v", "error", "-count_frames", "-select_streams", kind[0], "-of", "json"),
        *("-show_entries", "stream=nb_read_frames", str(file)),
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (stream,) = json.loads(done.stdout)["streams"]
    return int(stream["nb_read_frames"])


class Vp8File:
    """Writes the packets of one stream, in order, into an IVF file that decoders read. ``frames``
    counts from the first key frame on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self._parts: list[bytes] | None = None  # None until a frame that can be decoded
        self._file = path.open("wb")
        self._file.write(b"DKIF\0\0\x20\0VP80" + bytes(4) + _u32(FRAME_RATE) + _u32(1) + bytes(8))

    def take(self, packet: RtpPacket) -> None:
        descriptor, data = parse_vp8_untrusted(packet.payload)
        if descriptor.start_of_partition and (self.frames or is_key_frame(descriptor, data)):
            self._parts = []
        if self._parts is None:
            return
        self._parts.append(data)
        if packet.marker:
            frame = b"".join(self._parts)
            self._file.write(_u32(len(frame)) + _u32(self.frames) + bytes(4) + frame)
            self.frames += 1
            self._parts = None

    def close(self) -> None:
        self._file.close()


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")
