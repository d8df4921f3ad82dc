"""The links of a peer as one: the sums over its transports, and the worst of them."""

import attrs

from meet_trio.live.peer import LivePeer
from meet_trio.operator.figures import Reports


@attrs.frozen
class Links:
    """Bitrates in bit/s, the worst loss as a share of 1, the longest round trip in milliseconds,
    the highest estimate in bit/s.
    """

    rate_in: int
    rate_out: int
    loss: float
    rtt: float
    estimate: int


def links_of(peer: LivePeer, reports: Reports) -> Links:
    """All zero without figures."""
    links = [reports.transport(transport) for transport in peer.transports.values()]
    return Links(
        sum(link.get("recvBitrate", 0) for link in links),
        sum(link.get("sendBitrate", 0) for link in links),
        max((link.get("outgoingLoss", 0.0) for link in links), default=0.0),
        max((link.get("roundTripTime", 0.0) for link in links), default=0.0),
        max((link.get("availableOutgoingBitrate", 0) for link in links), default=0),
    )
