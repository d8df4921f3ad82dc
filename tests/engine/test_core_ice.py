"""ICE-lite and DTLS through the core: answers to checks, the path of media, datagrams passed up."""

import pytest
from support.engine_world import Camera, EngineClient, World
from support.wire.stun import (
    BINDING_REQUEST,
    BINDING_SUCCESS,
    ICE_CONTROLLED,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    StunMessage,
    binding_request,
    build_stun,
    has_integrity_untrusted,
    parse_stun_untrusted,
    parse_xor_address_untrusted,
)

from meet_trio.engine import (
    Core,
    DtlsDatagram,
    EngineSettings,
    IceConnected,
    IceMoved,
    IceSilent,
)

OTHER = ("192.0.2.7", 7777)


def test_first_check_is_answered_and_selected_without_nomination() -> None:
    world = World()
    client = world.new_client()
    client.check(nominate=False)
    (answer,) = client.stun
    message = parse_stun_untrusted(answer)
    assert message.message_type == BINDING_SUCCESS
    assert has_integrity_untrusted(answer, client.password)
    attributes = dict(message.attributes)
    mapped = parse_xor_address_untrusted(attributes[XOR_MAPPED_ADDRESS], message.transaction_id)
    assert mapped == client.address
    assert world.take_events(IceConnected) == [IceConnected(client.number, *client.address)]


def test_only_the_nominated_path_takes_over() -> None:
    world = World()
    client = world.client()
    world.take_events(IceConnected)
    client.check(nominate=False, address=OTHER)
    assert world.take_events(IceMoved) == []
    client.check(nominate=True, address=OTHER)
    assert world.take_events(IceMoved) == [IceMoved(client.number, *OTHER)]
    # and back to the first path
    client.check(nominate=True)
    assert world.take_events(IceMoved) == [IceMoved(client.number, *client.address)]


def test_a_path_that_is_not_heard_any_more_gives_way_without_nomination() -> None:
    world = World()
    client = world.client()
    world.run(9)
    client.check(nominate=False, address=OTHER)
    assert world.take_events(IceMoved) == [IceMoved(client.number, *OTHER)]


@pytest.mark.parametrize(
    ("change", "counter"),
    [
        ({"password": "wrong"}, "dropped_stun_unauthentic"),
        ({"ufrag": "nobody"}, "dropped_stun_unknown_ufrag"),
    ],
)
def test_unauthentic_checks_are_not_answered(change: dict[str, str], counter: str) -> None:
    world = World()
    client = world.new_client()
    client.check(**change)  # type: ignore[arg-type]
    assert client.stun == []
    assert world.take_events(IceConnected) == []
    assert world.counter(counter) == 1


def test_a_controlled_client_is_told_its_role_conflicts() -> None:
    world = World()
    client = world.new_client()
    request = StunMessage(
        BINDING_REQUEST,
        attributes=((USERNAME, f"{client.ufrag}:x".encode()), (ICE_CONTROLLED, bytes(8))),
    )
    client.send_raw(build_stun(request, client.password))
    (answer,) = map(parse_stun_untrusted, client.stun)
    assert answer.message_type == 0x0111
    assert dict(answer.attributes)[0x0009][:4] == b"\0\0\x04\x57"
    assert world.take_events(IceConnected) == []


def test_old_credentials_hold_until_the_new_ones_are_used() -> None:
    world = World()
    client = world.client()
    world.core.restart_ice(client.number, "new", "new-password")
    client.stun.clear()
    client.check()
    assert len(client.stun) == 1
    client.check(ufrag="new", password="new-password")
    assert len(client.stun) == 2
    assert has_integrity_untrusted(client.stun[1], "new-password")
    client.check()
    assert len(client.stun) == 2
    client.check(ufrag="new", password="new-password", address=OTHER)
    assert world.take_events(IceMoved) == [IceMoved(client.number, *OTHER)]
    # A second restart comes before the first one's credentials were used.
    world.core.restart_ice(client.number, "newer", "newer-password")
    world.core.restart_ice(client.number, "newest", "newest-password")
    client.check(ufrag="newer", password="newer-password")
    client.check(ufrag="newest", password="newest-password")
    assert len(client.stun) == 4


