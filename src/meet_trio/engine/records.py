"""An engine's settings, the arguments of its commands, and its events, as frozen records.

Ids are unsigned 32-bit integers that the caller chooses. Each kind of object has its own ids.
"""

import struct
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

import attrs

_ENTRY = struct.Struct("<BII")
_TAKEN = struct.Struct("<Hq")  # kind and version, and the time in µs at which the blob was made
AeadChoice: TypeAlias = Literal["auto", "libcrypto"]


@attrs.frozen
class AeadLibrary:
    """``name``: the library that does AES-GCM, with its version if it is not libcrypto.
    ``why_not``: why a faster one is not used; empty if it is, or is not wanted.
    """

    name: str
    why_not: str = ""


@attrs.frozen
class Kept:
    """What an earlier process has left in the region of its engine ``index``: blobs by number, for
    ``resume_transport`` and so on. They hold replay windows and ICE passwords, and no SRTP keys.
    ``damaged`` names what was left out. ``exact`` False: it is of a snapshot, older than the end.
    """

    index: int
    transports: Mapping[int, bytes]
    producers: Mapping[int, bytes]
    consumers: Mapping[int, bytes]
    damaged: Sequence[str]
    exact: bool = True

    @classmethod
    def from_snapshot(cls, index: int, snapshot: bytes, age: float = 0.0) -> Self:
        """The entries of a ``SnapshotReady`` (``c/core/snapshot.h``), which is ``age`` seconds old.
        Raises ValueError.
        """
        kinds: list[dict[int, bytes]] = [{}, {}, {}]
        at = 0
        while at < len(snapshot):
            try:
                kind, number, length = _ENTRY.unpack_from(snapshot, at)
            except struct.error:
                raise ValueError("the snapshot ends within an entry") from None
            at += _ENTRY.size
            if not 1 <= kind <= len(kinds) or length > len(snapshot) - at:
                raise ValueError("the snapshot is damaged")
            blob = bytearray(snapshot[at : at + length])
            at += length
            if length < _TAKEN.size:
                raise ValueError("the snapshot is damaged")
            # The blob's times count from here, by a clock that this machine does not have.
            head, taken = _TAKEN.unpack_from(blob)
            _TAKEN.pack_into(blob, 0, head, taken + round(age * 1e6))
            kinds[kind - 1][number] = bytes(blob)
        transports, producers, consumers = kinds
        return cls(index, transports, producers, consumers, (), exact=False)


@attrs.frozen
class EngineSettings:
    """Times are in seconds.

    - ``listen_ips``: IP addresses. ``::`` alone receives IPv4 too.
    - ``port``: the same port at all of ``listen_ips``. With 0 the engine takes one that is free at
      all of them.
    - ``consent_timeout``: a client without a STUN check for this time is gone (RFC 7675 §5.1).
    - ``history``, ``history_packets``: the packets of a video stream that are kept to be sent
      again, by age and by number. The number is a power of two. Each takes 1.6 KB of memory: 1,024
      are 3 seconds at 3.2 Mbit/s.
    - ``dtls_per_second``: the DTLS datagrams of one transport that Python gets.
    - ``keyframe_interval``: the least time between two requests for a key frame of one stream.
      Viewers that begin within this time of a key frame get it from the history.
    - ``nack_delay``: a missing packet may be late by this time before it is asked for. It is asked
      for ``nack_tries`` times, a round trip apart, and at least ``nack_interval``.
    - ``layer_silence``: a simulcast layer without packets for this time is not arriving.
    - ``initial_outgoing_bitrate``: bit/s, the estimate of a client's downlink before anything is
      known about it.
    - ``incoming_excess``: a client may send its limit (``set_max_incoming_bitrate``) times this in
      the long run. Packets above that are dropped.
    - ``incoming_burst``: the client may send this many seconds of the limit at once, and always
      1.25 MB.
    - ``relay_packets``: the packets that may be on their way to one other engine; a power of two.
      Each takes 1.6 KB of memory once it was used.
    - ``free_bind``: the machine need not have ``listen_ips`` yet (IP_FREEBIND of ip(7)).
    - ``gso``: UDP datagrams for one destination are given to the kernel together (UDP_SEGMENT),
      where it takes them, and the packets of a frame are padded to one length where that takes a
      byte.
    - ``aead``: which library does AES-GCM. ``auto``: libipsec-mb, if it can be used; otherwise
      libcrypto.
    - ``max_tcp_connections``: ICE-TCP connections at once.
    - ``max_tcp_strangers``, ``max_tcp_strangers_per_address``: those among them that have not
      proved to know a transport's password. Above a limit the oldest is closed.
    - ``tcp_stranger_timeout``: their time to prove it.
    - ``tcp_send_buffer``: the bytes that may wait for one slow client.
    """

    listen_ips: tuple[str, ...] = ("127.0.0.1",)
    port: int = 0
    consent_timeout: float = 30.0
    history: float = 3.0
    history_packets: int = 1024
    dtls_per_second: int = 50
    keyframe_interval: float = 1.0
    nack_delay: float = 0.01
    nack_interval: float = 0.02
    nack_tries: int = 10
    layer_silence: float = 1.5
    initial_outgoing_bitrate: int = 1_000_000
    incoming_excess: float = 2.0
    incoming_burst: float = 10.0
    relay_packets: int = 1024
    free_bind: bool = False
    gso: bool = True
    aead: AeadChoice = "auto"
    max_tcp_connections: int = 4096
    max_tcp_strangers: int = 1024
    max_tcp_strangers_per_address: int = 256
    tcp_stranger_timeout: float = 10.0
    tcp_send_buffer: int = 256 * 1024


