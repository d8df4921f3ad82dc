"""Settings that change while the server runs: all parts take them, or none does."""

import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import attrs
import httpx
import pytest
import trio
from support.api import ApiError, MeetApi
from support.certificates import make_certificate
from support.server import TOKEN, LocalServer, open_server, quick_settings

from meet_trio.app import Running
from meet_trio.config import Entry, Settings, change, entries
from meet_trio.config.change import _value, _with_value
from meet_trio.edge.head import parse_head_untrusted
from meet_trio.edge.listener import tls_context
from meet_trio.edge.settings import ListenerSettings
from meet_trio.errors import ConfigError, LimitExceeded

# Values for settings of which no other value can be computed.
VALUES: dict[str, object] = {
    "http.trusted_proxies": ("192.0.2.0/24",),
    "http.forwarded_header": "forwarded",
    "http.cors_origins": frozenset({"https://kolab.example"}),
    "media.plain_ports": (41000, 41999),
    "media.plain_allowed": ("192.0.2.0/24",),
    "process.log_level": "warning",
    "rooms.last_n": 3,
    "health.loop_lag": 2.0,
    "quality.file": Path("/dev/null"),
}
# These have a test of their own.
ELSEWHERE = {"http.tls_cert", "http.tls_key"}


def other(entry: Entry, value: object) -> object:
    """A value that the setting does not have."""
    if entry.key in VALUES:
        return VALUES[entry.key]
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case None:
            return "http://127.0.0.1:9/x"
    raise AssertionError(f"{entry.key}: no value")


def in_force(running: Running) -> dict[str, Callable[[], object]]:
    """How to find the record that each part of the server uses."""
    context, door = running.registry.context, running.reload.door
    outbox = context.webhook.__self__  # type: ignore[attr-defined]
    authenticator = door.authenticates.__self__  # type: ignore[attr-defined]
    tokens, access = authenticator.tokens, authenticator.admin.__self__.access
    return {
        "rooms": lambda: running.registry.context.settings,
        "peers": lambda: running.registry.context.peer_settings,
        "limits": lambda: running.registry.context.limits,
        "transports": lambda: running.registry.context.transport_settings,
        "plain": lambda: context.plain_ports.settings,
        "turn": lambda: context.ice_servers.settings,  # type: ignore[attr-defined]
        "front_door": lambda: door.settings,
        "webhook": lambda: outbox.settings,
        "api": lambda: tokens.settings,
        "health": lambda: running.health.settings,
        "drain": lambda: running.drain.settings,
        "upgrade": lambda: running.upgrade.settings,
        "metrics": lambda: running.metrics.settings,
        "quality": lambda: running.quality.settings,
        "admin": lambda: access.settings,
    }


# A command sets logging up, not the server (see test_cli.py). The others: tests below.
NOT_RECORDS = {"logs", "listener", "sockets"}


async def test_every_setting_that_may_change_changes() -> None:
    async with open_server() as server:
        running = server.running
        present = wanted = running.reload.settings
        changing = [e for e in entries() if e.about.reload and e.key not in ELSEWHERE]
        for entry in changing:
            value = other(entry, _value(present, entry))
            wanted = _with_value(wanted, entry, value)
        records = in_force(running)
        done = await running.reload.take(wanted)
        assert list(done.taken) == [entry.key for entry in changing]
        assert not done.left
        assert running.reload.settings == wanted
        for entry in changing:
            if entry.record not in NOT_RECORDS:
                record = records[entry.record]()
                found = getattr(record, entry.field)
                found = getattr(found, entry.number) if entry.number else found
                assert found == _value(wanted, entry), entry.key
        assert running.reload.door.proxies.trusted("192.0.2.1")
        assert running.registry.context.plain_ports.proxies == ("192.0.2.0/24",)
        # what does not change is still there
        assert running.registry.context.totals is not None
        assert running.registry.context.hosts == running.hosts


async def test_what_cannot_change_needs_a_restart() -> None:
    async with open_server() as server:
        reload = server.running.reload
        before = reload.settings
        wanted = attrs.evolve(
            before,
            media=attrs.evolve(before.media, workers=7),
            api=attrs.evolve(before.api, path_prefix="/elsewhere", old_auth_token="old"),
            rooms=attrs.evolve(
                before.rooms,
                audio_level_messages=attrs.evolve(before.rooms.audio_level_messages, burst=5),
            ),
        )
        done = await reload.take(wanted)
        assert done.taken == ["http.old_auth_token"]
        assert set(done.left) == {
            "http.path_prefix",
            "limits.audio_level_message_burst",
            "media.workers",
        }
        assert reload.settings.media == before.media
        assert reload.settings.api.path_prefix == before.api.path_prefix
        assert (await reload.take(wanted)).taken == []
        assert (await server.api.call("GET", "/health"))["success"]


