"""The candidates that a client is told, compared with those recorded from the original."""

import itertools

import pytest
from support.live_fakes import FakeBridge, FakeEngine

from meet_trio.media.engines import EngineHost
from meet_trio.media.settings import TransportSettings
from meet_trio.media.transport import WebRtcTransport

UDP = {
    "foundation": "udpcandidate",
    "priority": 1076558079,
    "ip": "127.0.0.1",
    "address": "127.0.0.1",
    "protocol": "udp",
    "port": 44444,
    "type": "host",
}
TCP = {
    "foundation": "tcpcandidate",
    "priority": 1076276479,
    "ip": "127.0.0.1",
    "address": "127.0.0.1",
    "protocol": "tcp",
    "port": 44444,
    "type": "host",
    "tcpType": "passive",
}


def candidates(*addresses: str, force_tcp: bool = False) -> object:
    transport = WebRtcTransport(
        host=EngineHost(FakeEngine(), itertools.count(1)),  # type: ignore[arg-type]
        bridge=FakeBridge(),  # type: ignore[arg-type]
        settings=TransportSettings(),
        addresses=addresses,
        producing=True,
        consuming=False,
        force_tcp=force_tcp,
    )
    return transport.parameters()["iceCandidates"]


def test_udp_is_preferred_and_tcp_is_offered() -> None:
    assert candidates("127.0.0.1") == [UDP, TCP]


def test_force_tcp_leaves_tcp_alone() -> None:
    assert candidates("127.0.0.1", force_tcp=True) == [TCP]


@pytest.mark.parametrize("force_tcp", [False, True])
def test_each_address_is_offered_in_order_of_preference(force_tcp: bool) -> None:
    addresses = ("2001:db8::1", "192.0.2.1", "media.example")
    found = candidates(*addresses, force_tcp=force_tcp)
    assert isinstance(found, list)
    assert [(c["protocol"], c["address"]) for c in found] == [
        (protocol, address) for protocol in ("udp", "tcp")[force_tcp:] for address in addresses
    ]
    priorities = [c["priority"] for c in found]
    assert priorities == sorted(set(priorities), reverse=True)