@attrs.frozen
class EncodingSpec:
    """One RTP stream of a producer, identified by its SSRCs or by its RID (RFC 8851)."""

    ssrc: int | None = None
    rtx_ssrc: int | None = None
    rid: str | None = None


@attrs.frozen
class ProducerSpec:
    """The streams that a publisher sends.

    ``codec``: the MIME type in lower case. ``encodings``: lowest layer first.
    ``header_extensions``: URI → id (RFC 8285). The flags from ``nack`` to ``remb`` are the RTCP
    feedback that the publisher understands.
    """

    kind: Literal["audio", "video"]
    codec: str
    payload_type: int
    rtx_payload_type: int | None
    clock_rate: int
    mid: str | None
    encodings: tuple[EncodingSpec, ...]
    header_extensions: Mapping[str, int]
    nack: bool
    pli: bool
    fir: bool
    transport_cc: bool
    remb: bool
    paused: bool = False


@attrs.frozen
class ConsumerSpec:
    """The one stream that a viewer receives."""

    ssrc: int
    rtx_ssrc: int | None
    payload_type: int
    rtx_payload_type: int | None
    mid: str
    cname: str
    header_extensions: Mapping[str, int]
    nack: bool
    pli: bool
    fir: bool
    paused: bool


@attrs.frozen
class IceConnected:
    """A transport has its first path. The address is the client's."""

    transport: int
    ip: str
    port: int


@attrs.frozen
class IceMoved:
    """The client has nominated another path."""

    transport: int
    ip: str
    port: int


@attrs.frozen
class IceSilent:
    """The client has sent no STUN check for ``consent_timeout``."""

    transport: int


@attrs.frozen
class PlainConnected:
    """A plain transport knows where to send RTP: it was connected, or its client's first packet
    has come.
    """

    transport: int
    ip: str
    port: int


@attrs.frozen
class DtlsDatagram:
    """A DTLS datagram from an address that has proved to be the transport's."""

    transport: int
    data: bytes


@attrs.frozen
class StreamStarted:
    """The first packet of an encoding has come."""

    producer: int
    encoding: int
    ssrc: int


@attrs.frozen
class ConsumerStarted:
    """The first packet of a consumer was sent."""

    consumer: int


@attrs.frozen
class LayerChanged:
    """``spatial`` is the encoding that the consumer sends now, and ``temporal`` the highest
    temporal layer of it. Both are None if it sends none.
    """

    consumer: int
    spatial: int | None
    temporal: int | None


@attrs.frozen
class AudioLevel:
    """The audio level has changed by 5 dB or more. ``dbov`` is from 0 (loudest) to -127 (silence)
    (RFC 6464). There is at most one event in 100 ms, after ``watch_audio_level`` only.
    """

    producer: int
    dbov: int


@attrs.frozen
class ProducerScore:
    """How well each encoding arrives, from 0 (not at all) to 10."""

    producer: int
    scores: tuple[int, ...]


