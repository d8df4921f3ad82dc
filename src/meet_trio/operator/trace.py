"""A trace: one transport's RTP and RTCP without SRTP as a pcapng stream, and what happened to it.

    with the engine's tap on:
      tap ── packets, events ──▶ blocks ──▶ write
      once a second: figures and state ──▶ an event if they have changed

A packet has IP and UDP headers that are made here: between the client's address and a port of the
server that only says what the packet is, ``RTP_PORT`` or ``RTCP_PORT``. The addresses that packets
really took are in the events. An event is a packet of its own, a line of text to ``EVENT_PORT`` of
the server, with the text as its comment too. Another packet announces the payload types as SDP
(RFC 2974, RFC 8866), from which Wireshark knows that the others are RTP.

The file has the media of the client. It has neither SRTP nor its keys, no password and no DTLS.

What the reader of the stream does not take in time is lost and counted, first in the tap, then in
the engine. Media never waits.
"""

import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

import attrs
import trio

from meet_trio.engine import (
    ConsumerScore,
    DtlsDatagram,
    IceConnected,
    IceMoved,
    IceSilent,
    LayerChanged,
    PacketsTraced,
    PlainConnected,
)
from meet_trio.errors import BadRequest
from meet_trio.live.peer import LivePeer
from meet_trio.live.room import LiveRoom
from meet_trio.media.engines import EngineError
from meet_trio.media.plain import Transport
from meet_trio.media.taps import Tap, TappedEvent
from meet_trio.media.transport import TransportState, WebRtcTransport
from meet_trio.operator.pcapng import (
    INBOUND,
    OUTBOUND,
    Address,
    interface,
    packet,
    section,
    statistics,
    udp_packet,
)
from meet_trio.ortc.records import Codec

logger = logging.getLogger("meet_trio.operator.trace")

RTP_PORT, RTCP_PORT, EVENT_PORT = 5004, 5005, 514
"""Ports by which Wireshark tells RTP, RTCP (IANA: avt-profile-1, -2) and lines of text (syslog)."""

SAP_PORT = 9875
"""Of announcements of sessions (RFC 2974)."""

DEFAULT_BYTES, MOST_BYTES = 16 * 1024 * 1024, 256 * 1024 * 1024
DEFAULT_SECONDS, MOST_SECONDS = 60.0, 3600.0
_LEAST_BYTES = 16 * 1024  # the frame of the stream, and some packets
_END_BYTES = 1200  # of MAX_BYTES, kept for the last block
_END_SECONDS = 1.0  # for the last block
_LOOK_EVERY = 1.0  # seconds
_PACKETS_PER_TURN = 128  # that are made into blocks in one turn of the loop
_STEP = 0.1  # an estimate that has moved by this share since it was told is told again
_SDP_COMMENT = "payload types of the media, for the analyzer"
_UNKNOWN: Address = ("0.0.0.0", 0)

_DTLS_CONTENTS = {20: "change_cipher_spec", 21: "alert", 22: "handshake", 23: "data", 24: "beat"}

Write = Callable[[bytes], Awaitable[None]]


@attrs.frozen
class Traced:
    """What a trace has written, in bytes. ``lost``: packets without room. ``why``: it ended."""

    written: int
    packets: int
    lost: int
    why: str


async def trace(
    room: LiveRoom,
    peer: LivePeer,
    transport: Transport,
    write: Write,
    *,
    by: str,
    max_bytes: int = DEFAULT_BYTES,
    max_seconds: float = DEFAULT_SECONDS,
) -> Traced:
    """Write a pcapng stream of ``transport`` until a limit is reached or the transport ends. The
    tap is off again when this returns, raises or is cancelled. ``by`` says in the log who asked.

    Raises BadRequest for an impossible limit, what ``EngineHost.tap`` raises, and what ``write``
    raises.
    """
    if not _LEAST_BYTES <= max_bytes <= MOST_BYTES:
        raise BadRequest(f"max_bytes: {max_bytes} is not {_LEAST_BYTES} to {MOST_BYTES}")
    if not 0 < max_seconds <= MOST_SECONDS:
        raise BadRequest(f"max_seconds: {max_seconds:g} is not above 0, {MOST_SECONDS:g} at most")
    with transport.host.tap(transport.number) as tap:
        names = f"room {room.id}, peer {peer.id}, transport {transport.id}"
        logger.info(
            "trace of %s begins, asked for by %s: at most %d bytes and %g s",
            *(names, by, max_bytes, max_seconds),
        )
        running = _Trace(room, transport, tap, write, max_bytes)
        why = "it failed or was cancelled"
        try:
            why = await running.run(names, max_seconds)
        finally:
            logger.info(
                "trace of %s, asked for by %s, ended: %s; %d packets, %d lost, %d bytes",
                *(names, by, why, running.packets, running.lost, running.written),
            )
    return Traced(running.written, running.packets, running.lost, why)


