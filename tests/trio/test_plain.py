"""Plain transports as clients request them: ports, allowed addresses, limits, and cleanup."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import trio
import trio.testing
from support.live_fakes import Client, World
from support.live_scenes import open_world
from support.peers import CAPABILITIES, EVERYTHING
from support.plain_peer import free_ports
from trio.testing import MockClock

from meet_trio.bench.rtp_parameters import audio_parameters
from meet_trio.engine import IceConnected, PlainConnected
from meet_trio.errors import BadRequest, LimitExceeded
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.media.announced import AnnouncedAddresses
from meet_trio.media.plain import PlainPorts, PlainTransport
from meet_trio.media.settings import PlainSettings, TransportSettings
from meet_trio.media.transport import TransportState

CLIENT_IP = "192.0.2.1"  # the address of the fake sockets
LOOPBACK = ("127.0.0.0/8", "::1/128")
LISTEN_IPS = ("127.0.0.1",)


def free_range(count: int) -> tuple[int, int]:
    first = free_ports(count)
    return first, first + count - 1


@contextlib.asynccontextmanager
async def open_plain_world(
    ports: tuple[int, int] = (40000, 49999),
    peer_settings: PeerSettings | None = None,
    listen_ips: Sequence[str] = LISTEN_IPS,
    proxies: Sequence[str] = (),
    **settings: Any,
) -> AsyncIterator[World]:
    """A world that gives back its ports and descriptors at the end."""
    before = len(os.listdir("/proc/self/fd"))
    chosen = {"allowed": LOOPBACK, **settings}
    plain_ports = PlainPorts(PlainSettings(ports=ports, **chosen), listen_ips, proxies)
    async with open_world(peer_settings=peer_settings, plain_ports=plain_ports) as world:
        descriptors = len(os.listdir("/proc/self/fd"))
        yield world
    assert not plain_ports._taken
    assert before <= len(os.listdir("/proc/self/fd")) <= descriptors


async def result_of(client: Client, method: str, **data: object) -> dict[str, object]:
    answer = await client.socket.ask(method, **data)
    assert answer[0] is None, answer
    result = answer[1] if len(answer) > 1 else {}
    assert isinstance(result, dict)
    return result


async def refused(client: Client, method: str, **data: object) -> str:
    """The reason of the refusal."""
    answer = await client.socket.ask(method, **data)
    assert answer[:2] == [500, f"request {method} failed"]
    return str(answer[2])


async def create(client: Client, *, producing: bool = False) -> dict[str, object]:
    return await result_of(
        client, "createPlainTransport", producing=producing, consuming=not producing
    )


def opus(**encoding: object) -> dict[str, object]:
    codec = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
    return {"codecs": [codec], "encodings": [encoding]}


async def produce(client: Client, transport: dict[str, object], **encoding: object) -> object:
    return await client.socket.ask(
        "produce",
        transportId=transport["id"],
        kind="audio",
        rtpParameters=opus(**encoding),
        appData={"source": "mic"},
    )


async def test_a_pair_of_ports(autojump_clock: MockClock) -> None:
    async with open_plain_world() as world:
        ada = await world.enter(await world.registry.create_room(), details="1")
        for producing in (True, False):
            transport = await create(ada, producing=producing)
            assert set(transport) == {"id", "ip", "port", "rtcpPort"}
            port, rtcp_port = transport["port"], transport["rtcpPort"]
            assert isinstance(port, int)
            assert 40000 <= port <= 49998
            assert port % 2 == 0
            assert rtcp_port == port + 1
            assert transport["ip"] == "192.0.2.9"  # the announced address
            number = max(world.engine.plain)
            rtp_fd, rtcp_fd, allowed = world.engine.plain[number]
            for fd, bound in ((rtp_fd, port), (rtcp_fd, rtcp_port)):
                with socket.socket(fileno=os.dup(fd)) as sock:
                    assert sock.getsockname() == ("127.0.0.1", bound)
                assert not os.get_blocking(fd)
            assert allowed == (*LOOPBACK, CLIENT_IP)
            assert world.engine.transports[number] == ("plain", "comedia" if producing else "")


async def test_ports_run_out_and_come_back(autojump_clock: MockClock) -> None:
    first, last = free_range(5)
    async with open_plain_world((first, last)) as world:
        room = await world.registry.create_room()
        ada, bob = [await world.enter(room, details="1") for _ in range(2)]
        ports = [(await create(ada))["port"] for _ in range(2)]
        assert sorted(map(int, ports)) == [first, first + 2]  # type: ignore[call-overload]
        reason = await refused(bob, "createPlainTransport", producing=True, consuming=False)
        why = f"no two of the ports {first}-{last} for plain RTP are free (media.plain_ports)"
        assert reason == why
        assert bob.socket.reason is None
        ada.socket.go()
        await trio.testing.wait_all_tasks_blocked()
        assert (await create(bob))["port"] in ports
        assert (await create(bob))["port"] in ports


async def test_any_two_ports_if_there_is_no_pair() -> None:
    first, last = free_range(4)
    ports = PlainPorts(PlainSettings(ports=(first, last)), LISTEN_IPS)
    with contextlib.ExitStack() as stack:
        for port in (first, first + 3):
            other = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            other.bind(("127.0.0.1", port))
        rtp, rtcp = stack.enter_context(ports.open_pair("127.0.0.1"))
        assert [s.getsockname()[1] for s in (rtp, rtcp)] == [first + 1, first + 2]
        with pytest.raises(LimitExceeded), ports.open_pair("127.0.0.1"):
            pass
    assert rtp.fileno() == rtcp.fileno() == -1
    assert not ports._taken
    with ports.open_pair("127.0.0.1") as (rtp, _):
        assert rtp.getsockname()[1] in (first, first + 2)


async def test_two_ports_that_begin_oddly_will_do() -> None:
    first, _ = free_range(6)
    for last, port in ((first + 2, first + 1), (first + 4, first + 2)):
        ports = PlainPorts(PlainSettings(ports=(first + 1, last)), LISTEN_IPS)
        with ports.open_pair("127.0.0.1") as pair:
            assert [s.getsockname()[1] for s in pair] == [port, port + 1]


async def test_ports_are_given_out_in_no_order_and_all_of_them() -> None:
    """Packets that are still sent to a closed transport should not reach the next one."""
    first, last = free_range(4)
    ports = PlainPorts(PlainSettings(ports=(first, last)), LISTEN_IPS)
    seen = []
    for _ in range(40):
        with ports.open_pair("127.0.0.1") as one, ports.open_pair("127.0.0.1") as other:
            found = [one[0].getsockname()[1], other[0].getsockname()[1]]
            assert sorted(found) == [first, first + 2]
            seen.append(found[0])
    assert set(seen) == {first, first + 2}  # fails by chance once in 10^12


@pytest.mark.parametrize(
    ("listen_ip", "reached_at"),
    [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("::", ["127.0.0.1", "::1"])],
)
async def test_addresses_listened_on(listen_ip: str, reached_at: list[str]) -> None:
    with PlainPorts(PlainSettings(ports=free_range(2)), [listen_ip]).open_pair(listen_ip) as pair:
        for sock in pair:
            for ip in reached_at:
                family = socket.AF_INET6 if ":" in ip else socket.AF_INET
                with socket.socket(family, socket.SOCK_DGRAM) as client:
                    client.sendto(b"hello", (ip, sock.getsockname()[1]))
                    with trio.fail_after(5):
                        await trio.lowlevel.wait_readable(sock)
                    assert sock.recv(10) == b"hello"


async def test_own_ports() -> None:
    ports = PlainPorts(PlainSettings(ports=(40000, 49999)), ["10.0.0.5"])
    for ip in ("127.0.0.1", "127.0.0.77", "::1", "10.0.0.5", "192.0.2.9"):
        assert ports.is_own_port(ip, 40000, ["192.0.2.9"])
        assert ports.is_own_port(ip, 49999, ["192.0.2.9"])
        assert not ports.is_own_port(ip, 39999, ["192.0.2.9"])
        assert not ports.is_own_port(ip, 50000, ["192.0.2.9"])
    assert not ports.is_own_port("10.0.0.6", 40000, ["192.0.2.9"])


async def test_transports_are_counted(autojump_clock: MockClock) -> None:
    async with open_plain_world(peer_settings=PeerSettings(max_transports=3)) as world:
        ada = await world.enter(await world.registry.create_room(), details="1")
        for _ in range(3):
            await create(ada)
        reason = await refused(ada, "createPlainTransport", producing=True, consuming=False)
        assert reason == "a peer has at most 3 transports (limits.transports_per_peer)"
        assert len(world.engine.transports) == 3


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.9.9.9", CLIENT_IP, f"::ffff:{CLIENT_IP}"])
async def test_media_goes_to_allowed_addresses(autojump_clock: MockClock, ip: str) -> None:
    async with open_plain_world() as world:
        ada = await world.enter(await world.registry.create_room(), details="1")
        transport = await create(ada)
        where = {"transportId": transport["id"], "ip": ip, "port": 5004, "rtcpPort": 5005}
        assert await ada.socket.ask("connectPlainTransport", **where) == []
        plain = ip.removeprefix("::ffff:")
        assert list(world.engine.plain_remotes.values()) == [(plain, 5004, 5005)]
        (live,) = ada.room.peers[ada.id].transports.values()
        assert live.state is TransportState.CONNECTING
        reason = await refused(ada, "connectPlainTransport", **where)
        assert reason == "transportId: this transport has been connected before"


@pytest.mark.parametrize(
    ("ip", "port", "rtcp_port", "reason"),
    [
        ("192.0.2.2", 5004, 5005, "ip: media is not sent to 192.0.2.2, only to"),
        ("8.8.8.8", 5004, 5005, "ip: media is not sent to 8.8.8.8, only to"),
        ("::ffff:8.8.8.8", 5004, 5005, "ip: media is not sent to 8.8.8.8, only to"),
        ("0.0.0.0", 5004, 5005, "ip: media is not sent to 0.0.0.0"),
        ("224.0.0.1", 5004, 5005, "ip: media is not sent to 224.0.0.1"),
        ("255.255.255.255", 5004, 5005, "ip: media is not sent to 255.255.255.255"),
        ("::1", 5004, 5005, "ip: this transport is on 192.0.2.9, which does not reach ::1"),
        ("127.0.0.1", 40000, 5005, "port: 40000 is a port of this server's own plain RTP"),
        ("127.0.0.1", 5004, 49999, "rtcpPort: 49999 is a port of this server's own plain RTP"),
        ("no address", 5004, 5005, "ip: expected an IP address"),
        ("::ffff:127.0.0.1", 5004, 40001, "rtcpPort: 40001 is a port of this server's own"),
        ("127.0.0.1", 0, 5005, "port: expected"),
        ("127.0.0.1", 5004, 65536, "rtcpPort: expected"),
    ],
)
async def test_media_goes_nowhere_else(
    autojump_clock: MockClock, ip: str, port: int, rtcp_port: int, reason: str
) -> None:
    async with open_plain_world() as world:
        ada = await world.enter(await world.registry.create_room(), details="1")
        transport = await create(ada)
        why = await refused(
            ada,
            "connectPlainTransport",
            transportId=transport["id"],
            ip=ip,
            port=port,
            rtcpPort=rtcp_port,
        )
        assert why.startswith(reason)
        assert not world.engine.plain_remotes
        # The refused request has changed nothing.
        where = {"transportId": transport["id"], "ip": "127.0.0.1", "port": 5, "rtcpPort": 6}
        assert await ada.socket.ask("connectPlainTransport", **where) == []


# Clients without an address of their own


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_loopback_is_not_open_to_those_who_come_by_it(
    autojump_clock: MockClock, address: str
) -> None:
    """Behind a proxy on this machine every client comes by loopback."""
    async with open_plain_world(allowed=()) as world:
        world.client_address = address
        ada = await world.enter(await world.registry.create_room(), details="1")
        reason = await refused(ada, "createPlainTransport", producing=True, consuming=False)
        plain = address.removeprefix("::ffff:")
        assert reason == (
            f"plain RTP could go nowhere: {plain} is no address of this client alone, and no "
            "network is allowed (media.plain_allowed)"
        )
        assert world.engine.is_empty()


async def test_by_default_a_client_gets_media_where_it_is_and_nowhere_else(
    autojump_clock: MockClock,
) -> None:
    async with open_plain_world(allowed=()) as world:
        ada = await world.enter(await world.registry.create_room(), details="1")
        transport = await create(ada)
        assert [allowed for _, _, allowed in world.engine.plain.values()] == [(CLIENT_IP,)]
        where = {"transportId": transport["id"], "port": 5004, "rtcpPort": 5005}
        for ip in ("127.0.0.1", "::1", "192.0.2.2", "192.0.2.9"):
            await refused(ada, "connectPlainTransport", ip=ip, **where)
        assert not world.engine.plain_remotes
        assert await ada.socket.ask("connectPlainTransport", ip=CLIENT_IP, **where) == []


@pytest.mark.parametrize(
    ("address", "settings"),
    [
        ("192.0.2.9", {}),  # the announced address of this server
        ("192.0.2.7", {"listen_ips": ["127.0.0.1", "192.0.2.7"]}),
        (CLIENT_IP, {"proxies": ["10.0.0.0/8", "192.0.2.0/29"]}),
        ("2001:db8::1", {"proxies": ["192.0.2.0/29", "2001:db8::/64"]}),
        ("0.0.0.0", {}),
        ("", {}),
        ("unknown", {}),
    ],
)
async def test_an_address_that_many_may_have_is_nobodys_own(
    autojump_clock: MockClock, address: str, settings: dict[str, Any]
) -> None:
    """The address of this machine, of a proxy that did not name its client, or none."""
    async with open_plain_world(**settings) as world:
        world.client_address = address
        ada = await world.enter(await world.registry.create_room())
        await create(ada)
        assert [allowed for _, _, allowed in world.engine.plain.values()] == [LOOPBACK]
    async with open_plain_world(allowed=(), **settings) as world:
        world.client_address = address
        ada = await world.enter(await world.registry.create_room(), details="1")
        reason = await refused(ada, "createPlainTransport", producing=False, consuming=True)
        assert reason.startswith("plain RTP could go nowhere: ")


async def test_plain_transports_can_be_switched_off(autojump_clock: MockClock) -> None:
    async with open_plain_world(enabled=False) as world:
        ada = await world.enter(await world.registry.create_room(), details="1")
        for producing in (True, False):
            reason = await refused(
                ada, "createPlainTransport", producing=producing, consuming=not producing
            )
            assert reason == "plain transports are switched off (media.plain_transports)"
        assert world.engine.is_empty()
        await result_of(
            ada, "createWebRtcTransport", forceTcp=False, producing=True, consuming=False
        )


async def test_rtcp_may_go_to_the_port_of_rtp(autojump_clock: MockClock) -> None:
    async with open_plain_world() as world:
        ada = await world.enter(await world.registry.create_room(), details="1")
        for producing in (True, False):
            transport = await create(ada, producing=producing)
            where = {"transportId": transport["id"], "ip": CLIENT_IP, "port": 5004}
            assert await ada.socket.ask("connectPlainTransport", **where, rtcpPort=5004) == []
        assert [*world.engine.plain_remotes.values()] == [(CLIENT_IP, 5004, 5004)] * 2


class Owner:
    def transport_changed(self, transport: PlainTransport) -> None:
        pass

    def transport_ended(self, transport_id: str, why: str) -> None:
        assert why == "closed"


async def test_even_if_all_is_allowed_some_is_not() -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery, RoomSettings(), PeerSettings())
        settings = PlainSettings(allowed=("0.0.0.0/0", "::/0"))
        transport = PlainTransport(
            host=world.hosts[0],
            ports=PlainPorts(settings, ["::"]),
            settings=TransportSettings(),
            addresses=["192.0.2.9"],
            client_ip="",
            producing=False,
            consuming=True,
        )
        transport.open(Owner())
        for ip in ("224.0.0.1", "0.0.0.0", "::", "ff02::1", "255.255.255.255"):
            with pytest.raises(BadRequest, match=f"^ip: media is not sent to {ip}$"):
                transport.connect(ip, 5004, 5005)
        transport.connect("198.51.100.7", 5004, 5005)  # over a socket for both families
        transport.close()


async def test_the_two_kinds_are_not_mixed_up(autojump_clock: MockClock) -> None:
    async with open_plain_world() as world:
        room = await world.registry.create_room()
        ada, bob = [await world.enter(room, details="1") for _ in range(2)]
        plain = (await create(ada))["id"]
        webrtc = (
            await result_of(
                ada, "createWebRtcTransport", forceTcp=False, producing=True, consuming=False
            )
        )["id"]
        fingerprint = {"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}
        dtls = {"role": "client", "fingerprints": [fingerprint]}
        where = {"ip": "127.0.0.1", "port": 5, "rtcpPort": 6}
        assert "not a plain" in await refused(
            ada, "connectPlainTransport", transportId=webrtc, **where
        )
        assert "not a WebRTC" in await refused(
            ada, "connectWebRtcTransport", transportId=plain, dtlsParameters=dtls
        )
        assert "not a WebRTC" in await refused(ada, "restartIce", transportId=plain)
        assert "no such transport" in await refused(
            bob, "connectPlainTransport", transportId=plain, **where
        )


async def test_streams_without_ssrc(autojump_clock: MockClock) -> None:
    """The payload type identifies them, so it must be unique."""
    async with open_plain_world() as world:
        room = await world.registry.create_room()
        ada = await world.enter(room, EVERYTHING, details="1")
        await ada.socket.ask("join", nickname="Ada", rtpCapabilities=CAPABILITIES)
        transport, other = [await create(ada, producing=True) for _ in range(2)]
        consuming = await create(ada)
        webrtc = await result_of(
            ada, "createWebRtcTransport", forceTcp=False, producing=True, consuming=False
        )
        answers = [
            await produce(ada, transport),
            await produce(ada, transport),
            await produce(ada, transport, ssrc=5),
            await produce(ada, other),
            await produce(ada, consuming),
            await produce(ada, webrtc),
        ]
        for mid in ("a", "b"):  # these are identified by MID
            parameters = audio_parameters(mid=mid, ssrc=1, cname="c") | {"encodings": [{}]}
            answer = await ada.socket.ask(
                "produce",
                transportId=webrtc["id"],
                kind="audio",
                rtpParameters=parameters,
                appData={"source": "mic"},
            )
            assert answer[0] is None, answer
        reasons = [a[2] if isinstance(a, list) and a[0] else None for a in answers]
        assert reasons == [
            None,
            "rtpParameters.codecs[0].payloadType: in use on this transport already, and there is "
            "no ssrc to tell the two apart",
            None,
            None,
            "transportId: this transport was not made for producing",
            "rtpParameters.encodings[0].ssrc: is missing, and there is no mid to know it by",
        ]


async def test_viewers_on_plain_transports(autojump_clock: MockClock) -> None:
    """They are offered consumers like other peers; a peer without capabilities gets none."""
    async with open_plain_world() as world:
        room = await world.registry.create_room()
        ada, bob, eve = [await world.enter(room, EVERYTHING, details="1") for _ in range(3)]
        await ada.socket.ask("join", nickname="Ada", rtpCapabilities=CAPABILITIES)
        await create(bob)
        await create(eve)
        await bob.socket.ask("join", nickname="Bob", rtpCapabilities=CAPABILITIES)
        transport = await create(ada, producing=True)
        await produce(ada, transport, ssrc=3001)
        await trio.testing.wait_all_tasks_blocked()
        ((method, data),) = bob.socket.calls
        parameters = data["rtpParameters"]
        assert isinstance(parameters, dict)
        assert (method, data["kind"], data["type"]) == ("newConsumer", "audio", "simple")
        assert parameters["codecs"][0]["payloadType"] == 100
        assert list(parameters["encodings"][0]) == ["ssrc"]
        assert eve.socket.calls == []
        assert len(world.engine.consumers) == 1


async def test_state_follows_the_engine(autojump_clock: MockClock) -> None:
    async with open_plain_world() as world:
        room = await world.registry.create_room()
        ada = await world.enter(room)
        await create(ada, producing=True)
        (transport,) = room.peers[ada.id].transports.values()
        assert isinstance(transport, PlainTransport)
        assert transport.state is TransportState.NEW
        await trio.sleep(3600)  # no timeout applies
        world.hear(IceConnected(transport.number, "10.0.0.1", 1))
        assert transport.state is TransportState.NEW
        world.hear(PlainConnected(transport.number, "127.0.0.1", 7000))
        assert transport.state is TransportState.CONNECTED
        transport.close()
        await trio.testing.wait_all_tasks_blocked()
        assert not room.peers[ada.id].transports
        assert world.engine.is_empty()


@pytest.mark.parametrize("command", ["add_plain_transport", "set_max_incoming_bitrate"])
async def test_an_engine_that_refuses_costs_no_socket(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    async with open_plain_world() as world:
        ada = await world.enter(await world.registry.create_room(), details="1")

        def refuse(*args: object) -> None:
            raise BadRequest("overloaded")

        before = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(world.engine, command, refuse)
        reason = await refused(ada, "createPlainTransport", producing=True, consuming=False)
        assert reason == "overloaded"
        assert len(os.listdir("/proc/self/fd")) == before
        assert world.engine.is_empty()
        monkeypatch.undo()
        await create(ada)


@pytest.mark.parametrize(
    ("announced", "listen_ips", "client", "told"),
    [
        (["192.0.2.9"], ["127.0.0.1"], "198.51.100.1", ("192.0.2.9", "127.0.0.1")),
        (["192.0.2.9"], ["127.0.0.1"], "2001:db8::7", ("192.0.2.9", "127.0.0.1")),
        (["192.0.2.9", "2001:db8::9"], ["127.0.0.1", "::1"], "::7", ("2001:db8::9", "::1")),
        (["2001:db8::9", "192.0.2.9"], ["127.0.0.1", "::1"], "1.2.3.4", ("192.0.2.9", "127.0.0.1")),
        (["2001:db8::9", "192.0.2.9"], ["127.0.0.1", "::1"], "", ("2001:db8::9", "::1")),
        (["192.0.2.9"], ["127.0.0.1"], "hidden", ("192.0.2.9", "127.0.0.1")),
        (["192.0.2.9"], ["::1", "127.0.0.1"], "::7", ("192.0.2.9", "127.0.0.1")),
        (["2001:db8::9", "192.0.2.9"], ["::"], "1.2.3.4", ("192.0.2.9", "::")),
        (["192.0.2.9"], ["::"], "::ffff:1.2.3.4", ("192.0.2.9", "::")),
        (["media.example"], ["127.0.0.1"], "1.2.3.4", ("media.example", "127.0.0.1")),
    ],
)
async def test_where_to_meet(
    announced: list[str], listen_ips: list[str], client: str, told: tuple[str, str]
) -> None:
    """A client is told an address of its own family if there is one."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, RoomSettings(), PeerSettings())
        transport = PlainTransport(
            host=world.hosts[0],
            ports=PlainPorts(PlainSettings(allowed=LOOPBACK), listen_ips),
            settings=TransportSettings(),
            addresses=await AnnouncedAddresses(announced, listen_ips).current()
            if "media.example" not in announced
            else announced,
            client_ip=client,
            producing=True,
            consuming=False,
        )
    assert (transport._ip, transport._listen_ip) == told