def test_silence_ends_consent_once_and_a_check_brings_it_back() -> None:
    world = World(EngineSettings(consent_timeout=5))
    client = world.client()
    for _ in range(4):
        world.run(2.5, step=0.1)
        client.check()
    assert world.take_events(IceSilent) == []
    world.run(4.8, step=0.1)
    assert world.take_events(IceSilent) == []
    world.run(10, step=0.1)
    assert world.take_events(IceSilent) == [IceSilent(client.number)]
    world.core.send_dtls(client.number, b"\x16lost")
    world.deliver()
    assert client.dtls == []  # without consent nothing is sent
    client.check()
    assert world.take_events(IceMoved) == [IceMoved(client.number, *client.address)]


def sent_to(world: World, client: EngineClient) -> list[tuple[str, int]]:
    """The addresses that a datagram sent now goes to."""
    world.core.send_dtls(client.number, b"\x16where?")
    return [(ip, port) for ip, port, _ in world.core.take_sent()]


@pytest.mark.parametrize(("consent", "other_lives"), [(5, True), (12, False)])
def test_consent_of_one_address_keeps_nothing_going_to_another(
    consent: int, other_lives: bool
) -> None:
    world = World(EngineSettings(consent_timeout=consent))
    client = world.client(profile=None)
    world.run(1, step=0.1)
    client.check(nominate=False, address=OTHER)
    if other_lives:
        world.run(3, step=0.1)
        client.check(nominate=False, address=OTHER)
    world.run(consent - (4.2 if other_lives else 1.2), step=0.1)
    assert sent_to(world, client) == [client.address]
    world.run(0.4, step=0.1)
    assert sent_to(world, client) == ([OTHER] if other_lives else [])
    assert world.take_events(IceSilent) == []  # packets still arrive, so it is not silent
    client.check(nominate=False, address=OTHER)
    assert sent_to(world, client) == [OTHER]


def owner_of(world: World, address: tuple[str, int]) -> int:
    """The number of the client whose transport has the address."""
    world.core.datagram(*address, b"\x16whose?")
    return world.take_events(DtlsDatagram)[-1].transport


def test_an_address_in_use_cannot_be_taken() -> None:
    world = World()
    alice, mallory = world.client(), world.client()
    mallory.check(address=alice.address)
    assert world.counter("dropped_address_taken") == 1
    assert owner_of(world, alice.address) == alice.number
    # A check every 2.5 seconds is enough to keep it.
    for _ in range(5):
        world.run(2.4)
        mallory.check(address=alice.address)
        alice.check()
    assert world.counter("dropped_address_taken") == 6
    assert owner_of(world, alice.address) == alice.number


def test_an_address_is_anothers_when_its_owner_has_missed_a_check() -> None:
    """The port may belong to another client on the same machine, whose owner was killed."""
    world = World()
    alice, bob = world.client(), world.client()
    world.run(2.9)
    bob.check(address=alice.address)
    assert owner_of(world, alice.address) == alice.number
    world.run(0.2)
    bob.check(address=alice.address)
    assert owner_of(world, alice.address) == bob.number


def test_media_keeps_an_address_when_a_check_was_lost() -> None:
    world = World()
    alice, mallory = world.client(), world.client()
    replay = alice.protect(Camera().frame()[0])
    for i in range(4):
        world.run(1)
        alice.send_raw(replay if i == 0 else alice.protect(Camera(sequence=i).frame()[0]))
        mallory.check(address=alice.address)
    assert world.counter("dropped_address_taken") == 4
    # What anybody could send does not keep it.
    for _ in range(3):
        world.run(1)
        alice.send_raw(replay)
    mallory.check(address=alice.address)
    assert owner_of(world, alice.address) == mallory.number