@attrs.define(eq=False)
class _Trace:
    room: LiveRoom
    transport: Transport
    tap: Tap
    write: Write
    max_bytes: int
    written: int = 0
    packets: int = 0
    client: Address = _UNKNOWN
    server: str = _UNKNOWN[0]
    _clock: int = attrs.field(factory=lambda: time.time_ns() // 1000 - time.monotonic_ns() // 1000)
    """Microseconds from the engines' clock to Unix time. One value, so that order is kept."""
    _engine_lost: int = 0
    _lost_told: int = 0
    _full: bool = False
    _cut: bool = False  # a block may have been written in part
    _state: TransportState | None = None
    _estimate: tuple[object, int] = (None, 0)
    _announced: bytes = b""

    @property
    def lost(self) -> int:
        return self._engine_lost + self.tap.lost

    async def run(self, names: str, max_seconds: float) -> str:
        with trio.move_on_after(max_seconds) as limit:
            await self._begin(names)
            await self._follow()
        why = "the transport ended"
        if self._full:
            why = f"{self.max_bytes} bytes were written"
        elif limit.cancelled_caught:
            why = f"{max_seconds:g} s are over"
        if not self._cut:
            end = statistics(
                0,
                self._now(),
                received=self.packets + self.lost,
                lost=self.lost,
                comment=f"the trace ended: {why}",
            )
            with trio.move_on_after(_END_SECONDS):
                await self._write(end)
        return why

    async def _begin(self, names: str) -> None:
        comments = [
            names,
            "RTP and RTCP as they are without SRTP. IP and UDP headers are made up: the server's "
            f"port is {RTP_PORT} for RTP, {RTCP_PORT} for RTCP, {EVENT_PORT} for events.",
        ]
        await self._write(
            section("meet-trio", comments)
            + interface("media", "decrypted RTP and RTCP")
            + interface("events", "what happened to the transport")
        )

    async def _follow(self) -> None:
        """Until the tap is over or the bytes are used up."""
        next_look = trio.current_time()
        while not self._full:
            if trio.current_time() >= next_look:
                await self._look()
                next_look = trio.current_time() + _LOOK_EVERY
            event: TappedEvent | None = None
            with trio.move_on_at(next_look) as waiting:
                event = await self.tap.take()
            if event is not None:
                await self._tell(event)
            elif not waiting.cancelled_caught:
                return

    async def _look(self) -> None:
        """Compare state and figures with those that were told last."""
        consumers = (c for c in self.room.consumers.values() if c.transport is self.transport)
        self.tap.consumers = frozenset(consumer.number for consumer in consumers)
        try:
            stats = await self.transport.host.stats()
        except EngineError:
            return
        figures = stats["transports"].get(str(self.transport.number))
        if figures is None:
            return
        if self.client == _UNKNOWN and figures["address"] is not None:
            self._meet(*figures["address"])
        await self._announce()
        if self.transport.state is not self._state:
            self._state = self.transport.state
            kind = "DTLS" if isinstance(self.transport, WebRtcTransport) else "plain RTP"
            await self._say(f"{kind}: {self._state.value}")
        cause, bitrate = figures["estimateCause"], figures["availableOutgoingBitrate"]
        told_cause, told = self._estimate
        if cause != told_cause or abs(bitrate - told) > _STEP * told:
            self._estimate = (cause, bitrate)
            await self._say(
                f"estimate: {bitrate} bit/s ({cause}), wanted {figures['wantedBitrate']}, "
                f"allocated {figures['allocatedBitrate']}, loss {figures['outgoingLoss']:.1%}, "
                f"queue {figures['queueDelay']:.0f} ms, round trip "
                f"{figures['roundTripTime']:.0f} ms"
            )

    async def _announce(self) -> None:
        """Write the SDP of the streams, if it has changed since."""
        sdp = _sdp(self.client, self._codecs())
        if sdp == self._announced or self.client == _UNKNOWN:
            return
        self._announced = sdp
        datagram = udp_packet((self.server, SAP_PORT), *_sap(self.server, sdp))
        await self._write_event(packet(1, self._now(), datagram, comment=_SDP_COMMENT))

    def _codecs(self) -> dict[int, Codec]:
        """By payload type. Publisher and viewers may number them differently, and a transport has
        either.
        """
        own = [c.rtp.params for c in self.room.consumers.values() if c.transport is self.transport]
        own += [
            p.state.rtp.params
            for p in self.room.producers.values()
            if p.transport is self.transport
        ]
        return {codec.payload_type: codec for params in own for codec in params.codecs}

    async def _tell(self, event: TappedEvent) -> None:
        match event:
            case PacketsTraced():
                self._engine_lost += (event.lost - self._engine_lost) % 2**32
                for blocks in self._blocks(event):
                    await self._write(blocks)
                    await trio.lowlevel.checkpoint()  # lets other tasks run
            case IceConnected() | PlainConnected():
                self._meet(event.ip, event.port)
                await self._announce()
                await self._say(f"path: {_show(self.client)}")
            case IceMoved():
                before = _show(self.client)
                self._meet(event.ip, event.port)
                await self._announce()
                await self._say(f"path: {_show(self.client)}, before {before}")
            case IceSilent():
                await self._say("ICE: no checks of the client any more")
            case DtlsDatagram():
                contents = _DTLS_CONTENTS.get(event.data[0] if event.data else 0, "encrypted")
                await self._say(f"DTLS: {len(event.data)} bytes from the client ({contents})")
            case LayerChanged():
                layers = f"layer {event.spatial}, temporal layer {event.temporal}"
                layers = "no layer" if event.spatial is None else layers
                await self._say(f"consumer {self._consumer(event.consumer)}: {layers}")
            case ConsumerScore():
                await self._say(f"consumer {self._consumer(event.consumer)}: score {event.score}")

    def _consumer(self, number: int) -> str:
        found = (c.state.id for c in self.room.consumers.values() if c.number == number)
        return next(found, "that has ended")

    def _meet(self, ip: str, port: int) -> None:
        """The client is at this address from now on. The server's is one of the same family."""
        self.client = (ip, port)
        version = ipaddress.ip_address(ip).version
        own = [*self.transport.addresses, *self.transport.host.engine.ips]
        fits = (each for each in own if _version(each) == version)
        self.server = next(fits, _UNKNOWN[0] if version == 4 else "::")

    def _blocks(self, event: PacketsTraced) -> Iterator[bytes]:
        """The blocks of the packets, those of some packets at a time."""
        blocks, size = list[bytes](), 0
        for each in event:
            server = (self.server, RTCP_PORT if each.rtcp else RTP_PORT)
            ends = (server, self.client) if each.outgoing else (self.client, server)
            lost, self._lost_told = self.lost - self._lost_told, self.lost
            block = packet(
                0,
                each.time + self._clock,
                udp_packet(*ends, each.data),
                direction=OUTBOUND if each.outgoing else INBOUND,
                lost=lost,
            )
            size += len(block)
            if not self._fits(size):
                break
            blocks.append(block)
            self.packets += 1
            if len(blocks) == _PACKETS_PER_TURN:
                yield b"".join(blocks)
                blocks, size = [], 0
        if blocks:
            yield b"".join(blocks)

    async def _say(self, text: str) -> None:
        """Write an event."""
        line = udp_packet(
            (self.server, EVENT_PORT), (self.server, EVENT_PORT), b"<14>" + text.encode()
        )
        await self._write_event(packet(1, self._now(), line, comment=text))

    async def _write_event(self, block: bytes) -> None:
        if self._fits(len(block)):
            await self._write(block)

    def _fits(self, size: int) -> bool:
        self._full = self._full or self.written + size + _END_BYTES > self.max_bytes
        return not self._full

    async def _write(self, blocks: bytes) -> None:
        self._cut = True
        await self.write(blocks)
        self._cut = False
        self.written += len(blocks)

    def _now(self) -> int:
        return self._clock + time.monotonic_ns() // 1000


def _sdp(client: Address, codecs: Mapping[int, Codec]) -> bytes:
    ip, port = client
    family = "IP6" if ":" in ip else "IP4"
    lines = [
        "v=0",
        f"o=- 0 0 IN {family} {ip}",
        "s=meet-trio",
        f"c=IN {family} {ip}",
        "t=0 0",
        f"m=video {port} RTP/AVP {' '.join(map(str, codecs))}",
        f"a=rtcp:{RTCP_PORT}",
    ]
    for number, codec in codecs.items():
        channels = f"/{codec.channels}" if (codec.channels or 1) > 1 else ""
        name = codec.mime_type.partition("/")[2]
        lines.append(f"a=rtpmap:{number} {name}/{codec.clock_rate}{channels}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _sap(server: str, sdp: bytes) -> tuple[Address, bytes]:
    """The address of announcements, and a packet of one (RFC 2974 sections 3 and 6)."""
    origin = ipaddress.ip_address(server)
    head = bytes([0x20 if origin.version == 4 else 0x30, 0, 0, 1]) + origin.packed
    group = "224.2.127.254" if origin.version == 4 else "ff0e::2:7ffe"
    return (group, SAP_PORT), head + b"application/sdp\0" + sdp


def _show(address: Address) -> str:
    ip, port = address
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _version(text: str) -> int | None:
    """The version of an IP address that packets can have. None: it is a name, or a wildcard."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if address.is_unspecified else address.version
