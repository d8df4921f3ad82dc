"""The arguments of a crowd's commands, and its events, as frozen records.

Endpoints are numbered from 0 in the order in which they are added. Times are in seconds of the
monotonic clock, lengths in bytes.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import attrs


@attrs.frozen
class FeedSpec:
    """One encoding that an endpoint sends.

    - ``number``: the label of its packets. The two lowest bits tell encodings of one track apart.
    - ``frame_size``, ``keyframe_size``: payload of a frame, cut into packets of ``packet_size`` at
      most.
    - ``keyframe_interval``: frames from one key frame to the next; 0: they are made when asked for.
    - ``extensions``: ids of header extensions by URI; others than those of a browser are ignored.
    """

    video: bool
    number: int
    ssrc: int
    payload_type: int
    clock_rate: int
    interval: float
    frame_size: int
    packet_size: int
    keyframe_size: int = 0
    keyframe_interval: int = 0
    rtx_ssrc: int = 0
    rtx_payload_type: int = 0
    mid: str = ""
    rid: str = ""
    cname: str = ""
    extensions: Mapping[str, int] = attrs.field(factory=dict)


@attrs.frozen
class ViewedSpec:
    """One stream that an endpoint receives. ``number`` is that of its feed, whose two lowest bits
    do not count. ``nack``: missing packets are asked for.
    """

    video: bool
    number: int
    ssrc: int
    clock_rate: int
    rtx_ssrc: int = 0
    nack: bool = False


@attrs.frozen
class CheckAnswered:
    """The server has answered a connectivity check of the endpoint for the first time."""

    endpoint: int


@attrs.frozen
class DtlsReceived:
    """A DTLS datagram for the endpoint."""

    endpoint: int
    datagram: bytes


@attrs.frozen
class StreamBegun:
    """The first packet of a stream."""

    endpoint: int
    ssrc: int
    at: float


@attrs.frozen
class CrowdReport:
    """What the crowd has done so far. ``counters`` has the names of ``c/crowd/totals.h``.
    ``delays`` counts in the buckets of ``c/crowd/histogram.h``; times are in µs.
    """

    token: int
    at: float
    counters: Mapping[str, int]
    delays: Sequence[int]
    longest_delay: int


@attrs.frozen
class CrowdFailed:
    """The crowd has ended by itself."""

    reason: str


CrowdEvent: TypeAlias = CheckAnswered | DtlsReceived | StreamBegun | CrowdReport | CrowdFailed