async def test_two_tokens_while_kolab_changes_from_one_to_the_other() -> None:
    async with open_server() as server:
        new = attrs.evolve(server.api, token="new")
        await take(server, {"http.auth_token": "new", "http.old_auth_token": TOKEN})
        for api in (server.api, new):
            assert await api.create_room()
        await take(server, {"http.auth_token": "new"})
        assert await new.create_room()
        assert await status_of(server.api) == 403


async def take(server: LocalServer, changed: dict[str, object]) -> None:
    wanted = quick_settings(changed)
    await server.running.reload.take(wanted)


async def status_of(api: MeetApi) -> int:
    with pytest.raises(ApiError) as refused:
        await api.create_room()
    return refused.value.status


async def test_limits_turn_urls_and_origins_of_what_comes_next() -> None:
    async with open_server() as server:
        room = server.running.registry.rooms[await server.api.create_room()]
        await take(
            server,
            {
                "limits.rooms": 1,
                "limits.peers_per_room": 1,
                "turn.server": "turn:turn.test",
                "turn.static_secret": "s",
                "http.public_domain": "meet.test",
                "http.cors_origins": frozenset({"https://kolab.test"}),
            },
        )
        with pytest.raises(LimitExceeded, match="1 rooms"):
            await server.running.registry.create_room()
        url = await server.api.create_peer(room.id, 1)
        assert url.startswith("ws://meet.test?")
        await server.api.create_peer(room.id, 1)  # the room keeps its limits
        for peer in room.peers.values():
            (relay,) = room.room_ready_data(peer)["iceServers"]  # type: ignore[misc]
            assert relay["urls"] == ["turn:turn.test"]
        polling = f"/meetmedia/signaling/?{url.partition('?')[2]}&EIO=4&transport=polling"
        assert await server.api.fetch("GET", polling, {"Origin": "https://kolab.test"})
        with pytest.raises(ApiError, match="403"):
            await server.api.fetch("GET", polling, {"Origin": "https://other.test"})


async def metrics_status(server: LocalServer, token: str) -> int:
    async with httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{server.running.port}/metrics"
        answer = await http.get(url, headers={"Authorization": f"Bearer {token}"})
        assert ("meet_trio_rooms" in answer.text) == answer.is_success
        return answer.status_code


async def test_the_token_of_the_metrics() -> None:
    async with open_server() as server:
        authenticates = server.running.reload.door.authenticates
        assert await metrics_status(server, "one") == 404
        for token, other_token in (("one", "two"), ("two", "one")):
            await take(server, {"metrics.token": token})
            assert await metrics_status(server, token) == 200
            assert await metrics_status(server, other_token) == 401
            head = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
            for each in (token, other_token):  # as the front door counts them
                parsed = parse_head_untrusted(head % each.encode())
                assert parsed is not None
                assert authenticates(parsed) == (each == token)
        await take(server, {})
        assert await metrics_status(server, "two") == 404


async def test_a_listener_beyond_loopback_is_closed_to_all_without_a_token() -> None:
    settings = quick_settings({"metrics.listen": ("0.0.0.0", 0), "metrics.token": "one"})
    async with open_server(settings) as server:
        url = f"http://127.0.0.1:{server.running.metrics_port}/metrics"
        async with httpx.AsyncClient(headers={"Authorization": "Bearer one"}) as http:
            assert (await http.get(url)).status_code == 200
            # the file names neither token nor listener now; the listener stays until a restart
            done = await server.running.reload.take(quick_settings({}))
            assert (done.taken, done.left) == (["metrics.token"], ["metrics.listen"])
            assert (await http.get(url)).status_code == 404