def test_an_owner_that_was_only_late_takes_its_address_back() -> None:
    world = World()
    alice, mallory = world.client(), world.client()
    world.run(5)
    mallory.check(address=alice.address)
    assert owner_of(world, alice.address) == mallory.number
    alice.stun.clear()
    alice.check()
    assert len(alice.stun) == 1
    assert owner_of(world, alice.address) == alice.number
    for _ in range(4):
        mallory.check(address=alice.address)
        assert owner_of(world, alice.address) == alice.number
        world.run(2.5)
        alice.check()


def test_an_address_is_not_taken_back_after_the_time_of_consent() -> None:
    world = World(EngineSettings(consent_timeout=10))
    alice, bob = world.client(), world.client()
    world.run(5)
    for _ in range(6):
        bob.check(address=alice.address)
        world.run(2)
    alice.check()
    assert owner_of(world, alice.address) == bob.number


def test_addresses_of_one_transport_are_bounded() -> None:
    world = World()
    client = world.client()
    for port in range(1, 100):
        client.check(nominate=False, address=("10.9.9.9", port))
    world.core.datagram("10.9.9.9", 1, b"\x16old")
    assert world.counter("dropped_unknown_address") == 1
    world.core.datagram("10.9.9.9", 99, b"\x16recent")
    client.send_raw(b"\x16selected")
    assert [e.data for e in world.take_events(DtlsDatagram)] == [b"\x16recent", b"\x16selected"]


def check_by_tcp(client: EngineClient, connection: int, *, nominate: bool) -> None:
    request = binding_request(
        remote_ufrag=client.ufrag, local_ufrag="theirs", tie_breaker=1, nominate=nominate
    )
    data = build_stun(request, client.password)
    client.world.core.tcp_datagram(connection, *OTHER, data)
    assert [number for number, _ in client.world.core.take_tcp_sent()] == [connection]


def test_when_a_connection_ends_the_way_heard_last_takes_over() -> None:
    world = World()
    client = world.client()
    check_by_tcp(client, 1, nominate=True)
    check_by_tcp(client, 2, nominate=True)
    world.take_events(IceMoved)
    world.run(1)
    client.check(nominate=False)
    world.run(1)
    check_by_tcp(client, 1, nominate=False)
    world.run(1)
    check_by_tcp(client, 3, nominate=False)
    world.core.tcp_closed(3, *OTHER)  # the last one heard, but not the one that media uses
    assert world.take_events(IceMoved) == []
    world.core.send_dtls(client.number, b"\x16by 2")
    assert world.core.take_tcp_sent() == [(2, b"\x16by 2")]
    world.core.tcp_closed(2, *OTHER)
    world.core.send_dtls(client.number, b"\x16by 1")
    assert world.core.take_tcp_sent() == [(1, b"\x16by 1")]
    world.take_events(IceMoved)
    world.core.tcp_closed(1, *OTHER)
    assert world.take_events(IceMoved) == [IceMoved(client.number, *client.address)]
    # If only paths remain that have long been silent, nothing is sent until one is heard.
    check_by_tcp(client, 4, nominate=True)
    world.run(10)
    world.core.tcp_closed(4, *OTHER)
    world.core.send_dtls(client.number, b"\x16lost")
    assert world.counter("dropped_dtls_no_path") == 1
    check_by_tcp(client, 1, nominate=False)
    world.core.send_dtls(client.number, b"\x16by 1")
    assert world.core.take_tcp_sent() == [(1, b"\x16by 1")]
    assert world.stats()["transports"][str(client.number)]["protocol"] == "tcp"


def test_what_comes_by_a_connection_that_has_ended_is_a_strangers() -> None:
    world = World()
    client = world.new_client()
    check_by_tcp(client, 1, nominate=True)
    world.core.tcp_closed(1, *OTHER)
    world.core.tcp_datagram(1, *OTHER, b"\x16late")
    world.core.tcp_closed(1, *OTHER)
    assert world.take_events(DtlsDatagram) == []
    assert world.counter("dropped_unknown_address") == 1
    # It does not belong to a later connection from the same address and port either.
    check_by_tcp(client, 2, nominate=True)
    world.core.tcp_datagram(1, *OTHER, b"\x16later")
    assert world.take_events(DtlsDatagram) == []


