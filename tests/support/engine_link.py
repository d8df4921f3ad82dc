"""A viewer behind a link of limited rate, in the virtual time of ``engine_world``.

    viewer = LinkedViewer.behind(world.client(), rate=300_000)
    viewer.run(5.0, each_step)

The link delays, queues and loses the media for the viewer. The viewer answers like a browser: with
transport-cc feedback every 50 ms, and with a NACK for a number that is missing. Only media crosses
the link; STUN and RTCP to the viewer arrive at once.
"""

import heapq
import itertools
import random
from collections.abc import Callable

import attrs
from support.engine_world import VIEWED_ADAPTED, EngineClient, World
from support.feedback import ArrivalRecorder
from support.wire.rtcp import Nack
from support.wire.rtp import RtpPacket, parse_rtp_untrusted

FEEDBACK = 0.05
RETRY = 0.1
HEADERS = 28  # bytes of IPv4 and UDP
TWCC = VIEWED_ADAPTED["http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"]


@attrs.define(eq=False)
class LinkedViewer:
    """``rate`` in bit/s (None: unlimited), ``delay`` in s each way, ``queue`` in s of the rate,
    ``loss`` from 0 to 1. ``scatter``: each packet takes up to so many seconds longer, so packets
    overtake each other.
    """

    world: World
    client: EngineClient
    rate: float | None = None
    delay: float = 0.01
    queue: float = 0.3
    loss: float = 0.0
    scatter: float = 0.0
    down: bool = False
    nack: bool = True
    received: list[tuple[float, RtpPacket]] = attrs.field(factory=list)
    """Arrival times and packets, retransmissions too."""
    waits: list[tuple[float, float]] = attrs.field(factory=list)
    """Times of arrival at the bottleneck, and the waits before it, in seconds."""
    bytes_through: int = 0
    dropped: int = 0
    _busy_until: float = 0.0
    _on_the_way: list[tuple[float, int, bytes]] = attrs.field(factory=list)
    _order: "itertools.count[int]" = attrs.field(factory=itertools.count)
    _feedback: ArrivalRecorder = attrs.field(factory=ArrivalRecorder)
    _answers: list[tuple[float, int, bytes]] = attrs.field(factory=list)
    _next_feedback: float = 0.0
    _random: random.Random = attrs.field(factory=lambda: random.Random(1))
    _highest: dict[int, int] = attrs.field(factory=dict)
    _missing: dict[tuple[int, int], tuple[float, int]] = attrs.field(factory=dict)

    @classmethod
    def behind(cls, client: EngineClient, **link: float | bool | None) -> "LinkedViewer":
        viewer = cls(client.world, client, **link)  # type: ignore[arg-type]
        client.receive_media = viewer.enter
        return viewer

    def enter(self, data: bytes) -> None:
        """A datagram comes to the bottleneck."""
        now = self.world.now
        size = len(data) + HEADERS
        if self.down or self._random.random() < self.loss:
            self.dropped += 1
            return
        leaves = now
        if self.rate is not None:
            wait = max(self._busy_until - now, 0.0)
            if wait > self.queue:
                self.dropped += 1
                return
            self.waits.append((now, wait))
            leaves = self._busy_until = now + wait + size * 8 / self.rate
        self.bytes_through += size
        leaves += self._random.random() * self.scatter if self.scatter else 0
        heapq.heappush(self._on_the_way, (leaves + self.delay, next(self._order), data))

    def step(self) -> None:
        """What arrives now, and what the viewer answers."""
        now = self.world.now
        while self._on_the_way and self._on_the_way[0][0] <= now:
            self._arrive(heapq.heappop(self._on_the_way)[2])
        if now >= self._next_feedback:
            self._next_feedback = now + FEEDBACK
            report = self._feedback.build(1, 1)
            if report is not None:
                self._answer(self.client.protect_rtcp(report))
        if self.nack:
            self._ask_for_missing()
        while self._answers and self._answers[0][0] <= now:
            data = heapq.heappop(self._answers)[2]
            if not self.down:
                self.client.send_raw(data)

    def run(
        self, seconds: float, each_step: Callable[[float], None] | None = None, step: float = 0.005
    ) -> None:
        """Let time pass; ``each_step`` is called with the time, and sends what is due."""
        end = self.world.now + seconds
        while self.world.now < end - step / 2:
            self.world.run(step, step)
            if each_step is not None:
                each_step(self.world.now)
            self.step()

    def media(self, since: float = 0.0) -> list[RtpPacket]:
        """The packets of the media's own SSRCs that arrived from ``since`` on."""
        return [p for at, p in self.received if at >= since and p.ssrc < 60_000]

    @property
    def unanswered(self) -> int:
        """The number of packets that are missing."""
        return len(self._missing)

    def sent_again(self, since: float = 0.0) -> list[tuple[float, int]]:
        """Arrival times of retransmissions, and the numbers of the packets in them."""
        return [
            (at, int.from_bytes(p.payload[:2], "big"))
            for at, p in self.received
            if at >= since and p.ssrc >= 60_000 and len(p.payload) >= 2
        ]

    def worst_wait(self, since: float, share: float = 0.95) -> float:
        """The wait before the bottleneck, in s, that ``share`` of the packets do not exceed."""
        waits = sorted(wait for at, wait in self.waits if at >= since)
        return waits[int(len(waits) * share)] if waits else 0.0

    def _arrive(self, data: bytes) -> None:
        assert self.client.rx is not None
        packet = parse_rtp_untrusted(self.client.rx.unprotect(data))
        now = self.world.now
        self.received.append((now, packet))
        number = packet.extensions.get(TWCC)
        if number is not None:
            self._feedback.record(int.from_bytes(number, "big"), now)
        if packet.ssrc < 60_000:
            self._note_number(packet.ssrc, packet.sequence_number, now)
        elif len(packet.payload) >= 2:
            original = int.from_bytes(packet.payload[:2], "big")
            self._missing.pop((packet.ssrc - 10_000, original), None)

    def _note_number(self, ssrc: int, number: int, now: float) -> None:
        self._missing.pop((ssrc, number), None)
        highest = self._highest.setdefault(ssrc, number)
        ahead = (number - highest) & 0xFFFF
        if 0 < ahead < 0x8000:
            for i in range(1, ahead):
                self._missing[ssrc, (highest + i) & 0xFFFF] = (now, 0)
            self._highest[ssrc] = number

    def _ask_for_missing(self) -> None:
        now = self.world.now
        wanted: dict[int, list[int]] = {}
        for (ssrc, number), (due, tries) in list(self._missing.items()):
            if tries >= 10:
                del self._missing[ssrc, number]
            elif due <= now:
                self._missing[ssrc, number] = (now + RETRY, tries + 1)
                wanted.setdefault(ssrc, []).append(number)
        for ssrc, numbers in wanted.items():
            nack = Nack(sender_ssrc=1, media_ssrc=ssrc, lost=tuple(numbers))
            self._answer(self.client.protect_rtcp(nack))

    def _answer(self, data: bytes) -> None:
        if not self.down:
            due = self.world.now + self.delay
            heapq.heappush(self._answers, (due, next(self._order), data))
