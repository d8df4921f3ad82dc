"""A NAT gives a client another address: media goes on before the client's next check. A copy of a
packet from another address gains little.
"""

import attrs
import pytest
from support.engine_world import Camera, EngineClient, World, video
from support.wire.rtcp import ReceiverReport, ReportBlock, build_rtcp
from support.wire.stun import binding_request, build_stun

from meet_trio.engine import EngineSettings, IceMoved, IceSilent

ELSEWHERE = ("198.51.100.9", 9)
"""An address that no client has."""
FRAME = 1 / 30
FEEDBACK = 0.1
HOLD = 0.1
CONFIRM = 6
PAUSE = 10
BYTES = 2 << 20


def rebind(client: EngineClient, port: int = 40_000) -> tuple[str, int]:
    """The client's NAT forgets its mapping. What is sent to the old address is lost."""
    old = client.address
    client.world.further_addresses[old] = client
    client.address = (old[0], port)
    return old


def report(client: EngineClient, ssrc: int = 1) -> bytes:
    """A viewer's feedback, as Chromium's from a transport that only receives: from SSRC 1."""
    assert client.tx is not None
    packet = ReceiverReport(ssrc, (ReportBlock(ssrc=5),))
    data: bytes = client.tx.protect_rtcp(build_rtcp([packet]))
    return data


@attrs.define(eq=False)
class Call:
    """Alice is seen by Bob: frames, and feedback of Bob's ten times a second."""

    world: World = attrs.field(factory=World)
    alice: EngineClient = attrs.field(init=False)
    bob: EngineClient = attrs.field(init=False)
    camera: Camera = attrs.field(factory=Camera)
    frames: int = 0
    feedback: bool = True

    def __attrs_post_init__(self) -> None:
        self.alice, self.bob = self.world.client(), self.world.client()
        producer = self.world.produce(self.alice, video())
        self.world.consume(self.bob, producer)
        self.alice.send(*self.camera.frame(key=True))
        self.run(1)
        self.world.take_events(IceMoved)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / FRAME)):
            self.alice.send(*self.camera.frame())
            self.frames += 1
            if self.feedback and self.frames % 3 == 0:
                self.bob.send_raw(report(self.bob))
            self.world.run(FRAME)

    def got(self, client: EngineClient) -> int:
        """The number of packets of media that have come to the client since the last call."""
        count = len(client.rtp)
        client.rtp.clear()
        return count

    def counters(self) -> dict[str, int]:
        names = "claimed", "moved", "confirmed", "unconfirmed", "taken_back"
        figures = self.world.stats()["engine"]
        return {name: figures[f"rebindings_{name}"] for name in names}


@pytest.mark.parametrize("profile", [0x0001, 0x0007, 0x0008])
def test_a_viewers_pictures_go_on_after_its_address_changed(profile: int) -> None:
    call = Call()
    bob = call.world.client(profile)
    call.world.consume(bob, 3)
    call.alice.send(*call.camera.frame(key=True))
    call.bob = bob
    call.run(1)
    rebind(bob)
    call.got(bob)
    call.run(0.4)
    assert call.got(bob) > 0
    assert call.world.take_events(IceMoved) == [IceMoved(bob.number, *bob.address)]
    call.run(2)
    bob.check(nominate=False)
    call.got(bob)
    call.run(20)
    assert call.got(bob) >= 20 * 2 * 30 - 2
    assert call.world.take_events(IceMoved) == []
    moved = {"claimed": 1, "moved": 1, "confirmed": 1, "unconfirmed": 0, "taken_back": 0}
    assert call.counters() == moved


def test_one_report_from_the_new_address_is_enough() -> None:
    """Chromium reports the last packets once: without media there is nothing more to report."""
    call = Call()
    call.feedback = False
    rebind(call.bob)
    call.bob.send_raw(report(call.bob))
    call.got(call.bob)
    call.run(HOLD)
    assert call.got(call.bob) == 0
    call.run(0.2)
    assert call.got(call.bob) > 0


def test_no_packet_of_a_publisher_is_lost_when_its_address_changes() -> None:
    call = Call()
    rebind(call.alice)
    call.got(call.bob)
    call.run(0.5)
    assert call.got(call.bob) == 30
    assert call.world.counter("dropped_unknown_address") == 0
    # its feedback follows: reports and requests for key frames
    call.alice.rtcp.clear()
    call.world.run(1)
    assert call.alice.rtcp != []