def test_consent_is_lost_as_ever_when_a_connection_has_ended() -> None:
    world = World(EngineSettings(consent_timeout=5))
    client = world.new_client()
    check_by_tcp(client, 1, nominate=True)
    world.run(2, step=0.1)
    world.core.tcp_closed(1, *OTHER)
    world.run(2.8, step=0.1)
    assert world.take_events(IceSilent) == []
    world.run(0.4, step=0.1)
    assert world.take_events(IceSilent) == [IceSilent(client.number)]


def test_dtls_goes_both_ways_for_known_addresses_only() -> None:
    world = World()
    client = world.new_client()
    world.core.send_dtls(client.number, b"\x16too early")
    client.send_raw(b"\x16too early")
    assert world.take_events(DtlsDatagram) == []
    assert world.counter("dropped_dtls_no_path") == 1
    client.check()
    client.send_raw(b"\x16hello")
    assert world.take_events(DtlsDatagram) == [DtlsDatagram(client.number, b"\x16hello")]
    world.core.send_dtls(client.number, b"\x16flight")
    world.deliver()
    assert client.dtls == [b"\x16flight"]


def test_dtls_is_limited_per_transport() -> None:
    world = World(EngineSettings(dtls_per_second=10))
    client, other = world.client(), world.client()
    for _ in range(200):
        client.send_raw(b"\x16flood")
    other.send_raw(b"\x16modest")
    events = world.take_events(DtlsDatagram)
    assert len([e for e in events if e.transport == client.number]) == 32
    assert len([e for e in events if e.transport == other.number]) == 1
    world.run(1)
    for _ in range(200):
        client.send_raw(b"\x16flood")
    assert len(world.take_events(DtlsDatagram)) == 10


def test_state_changes_wait_when_nobody_reads_events() -> None:
    world = World()
    world.core.take_events_in = False
    client = world.new_client()
    client.check()
    client.send_raw(b"\x16lost, as on a network")
    world.run(1)
    assert world.events == []
    world.core.take_events_in = True
    world.run(0.1)
    assert world.take_events(IceConnected) == [IceConnected(client.number, *client.address)]
    assert world.take_events(DtlsDatagram) == []
    assert world.counter("dropped_dtls_events") == 1


def test_a_removed_transport_is_forgotten() -> None:
    world = World()
    client = world.client()
    world.core.remove_transport(client.number)
    client.stun.clear()
    client.check()
    client.send_raw(b"\x16gone")
    assert client.stun == []
    assert world.take_events(DtlsDatagram) == []
    assert world.stats()["transports"] == {}
    world.core.remove_transport(client.number)
    assert world.counter("commands_for_unknown_ids") == 1


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\x16", b"\x80", b"\xff" * 50, b"\x80\xc8" + b"\0" * 6]
)
def test_rubbish_is_counted_and_dropped(data: bytes) -> None:
    world = World()
    client = world.client()
    before = world.stats()["engine"]
    client.send_raw(data)
    after = world.stats()["engine"]
    kinds = {k for k in after if k.startswith("dropped") and after[k] != before[k]}
    assert len(kinds) == (0 if data == b"\x16" else 1)


def test_arguments_that_cannot_be_are_refused_at_once() -> None:
    core = Core(EngineSettings())
    with pytest.raises(ValueError, match="ufrag"):
        core.add_transport(1, "", "password")
    with pytest.raises(ValueError, match="longer"):
        core.add_transport(1, "u" * 65, "password")
    with pytest.raises(ValueError, match="profile"):
        core.set_srtp(1, 2, b"", b"")
    with pytest.raises(ValueError, match="28 bytes"):
        core.set_srtp(1, 7, bytes(30), bytes(28))
    with pytest.raises(ValueError, match="datagram"):
        core.send_dtls(1, b"")
    with pytest.raises(OverflowError):
        core.remove_transport(1 << 32)
    with pytest.raises(ValueError, match="history_packets"):
        Core(EngineSettings(history_packets=1000))
