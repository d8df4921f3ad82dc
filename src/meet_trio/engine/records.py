"""The arguments of an engine's commands, and its events, as plain records.

Ids are unsigned 32-bit integers that the caller gives out, one space for each kind of object.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs


@attrs.frozen
class EngineSettings:
    """Times in seconds; ``port`` 0 is one that is free at all of ``listen_ips`` (numeric; a lonely
    ``::`` takes IPv4 too).

    ``consent_timeout``: without a STUN check for that long a client is gone (RFC 7675 §5.1).
    ``history``, ``history_packets``: what is kept of a video stream to be sent again; the number is
    a power of two. ``dtls_per_second``: DTLS datagrams of one transport that are handed up.
    ``keyframe_interval``: between two requests for a key frame of one stream. ``nack_*``: a missing
    packet may be late by ``nack_delay``, then it is asked for ``nack_tries`` times.
    ``relay_packets``: how many may be on their way to one other engine; a power of two, and
    1.6 KB of memory each once they were used.
    ``max_tcp_connections``: ICE-TCP connections at once. ``max_tcp_strangers``, ``…_per_address``,
    ``tcp_stranger_timeout``: those that have not proved to know a transport's password, and their
    time to do so; of too many the oldest is closed. ``tcp_send_buffer``: bytes that may wait for
    one slow client.
    ``layer_silence``: a simulcast layer without packets for that long is not arriving.
    ``incoming_excess``: of a client that sends more than so many times its limit (see
    ``set_max_incoming_bitrate``), what is above is dropped; ``incoming_burst``: as many seconds of
    the limit may come on top at once, and always 1.25 MB.
    """

    listen_ips: tuple[str, ...] = ("127.0.0.1",)
    port: int = 0
    consent_timeout: float = 30.0
    history: float = 1.0
    history_packets: int = 1024
    dtls_per_second: int = 50
    keyframe_interval: float = 0.3
    nack_delay: float = 0.01
    nack_interval: float = 0.05
    nack_tries: int = 10
    layer_silence: float = 1.5
    incoming_excess: float = 2.0
    incoming_burst: float = 10.0
    relay_packets: int = 1024
    max_tcp_connections: int = 4096
    max_tcp_strangers: int = 1024
    max_tcp_strangers_per_address: int = 256
    tcp_stranger_timeout: float = 10.0
    tcp_send_buffer: int = 256 * 1024


@attrs.frozen
class EncodingSpec:
    """One RTP stream of a producer, known by its SSRCs or by its RID (RFC 8851)."""

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
    """No STUN check for ``consent_timeout``."""

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
class LayerChanged:
    """``spatial`` is the encoding that the consumer sends now, None if it sends none."""

    consumer: int
    spatial: int | None


@attrs.frozen
class AudioLevel:
    """The level has changed by 5 dB or more: 0 (loudest) to -127 (silence) dBov (RFC 6464). It is
    told at most every 200 ms.
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
class StatsReady:
    """``stats`` has the figures of ``transports``, ``producers``, ``mirrors`` (of other engines'
    producers) and ``consumers`` by id (as text), and those of the ``engine``. The tables of
    ``c/state/figures.h`` list them.
    """

    token: int
    stats: dict[str, object]


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
    | StatsReady
    | EngineFailed
)
