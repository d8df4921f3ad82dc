"""WebRTC transports with aiortc's DTLS and a fake engine: what their ends leave."""

import gc
import itertools

import attrs
import pytest
import trio
from support.live_fakes import FakeEngine

from meet_trio.bench.dtls import DtlsEndpoint, Identity
from meet_trio.engine import DtlsDatagram, IceSilent
from meet_trio.media.dtls import DtlsBridge, open_bridge
from meet_trio.media.engines import EngineHost
from meet_trio.media.settings import TransportSettings
from meet_trio.media.transport import TransportState, WebRtcTransport
from meet_trio.ortc import DtlsFingerprint


class SendingEngine(FakeEngine):
    """What it is to send waits in ``sent``."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def send_dtls(self, transport: int, datagram: bytes) -> None:
        assert transport in self.transports
        self.sent.append(datagram)


@attrs.define(eq=False)
class Side:
    """The server's side of transports, and their owner."""

    bridge: DtlsBridge
    engine: SendingEngine = attrs.field(factory=SendingEngine)
    host: EngineHost = attrs.field(init=False)
    identity: Identity = attrs.field(factory=Identity.generate)
    ends: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.host = EngineHost(self.engine, itertools.count(1))  # type: ignore[arg-type]

    def transport_changed(self, transport: WebRtcTransport) -> None:
        pass

    def transport_ended(self, transport_id: str, why: str) -> None:
        self.ends.append(why)

    def open(self) -> WebRtcTransport:
        transport = WebRtcTransport(
            self.host, self.bridge, TransportSettings(), ["192.0.2.9"], True, False
        )
        transport.open(self)
        transport.connect([DtlsFingerprint("sha-256", self.identity.fingerprint)])
        return transport

    def shake_hands(self, number: int, identity: Identity) -> DtlsEndpoint:
        client = DtlsEndpoint(identity)
        client.start()
        while datagrams := client.outgoing():
            for datagram in datagrams:
                self.host._dispatch(DtlsDatagram(number, datagram))
            while self.engine.sent:
                client.receive(self.engine.sent.pop(0))
        return client

    def live(self, how: str) -> None:
        """The life of a transport that ends so."""
        transport = self.open()
        number = transport.number
        if how == "forged":
            self.shake_hands(number, Identity.generate())
        elif how != "at once":
            client = self.shake_hands(number, self.identity)
            assert transport.state is TransportState.CONNECTED
            assert number in self.engine.srtp
        match how:
            case "silent":
                self.host._dispatch(IceSilent(number))
            case "goodbye":
                client.close()
                for datagram in client.outgoing():
                    self.host._dispatch(DtlsDatagram(number, datagram))
            case "closed" | "at once":
                transport.close()
                transport.close()
            case "late":
                transport._give_up()
        assert transport.state is TransportState.CLOSED
        self.host._dispatch(DtlsDatagram(number, b"\x16"))  # comes too late


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("silent", "no STUN checks from the client any more"),
        ("goodbye", "the client sent close_notify"),
        ("closed", "closed"),
        ("at once", "closed"),
        ("late", "not connected within 30 s"),
        ("forged", "DTLS: handshake failed, or the certificate has another fingerprint"),
    ],
)
async def test_a_transport_that_has_ended_is_gone(how: str, why: str) -> None:
    """From engine, host and bridge, and from memory without the collector's help."""
    async with open_bridge() as bridge:
        await bridge.load()
        side = Side(bridge)
        side.live(how)
        gc.collect()
        gc.disable()
        try:
            side.live(how)
            left = [each for each in gc.get_objects() if isinstance(each, WebRtcTransport)]
        finally:
            gc.enable()
        assert left == []
        assert side.ends == [why, why]
        assert side.engine.is_empty()
        assert not any(side.host.object_counts().values())
        assert bridge.task_count() == 0
        await trio.lowlevel.checkpoint()
