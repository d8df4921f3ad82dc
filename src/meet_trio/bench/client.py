"""One peer of a loaded room: it joins as Kolab's page does, publishes, views, and stays.

The order of its requests is the page's: capabilities, transports, ``join``, the transports'
connections, ``produce``. The server then offers streams, which the peer views as they come.
"""

import json
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import trio

from meet_trio.bench.api import Admission
from meet_trio.bench.errors import BenchError
from meet_trio.bench.light_peer import LightPeer, open_light_peer
from meet_trio.bench.media import CrowdHost, MediaEnd, new_ssrc
from meet_trio.bench.rtp_parameters import (
    OPUS_PAYLOAD_TYPE,
    RTX_PAYLOAD_TYPE,
    TRANSPORT_CC,
    VP8_PAYLOAD_TYPE,
    audio_parameters,
    extension_ids,
    receive_capabilities,
    simulcast_encodings,
    video_parameters,
)
from meet_trio.bench.scenario import (
    AUDIO_BITRATE,
    AUDIO_INTERVAL,
    LEAST_PAYLOAD,
    Scenario,
    Way,
)
from meet_trio.engine import FeedSpec, ViewedSpec

_VIDEO_CLOCK, _AUDIO_CLOCK = 90_000, 48_000
_SHIFT = 3
"""A feed's number is the publisher's, then one bit for audio, then two for the encoding."""


