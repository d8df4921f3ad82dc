"""The sums of a peer's counters, over objects and engines that come and go."""

from meet_trio.operator.quality import PeerSums


def seen(sums: PeerSums, **changes: int) -> dict[str, int]:
    """The sums after one more look at a transport."""
    figures = {
        "packetsReceived": 0,
        "bytesReceived": 0,
        "packetsSent": 0,
        "bytesSent": 0,
        "address": None,
        "protocol": "udp",
        "roundTripTime": 0,
        "outgoingLoss": 0,
    }
    sums.begin([("transports", 1)], [])
    sums.see_transport(1, figures | changes)
    return sums.sums("transports")


def test_what_a_dead_engine_has_counted_stays() -> None:
    """The next one counts from 0. A counter that it has taken over goes on."""
    sums = PeerSums()
    assert seen(sums, packetsReceived=100, packetsSent=7)["packetsReceived"] == 100
    assert seen(sums, packetsReceived=3, packetsSent=9)["packetsReceived"] == 103
    now = seen(sums, packetsReceived=5, packetsSent=9)
    assert (now["packetsReceived"], now["packetsSent"]) == (105, 9)
    assert seen(sums, packetsReceived=1, packetsSent=9)["packetsReceived"] == 106
    sums.begin([], [])
    assert sums.sums("transports")["packetsReceived"] == 106