def test_viewers_with_the_same_ssrc_are_told_apart() -> None:
    """Hundreds of browsers behind one address have SSRC 1, and get other ports at once."""
    world = World()
    alice = world.client()
    producer = world.produce(alice, video())
    camera = Camera()
    viewers = [world.new_client() for _ in range(150)]
    for i, viewer in enumerate(viewers):
        viewer.address = ("10.0.0.99", 1000 + i)
        viewer.check()
        viewer.set_keys()
        world.consume(viewer, producer)
        for _ in range(i // 3):  # three of them have the same index
            viewer.send_raw(report(viewer))
    for i, viewer in enumerate(viewers):
        rebind(viewer, 20_000 + i)
    alice.send(*camera.frame(key=True))
    for _ in range(3):
        for viewer in viewers:
            viewer.send_raw(report(viewer))
        world.run(0.1)
    for viewer in viewers:
        viewer.rtp.clear()
    alice.send(*camera.frame())
    assert sum(len(v.rtp) == 2 for v in viewers) >= 147
    assert world.counter("rebindings_tried") < 150 * 3 * 4


def test_lost_reports_do_not_hinder_it() -> None:
    call = Call()
    call.feedback = False
    rebind(call.bob)
    for _ in range(10):
        report(call.bob)  # lost
    call.bob.send_raw(report(call.bob))
    call.got(call.bob)
    call.run(0.3)
    assert call.got(call.bob) > 0


# ---- attackers


def copy(call: Call, data: bytes, address: tuple[str, int] = ELSEWHERE) -> None:
    call.world.further_addresses[address] = call.bob
    call.world.core.datagram(*address, data)


def sent_to(call: Call, address: tuple[str, int], seconds: float) -> int:
    """The bytes that are sent to the address in this time."""
    total = 0
    for _ in range(round(seconds / FRAME)):
        for packet in call.camera.frame():
            call.world.core.datagram(*call.alice.address, call.alice.protect(packet))
        call.world.core.now += round(FRAME * 1e6)
        call.world.core.tick()
        for ip, port, data in call.world.core.take_sent():
            if (ip, port) == address:
                total += len(data)
            if (ip, port) != call.alice.address:
                call.world.watch(call.bob, data)
    return total


def test_a_replayed_packet_moves_nothing() -> None:
    call = Call()
    data = report(call.bob)
    call.bob.send_raw(data)
    media = call.alice.protect(call.camera.frame()[0])
    call.alice.send_raw(media)
    before = call.world.counter("dropped_unknown_address")
    for replay in (data, media):
        copy(call, replay)
    assert call.world.counter("dropped_unknown_address") == before + 2
    call.run(1)
    assert call.world.take_events(IceMoved) == []
    assert call.counters()["claimed"] == 0


def test_a_late_packet_moves_nothing() -> None:
    call = Call()
    late = report(call.bob)
    call.bob.send_raw(report(call.bob))
    copy(call, late)
    first, second = map(call.alice.protect, call.camera.frame())
    call.alice.send_raw(second)
    copy(call, first)
    assert call.counters()["claimed"] == 0
    call.alice.send_raw(first)  # the copy did not use it up
    assert call.world.counter("dropped_rtp_replayed") == 0


def test_a_forged_packet_moves_nothing() -> None:
    call = Call()
    data = bytearray(report(call.bob))
    data[9] ^= 1
    copy(call, bytes(data))
    assert call.world.counter("rebindings_tried") == 1
    assert call.counters()["claimed"] == 0


def test_a_copy_that_overtakes_its_original_gets_nothing() -> None:
    """An attacker on the path copies every packet of Bob's, and its copies come first."""
    call = Call()
    call.feedback = False
    total = 0
    for _ in range(100):
        data = report(call.bob)
        copy(call, data)
        total += sent_to(call, ELSEWHERE, 0.03)
        call.bob.send_raw(data)
        call.got(call.bob)
        total += sent_to(call, ELSEWHERE, 0.05)
    assert total == 0
    assert call.world.take_events(IceMoved) == []


def test_the_clients_own_packets_take_media_back() -> None:
    call = Call()
    call.feedback = False
    copy(call, report(call.bob))
    call.run(0.3)
    assert call.world.take_events(IceMoved) == [IceMoved(2, *ELSEWHERE)]
    call.got(call.bob)
    call.bob.send_raw(report(call.bob))
    call.run(0.1)
    assert call.got(call.bob) == 6
    assert call.world.take_events(IceMoved) == [IceMoved(2, *call.bob.address)]
    # The attacker has to wait before it can try again.
    copy(call, report(call.bob))
    call.run(PAUSE - 0.5)
    assert call.counters()["claimed"] == 1
    call.run(1)
    copy(call, report(call.bob))
    assert call.counters() == {
        **{"claimed": 2, "moved": 1, "confirmed": 0, "unconfirmed": 0, "taken_back": 1}
    }


def test_a_check_by_the_old_address_takes_media_back() -> None:
    call = Call()
    call.feedback = False
    copy(call, report(call.bob))
    call.run(0.3)
    call.bob.check(nominate=False)
    call.got(call.bob)
    call.run(0.1)
    assert call.got(call.bob) == 6


def test_an_address_without_a_check_is_sent_to_for_a_limited_time() -> None:
    call = Call()
    call.feedback = False
    copy(call, report(call.bob))
    assert sent_to(call, ELSEWHERE, CONFIRM + FRAME) > 0
    assert sent_to(call, ELSEWHERE, 3) == 0
    assert call.counters()["unconfirmed"] == 1
    call.got(call.bob)
    call.run(0.2)
    assert call.got(call.bob) > 0, "media goes to the address of before again"


def test_an_address_without_a_check_is_sent_a_limited_number_of_bytes() -> None:
    call = Call()
    call.feedback = False
    call.camera.tag, call.camera.parts = bytes(1000), 40
    copy(call, report(call.bob))
    total = sent_to(call, ELSEWHERE, CONFIRM)
    assert BYTES - 2000 < total <= BYTES
    assert call.world.counter("dropped_path_unconfirmed") > 0


def test_what_a_flood_costs_is_bounded() -> None:
    """Datagrams with the SSRC of a publisher and a fitting number, from many addresses."""
    call = Call()
    data = bytearray(call.alice.protect(call.camera.frame()[0]))
    data[-1] ^= 1
    for i in range(1000):
        call.world.core.datagram("203.0.113.5", 1000 + i, bytes(data))
    assert call.world.counter("rebindings_tried") == 10
    assert call.world.counter("rebindings_put_off") == 990
    assert call.world.counter("dropped_unknown_address") == 1000
    assert call.world.counter("dropped_rtp_unauthentic") == 0
    call.world.run(1)
    for i in range(100):
        call.world.core.datagram("203.0.113.5", 1000 + i, bytes(data))
    assert call.world.counter("rebindings_tried") == 15


def test_a_flood_against_everybody_is_bounded() -> None:
    world = World()
    clients = [world.client() for _ in range(250)]
    for client in clients:
        client.send_raw(report(client, client.number))
        data = bytearray(report(client, client.number))
        data[9] ^= 1
        for _ in range(5):
            world.core.datagram(*ELSEWHERE, bytes(data))
    assert world.counter("rebindings_tried") == 1000
    assert world.counter("rebindings_put_off") == 250


# ---- other paths


def test_a_client_on_tcp_has_no_claim() -> None:
    world = World()
    client = world.client()
    request = binding_request(
        remote_ufrag=client.ufrag, local_ufrag="theirs", tie_breaker=1, nominate=True
    )
    world.core.tcp_datagram(1, *client.address, build_stun(request, client.password))
    assert len(world.core.take_tcp_sent()) == 1
    client.send_raw(report(client))
    world.core.datagram(*ELSEWHERE, report(client))
    assert world.counter("rebindings_claimed") == 0
    assert world.counter("dropped_unknown_address") == 1


def test_places_of_addresses_that_work_are_not_given_away() -> None:
    call = Call()
    for port in range(1, 8):
        call.bob.check(nominate=False, address=("10.9.9.9", port))
    copy(call, report(call.bob))
    assert call.counters()["claimed"] == 0
    call.run(5)
    for port in range(1, 7):
        call.bob.check(nominate=False, address=("10.9.9.9", port))
    call.bob.check(nominate=False)
    call.run(3.5)
    copy(call, report(call.bob))
    assert call.counters()["claimed"] == 1


def test_a_claim_keeps_no_consent() -> None:
    call = Call(World(EngineSettings(consent_timeout=5)))
    call.run(2)
    rebind(call.bob)
    call.run(0.5)
    assert call.got(call.bob) > 0
    call.run(1)
    call.alice.check()
    call.run(1)
    assert [e.transport for e in call.world.take_events(IceSilent)] == [call.bob.number]
    assert sent_to(call, call.bob.address, 1) == 0


def test_a_clients_check_takes_a_claimed_address_from_another() -> None:
    call = Call()
    copy(call, report(call.bob))
    other = call.world.client()
    call.world.further_addresses.pop(ELSEWHERE)
    other.check(address=ELSEWHERE)
    assert call.world.counter("dropped_address_taken") == 0
    call.run(CONFIRM + 1)
    assert call.world.take_events(IceMoved)[-1:] == [IceMoved(other.number, *ELSEWHERE)]
    assert call.counters()["moved"] == 0


def test_a_removed_transport_with_a_claim_leaves_nothing() -> None:
    call = Call()
    rebind(call.bob)
    call.run(0.5)
    call.world.core.remove_transport(call.bob.number)
    call.run(CONFIRM + 1)
    assert call.counters()["unconfirmed"] == 0


# ---- outages


@pytest.mark.parametrize("seconds", [2, 8, 25])
def test_media_goes_on_at_once_after_an_outage(seconds: float) -> None:
    """Nothing comes from Bob meanwhile, neither checks nor feedback."""
    call = Call()
    for _ in range(10):
        call.run(1)
        call.bob.check()
        call.alice.check()
    call.feedback = False
    for _ in range(int(seconds)):
        call.run(1)
        call.alice.check()
    call.got(call.bob)
    call.run(FRAME)
    assert call.got(call.bob) == 2, "packets never stopped, so the first ones after it arrive"
    assert call.world.take_events(IceMoved) == []