@attrs.define(eq=False)
class LoadClient:
    """``publisher``: its number among all publishers, or None for a subscriber. ``invite`` answers
    Kolab's call for it. Times are seconds from that call on, None until then.
    """

    scenario: Scenario
    host: CrowdHost
    invite: Callable[[], Awaitable[Admission]]
    numbers: Mapping[str, int]
    """The publishers' numbers by their peers' ids."""
    publisher: int | None
    streams: int
    """How many it is to view."""
    ssl_context: ssl.SSLContext | None = None
    peer: LightPeer | None = None
    joined: float | None = None
    connected: float | None = None
    first_media: float | None = None
    all_media: float | None = None
    failure: str | None = None
    settled: trio.Event = attrs.field(factory=trio.Event)
    """It is connected, a subscriber has all offers, or it has failed."""
    _start: float = 0.0
    _receiving: MediaEnd | None = None
    _transport_cc_id: int = 0
    _offers: int = 0
    _offered: trio.Event = attrs.field(factory=trio.Event)

    async def stay(self) -> None:
        """Join and stay until cancelled. What goes wrong is in ``failure``."""
        self._start = time.monotonic()
        deadline = trio.current_time() + self.scenario.join_timeout
        try:
            with trio.CancelScope(deadline=deadline) as connecting:
                url = (await self.invite()).url
                async with open_light_peer(url, ssl_context=self.ssl_context) as peer:
                    connecting.deadline = math.inf
                    await self._stay(peer, deadline)
            if connecting.cancelled_caught:
                self.failure = self._late
        except (Exception, ExceptionGroup) as error:
            self.failure = _reason(error)
        finally:
            self.settled.set()

    @property
    def _late(self) -> str:
        return f"it has not joined in {self.scenario.join_timeout:g} s"

    async def _stay(self, peer: LightPeer, deadline: float) -> None:
        ready = trio.Event()
        peer.on_notice = lambda method, _: ready.set() if method == "roomReady" else None
        peer.on_request = self._take_request
        self.peer = peer
        if peer.notices["roomReady"]:
            ready.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notice_end, peer)
            try:
                with trio.CancelScope(deadline=deadline) as scope:
                    await ready.wait()
                    await self._join(peer)
                    # a publisher's streams come as the other publishers do
                    if self.streams and self.publisher is None:
                        await self._offered.wait()
                if scope.cancelled_caught:
                    self.failure = self._late
            except (Exception, ExceptionGroup) as error:
                # it stays connected, because it may be the one who closes the room
                self.failure = _reason(error)
            self.settled.set()

    async def _notice_end(self, peer: LightPeer) -> None:
        await peer.closed.wait()
        raise BenchError("the server has closed the connection")

    async def _join(self, peer: LightPeer) -> None:
        router = await peer.request("getRouterRtpCapabilities")
        self._transport_cc_id = next(
            (
                int(e["preferredId"])
                for e in router["headerExtensions"]
                if e["uri"] == TRANSPORT_CC and e["kind"] == "video"
            ),
            0,
        )
        connections: list[Callable[[], Any]] = []
        sending: tuple[str, MediaEnd] | None = None
        if self.publisher is not None:
            sending = await self._open(peer, self.scenario.publish_by, connections, send=True)
        if self.streams:
            way: Way = "webrtc" if self.publisher is not None else self.scenario.view_by
            _, self._receiving = await self._open(peer, way, connections, send=False)
            self._receiving.on_begun = self._note_begun
        await peer.request(
            "join", {"nickname": "bench", "rtpCapabilities": receive_capabilities(router)}
        )
        self.joined = time.monotonic() - self._start
        async with trio.open_nursery() as nursery:
            for connect in connections:
                nursery.start_soon(connect)
        self.connected = time.monotonic() - self._start
        if sending is not None:
            await self._produce(peer, *sending)

    async def _open(
        self, peer: LightPeer, way: Way, connections: list[Callable[[], Any]], *, send: bool
    ) -> tuple[str, MediaEnd]:
        """Create a transport. What connects it goes to ``connections``."""
        wanted: dict[str, Any] = {"producing": send, "consuming": not send}
        if way == "plain":
            answer = await peer.request("createPlainTransport", wanted)
            endpoint, (ip, port, rtcp_port) = self.host.add_plain(answer)
            if not send:
                address = {"ip": ip, "port": port, "rtcpPort": rtcp_port}
                request = {"transportId": answer["id"], **address}
                connections.append(lambda: peer.request("connectPlainTransport", request))
            return answer["id"], endpoint
        answer = await peer.request("createWebRtcTransport", {"forceTcp": False, **wanted})
        transport_cc_id = 0 if send else self._transport_cc_id
        endpoint = self.host.add_webrtc(answer, transport_cc_id)
        connections.append(lambda: self._connect(peer, answer["id"], endpoint))
        return answer["id"], endpoint

    async def _connect(self, peer: LightPeer, transport: str, endpoint: MediaEnd) -> None:
        fingerprint = {"algorithm": "sha-256", "value": self.host.identity.fingerprint}
        parameters = {"role": "client", "fingerprints": [fingerprint]}
        await peer.request(
            "connectWebRtcTransport", {"transportId": transport, "dtlsParameters": parameters}
        )
        await endpoint.shake_hands()

    # publishing

    async def _produce(self, peer: LightPeer, transport: str, endpoint: MediaEnd) -> None:
        for parameters, feeds, kind, source in self._tracks():
            data = {
                "transportId": transport,
                "kind": kind,
                "rtpParameters": parameters,
                "appData": {"source": source},
            }
            await peer.request("produce", data)
            for spec in feeds:
                endpoint.send(spec)

    def _tracks(self) -> list[tuple[dict[str, Any], list[FeedSpec], str, str]]:
        video = self._camera()
        return [self._microphone(), video] if self.scenario.audio else [video]

    def _number(self, *, audio: bool = False, encoding: int = 0) -> int:
        assert self.publisher is not None
        return self.publisher << _SHIFT | audio << 2 | encoding

    def _camera(self) -> tuple[dict[str, Any], list[FeedSpec], str, str]:
        scenario = self.scenario
        cname = f"bench-{self.publisher}"
        ssrcs = [(new_ssrc(), new_ssrc()) for _ in range(scenario.encodings)]
        if scenario.simulcast:
            encodings = simulcast_encodings(scenario.encodings)
        else:
            encodings = [{"ssrc": ssrcs[0][0], "rtx": {"ssrc": ssrcs[0][1]}, "dtx": False}]
        parameters = video_parameters("0", cname, encodings)
        extensions = extension_ids(parameters)
        specs = []
        for i, (ssrc, rtx_ssrc) in enumerate(ssrcs):
            frames = scenario.frames(i)
            specs.append(
                FeedSpec(
                    video=True,
                    number=self._number(encoding=i),
                    ssrc=ssrc,
                    payload_type=VP8_PAYLOAD_TYPE,
                    clock_rate=_VIDEO_CLOCK,
                    interval=1 / scenario.fps,
                    frame_size=frames.size,
                    keyframe_size=frames.keyframe_size,
                    packet_size=frames.packet_size,
                    keyframe_interval=scenario.keyframe_interval,
                    rtx_ssrc=rtx_ssrc,
                    rtx_payload_type=RTX_PAYLOAD_TYPE,
                    mid="0",
                    rid=encodings[i].get("rid", ""),
                    cname=cname,
                    extensions=extensions,
                )
            )
        return parameters, specs, "video", "webcam"

    def _microphone(self) -> tuple[dict[str, Any], list[FeedSpec], str, str]:
        cname = f"bench-{self.publisher}"
        parameters = audio_parameters("1", cname, ssrc := new_ssrc())
        size = max(LEAST_PAYLOAD, round(AUDIO_BITRATE / 8 * AUDIO_INTERVAL))
        spec = FeedSpec(
            video=False,
            number=self._number(audio=True),
            ssrc=ssrc,
            payload_type=OPUS_PAYLOAD_TYPE,
            clock_rate=_AUDIO_CLOCK,
            interval=AUDIO_INTERVAL,
            frame_size=size,
            packet_size=size,
            mid="1",
            cname=cname,
            extensions=extension_ids(parameters),
        )
        return parameters, [spec], "audio", "mic"

    # viewing

    def _take_request(self, method: str, frame: bytes) -> None:
        if method != "newConsumer" or self._receiving is None:
            return
        data = json.loads(frame)[1]["data"]
        publisher = self.numbers.get(data["peerId"])
        if publisher is None:
            raise BenchError(f"a stream of an unknown peer was offered: {data['peerId']}")
        parameters = data["rtpParameters"]
        codec, encoding = parameters["codecs"][0], parameters["encodings"][0]
        video = data["kind"] == "video"
        self._receiving.view(
            ViewedSpec(
                video=video,
                number=publisher << _SHIFT | (not video) << 2,
                ssrc=encoding["ssrc"],
                clock_rate=codec["clockRate"],
                rtx_ssrc=encoding.get("rtx", {}).get("ssrc", 0),
                nack=any(f["type"] == "nack" for f in codec["rtcpFeedback"]),
            )
        )
        self._offers += 1
        if self._offers == self.streams:
            self._offered.set()

    def _note_begun(self, at: float) -> None:
        assert self._receiving is not None
        if self.first_media is None:
            self.first_media = at - self._start
        if len(self._receiving.begun) == self.streams:
            self.all_media = at - self._start


def _reason(error: BaseException) -> str:
    """The first cause, as words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{error}" if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