@attrs.frozen
class ConsumerScore:
    """How well the stream arrives at the viewer, from 0 to 10."""

    consumer: int
    score: int


@attrs.frozen
class TracedPacket:
    """An RTP or RTCP packet as it is without SRTP. ``time``: µs of the engine's monotonic clock."""

    time: int
    outgoing: bool
    rtcp: bool
    data: bytes


_TRACED_HEAD = struct.Struct("=qHBx")
_TRACED_OUT, _TRACED_RTCP = 1, 2


@attrs.frozen
class PacketsTraced:
    """Packets of a traced transport, in order: iterate over the event. ``records`` are those of
    ``c/state/trace.h``. ``lost`` counts the packets since the trace began that found no room,
    modulo 2^32.
    """

    transport: int
    lost: int
    records: bytes = attrs.field(repr=False)

    def __iter__(self) -> Iterator[TracedPacket]:
        at = 0
        while at < len(self.records):
            time, length, bits = _TRACED_HEAD.unpack_from(self.records, at)
            at += _TRACED_HEAD.size
            data = self.records[at : at + length]
            at += length
            yield TracedPacket(time, bool(bits & _TRACED_OUT), bool(bits & _TRACED_RTCP), data)


@attrs.frozen
class Distribution:
    """How many values are above the bound before and not above their own one. The last of
    ``counts`` has the values above all ``bounds``.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@attrs.frozen
class Summary:
    """Numbers of an engine's objects. A kind is ``audio``, ``video``, or ``unknown`` for consumers
    whose producer is gone.

    - ``transports``: by ``udp``, ``tcp`` or ``none`` (no path was found yet), and whether they have
      SRTP.
    - ``producers``: by kind and whether they are paused. Mirrors are not counted.
    - ``active_streams``: of producers, by kind and encoding.
    - ``consumers``: by kind and the encoding that is sent now, None if none is.
    - ``paused_consumers``: by kind; ``consumers`` has them too.

    The distributions are over the transports for which the value is known: ``estimate`` in bytes a
    second, ``round_trip`` in seconds, ``outgoing_loss`` as a fraction of 1.
    """

    transports: Mapping[tuple[str, bool], int]
    producers: Mapping[tuple[str, bool], int]
    active_streams: Mapping[tuple[str, int], int]
    consumers: Mapping[tuple[str, int | None], int]
    paused_consumers: Mapping[str, int]
    estimate: Distribution
    round_trip: Distribution
    outgoing_loss: Distribution


class Stats(Mapping[str, Any]):
    """The figures of ``transports``, ``producers``, ``mirrors`` (of other engines' producers) and
    ``consumers``, each a mapping by number (as text), and the figures of the ``engine``. The tables
    of ``c/state/figures.h`` list them.

    They are a copy of one moment. The figures of an object become a dictionary when they are read.
    The work of that is a few microseconds for each object, and the reader bounds it.
    """

    @abstractmethod
    def sums_of(self, transport: int) -> Mapping[str, int]:
        """``packetsReceived``, ``bytesReceived``, ``packetsSent`` and ``bytesSent`` of a transport,
        ``packetsLost``, ``nackCount`` and ``pliCount`` of its consumers together. Empty if there is
        no such transport.
        """

    @abstractmethod
    def summary(self) -> Summary:
        """The numbers of all objects by kind and state."""


@attrs.frozen
class StatsReady:
    """The answer to ``request_stats``."""

    token: int
    stats: Stats


@attrs.frozen
class EngineHeld:
    """The answer to ``hold``. All that the engine has received is sent, or still in the kernel."""

    token: int


@attrs.frozen
class SnapshotReady:
    """The answer to ``request_snapshot``: entries of blobs (``c/core/snapshot.h``)."""

    token: int
    snapshot: bytes = attrs.field(repr=False)


@attrs.frozen
class EngineFailed:
    """The engine's thread has ended by itself."""

    message: str


EngineEvent: TypeAlias = (
    IceConnected
    | IceMoved
    | IceSilent
    | PlainConnected
    | DtlsDatagram
    | StreamStarted
    | LayerChanged
    | AudioLevel
    | ProducerScore
    | ConsumerScore
    | ConsumerStarted
    | PacketsTraced
    | StatsReady
    | EngineHeld
    | SnapshotReady
    | EngineFailed
)