async def test_the_records_of_calls(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"

    def rooms(path: Path) -> list[str]:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        return [record["room"] for record in records if record["record"] == "meeting"]

    async def written(path: Path, room_id: str) -> None:
        with trio.fail_after(10):
            while room_id not in rooms(path):
                await trio.sleep(0.005)

    async with open_server() as server:
        registry, unrecorded = server.running.registry, await server.api.create_room()
        await take(server, {"quality.file": first})
        assert first.exists()
        kept = [await server.api.create_room() for _ in range(3)]
        for room_id in (unrecorded, kept[0]):  # a room is recorded from its beginning or not at all
            registry.rooms[room_id].close()
        await written(first, kept[0])
        missing = tmp_path / "missing" / "file"
        with pytest.raises(ConfigError, match=f"quality.file: {missing}: No such file"):
            await take(server, {"quality.file": missing, "http.auth_token": "new"})
        await take(server, {"quality.file": second})
        registry.rooms[kept[1]].close()
        await written(second, kept[1])
        await take(server, {})
        registry.rooms[kept[2]].close()
        with trio.fail_after(10):
            while registry.rooms:
                await trio.sleep(0.005)
    assert (rooms(first), rooms(second)) == ([kept[0]], [kept[1]])


async def test_a_part_that_fails_leaves_all_as_they_were() -> None:
    async with open_server() as server:
        reload = server.running.reload

        def refuse(settings: Settings) -> None:
            if settings.rooms.max_rooms == 5:
                raise RuntimeError("a fault")

        reload.parts.append(refuse)
        before = reload.settings
        with pytest.raises(RuntimeError):
            await take(server, {"limits.rooms": 5, "http.auth_token": "new"})
        assert reload.settings is before
        assert server.running.registry.context.settings == before.rooms
        assert await server.api.create_room()  # with the token of before


# TLS files


def served(port: int) -> str:
    """The name in the certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port)) as tcp,
        context.wrap_socket(tcp) as stream,
    ):
        der = stream.getpeercert(binary_form=True)
    assert der is not None
    return next(name for name in ("first", "second") if name.encode() in der)


async def pings(stream: trio.abc.Stream) -> None:
    await stream.send_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"PONG"):
        answer += await stream.receive_some()


async def test_new_connections_get_the_new_certificate(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "first")
    tls = {"http.tls_cert": cert, "http.tls_key": key}
    settings = quick_settings(tls)
    async with open_server(settings) as server:
        port, reload = server.running.port, server.running.reload
        trusting = ssl.create_default_context(cafile=str(cert))
        old = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=trusting)
        async with old:
            await pings(old)
            second, second_key = make_certificate(tmp_path, "second")
            second.replace(cert)
            second_key.replace(key)
            assert await trio.to_thread.run_sync(served, port) == "first"
            done = await reload.take(settings)  # the files alone have changed
            assert (done.taken, done.left) == ([], [])
            assert await trio.to_thread.run_sync(served, port) == "second"
            await pings(old)
        key.write_text("broken")
        with pytest.raises(ConfigError, match=r"http\.tls_key"):
            await reload.take(quick_settings({**tls, "http.auth_token": "new"}))
        assert reload.settings == settings
        assert await trio.to_thread.run_sync(served, port) == "second"
        with trio.CancelScope() as scope:  # leaves the lock free
            scope.cancel()
            await reload.take(settings)
        await reload.take(quick_settings())
        assert await MeetApi("127.0.0.1", port, TOKEN).create_room()  # without TLS now


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("no cert", r"http.tls_cert: \S+a.pem: No such file"),
        ("empty cert", r"http.tls_cert: \S+a.pem: no certificate in PEM"),
        ("broken cert", r"http.tls_cert: \S+a.pem: no certificate in PEM"),
        ("no key", r"http.tls_key: \S+a.key: No such file"),
        ("empty key", r"http.tls_key: \S+a.key: no private key in PEM"),
        ("other's key", r"http.tls_key: \S+a.key: is not the key of the first certificate"),
        ("password", r"http.tls_key: \S+a.key: no private key in PEM without a password"),
        ("no key at all", r"http.tls_key: \S+a.pem: no private key"),
    ],
)
def test_a_tls_file_that_cannot_be_used_is_named(tmp_path: Path, fault: str, says: str) -> None:
    cert, key = make_certificate(tmp_path, "a", password="sesame" if fault == "password" else None)
    text = cert.read_text()
    match fault:
        case "no cert":
            cert.unlink()
        case "empty cert":
            cert.write_text("")
        case "broken cert":
            cert.write_text(text[:100] + text[150:])
        case "no key":
            key.unlink()
        case "empty key":
            key.write_text("")
        case "other's key":
            make_certificate(tmp_path, "b")[1].replace(key)
    settings = ListenerSettings(tls_cert=cert, tls_key=None if fault == "no key at all" else key)
    with pytest.raises(ConfigError, match=says):
        tls_context(settings)


def test_one_file_may_have_both(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "a")
    cert.write_text(key.read_text() + cert.read_text())
    assert tls_context(ListenerSettings(tls_cert=cert)) is not None
    assert tls_context(ListenerSettings()) is None


def test_a_change_is_of_single_values() -> None:
    present = quick_settings()
    wanted = quick_settings({"limits.requests_per_second": 7.0, "http.requests_per_second": 7.0})
    found = change(present, wanted)
    assert (found.taken, found.left) == (
        ["limits.requests_per_second"],
        ["http.requests_per_second"],
    )
    assert found.settings.peers.requests.per_second == 7.0
    assert found.settings.peers.requests.burst == present.peers.requests.burst
    assert found.settings.front_door == present.front_door
