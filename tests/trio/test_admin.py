"""The admin page's server side, over ASGI against fakes: who may do what, the tables, the verbs."""

import contextlib
import logging
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import httpx
import jsonschema_rs
import pytest
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.types import Message
from support.console import NO_FIGURES
from support.live_fakes import Client, FakeEngine, World
from support.live_scenes import open_world, pair, produce
from support.loop_turns import counting
from support.server import open_server, quick_settings
from support.wire.pcapng import read_pcapng
from trio.testing import MockClock

from meet_trio.admin import server as server_module
from meet_trio.admin.access import COOKIE, Access
from meet_trio.admin.api import Calls
from meet_trio.admin.openapi import openapi_document
from meet_trio.admin.server import AdminServer
from meet_trio.admin.settings import AdminSettings
from meet_trio.config import load
from meet_trio.edge.head import RequestHead
from meet_trio.engine import StatsReady
from meet_trio.errors import BadRequest, ConfigError
from meet_trio.lag import LoopLag
from meet_trio.live.room import LiveRoom
from meet_trio.operator import tables
from meet_trio.operator.drain import Drain
from meet_trio.operator.settings import DrainSettings
from meet_trio.operator.tables import MOST_ROWS, Cut, Row
from meet_trio.turns import OBJECTS_PER_TURN

TOKEN = "correct-horse-battery"
HERE = "https://meet.test"
OWN = {"origin": HERE, "x-meet-trio-admin": "1"}
BEARER = {"authorization": f"Bearer {TOKEN}"}
JSON = {"content-type": "application/json"}
LINK = {
    "address": ["192.0.2.7", 5000],
    "protocol": "udp",
    "recvBitrate": 1000,
    "sendBitrate": 300,
    "outgoingLoss": 0.25,
    "roundTripTime": 40.0,
    "availableOutgoingBitrate": 900_000,
    "wantedBitrate": 500_000,
    "allocatedBitrate": 300_000,
    "estimateCause": "start",
    "queueDelay": 0.0,
}


class TellingEngine(FakeEngine):
    """Has the same figures for each transport."""

    world: World
    waiting = 0
    asked = 0
    ips = ("127.0.0.1",)

    def request_stats(self, token: int) -> None:
        self.asked += 1
        links = {str(number): LINK for number in self.transports}
        engine = {"busy_us": 2_000_000, "bytes_in": 5, "bytes_out": 6}
        self.world.hear(StatsReady(token, NO_FIGURES | {"transports": links, "engine": engine}))


@attrs.define(eq=False)
class Admin:
    """A world with an admin page. ``http`` has logged in with ``log_in``."""

    world: World
    engine: TellingEngine
    server: AdminServer
    drain: Drain
    http: httpx.AsyncClient
    room: LiveRoom
    ada: Client
    bob: Client

    @property
    def access(self) -> Access:
        return self.server.access

    async def get(self, path: str, **how: Any) -> Any:
        answer = await self.http.get(f"/admin/api{path}", headers=BEARER, **how)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def log_in(self, token: str = TOKEN, **headers: str) -> httpx.Response:
        return await self.post("/session", OWN | headers, token=token)

    async def post(
        self, path: str, headers: Mapping[str, str] = OWN, **body: Any
    ) -> httpx.Response:
        return await self.http.post(f"/admin/api{path}", json=body, headers=headers)

    @property
    def own(self) -> str:
        return f"/rooms/{self.room.id}"


@contextlib.asynccontextmanager
async def open_admin(*, secure: bool = True, **settings: Any) -> AsyncIterator[Admin]:
    """Ada, who sends a camera, and Bob in a room. Ada's is the only name."""
    engine = TellingEngine()
    async with open_world(engines=[engine]) as world:
        engine.world = world
        drain = Drain(world.registry, DrainSettings())
        world.nursery.start_soon(drain.run)
        access = Access(AdminSettings(**{"token": TOKEN, **settings}), lambda: secure)
        calls = Calls(access, "/admin", world.registry, drain, LoopLag(), list)
        server = AdminServer(calls)
        app = Starlette(routes=server.routes())
        transport = httpx.ASGITransport(app, client=("198.51.100.1", 1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
            room, ada, bob = await pair(world)
            await produce(ada, "video")
            await trio.testing.wait_all_tasks_blocked()
            yield Admin(world, engine, server, drain, http, room, ada, bob)


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "admin.js").write_text("1")
    (tmp_path / "admin.html").write_text('<script src="/assets/admin.js"></script>')
    monkeypatch.setattr(server_module, "PAGE_DIRECTORY", tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "meet_trio.admin")
    return caplog


# Settings


@pytest.mark.parametrize(
    ("key", "raw", "says"),
    [
        ("admin.token", "short", "a token of at least 16 characters"),
        ("admin.token", "with a space in it", "without spaces"),
        ("admin.path", "admin", "a path like /admin"),
        ("admin.path", "/", "a path like /admin"),
        ("admin.path", "/a/../b", "a path like /admin"),
        ("admin.path", '/a"b', "a path like /admin"),
        ("admin.path", "/assets/x", "a path outside of /assets is wanted"),
        ("admin.session_time", "1", "60"),
    ],
)
def test_wrong_settings_are_named(key: str, raw: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)) as refused:
        load({key: raw}, {"AUTH_TOKEN": "x"}, primary_address=lambda: "127.0.0.1")
    assert ("--" + key.replace(".", "-").replace("_", "-")) in str(refused.value)
    assert "short" not in str(refused.value)


# Who may do what


async def test_without_a_token_there_is_nothing(autojump_clock: MockClock, pages: Path) -> None:
    async with open_admin(token=None) as admin:
        for path in ("/admin", "/admin/assets/admin.js", "/admin/api/rooms", "/admin/api/session"):
            assert (await admin.http.get(path, headers=BEARER)).status_code == 404
        assert (await admin.log_in()).status_code == 404
        assert not admin.access.authenticates(RequestHead("GET", "/admin", "", BEARER))


async def test_the_page_is_guarded(autojump_clock: MockClock, pages: Path) -> None:
    async with open_admin() as admin:
        page = await admin.http.get("/admin")
        assert page.text == '<script src="/admin/assets/admin.js"></script>'
        file = await admin.http.get("/admin/assets/admin.js")
        refused = await admin.http.get("/admin/api/rooms")
        assert (page.status_code, file.status_code, refused.status_code) == (200, 200, 401)
        for answer in (page, file, refused):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await admin.http.post("/admin")).status_code == 405
        (pages / "admin.html").unlink()
        assert (await admin.http.get("/admin")).status_code == 503


async def test_a_session_from_login_to_logout(
    autojump_clock: MockClock, logged: pytest.LogCaptureFixture
) -> None:
    async with open_admin() as admin:
        answer = await admin.log_in()
        assert answer.json()["endsIn"] == 8 * 3600
        cookie = answer.headers["set-cookie"]
        value = re.match(rf"{COOKIE}=([\w-]{{43}});", cookie)
        assert value is not None
        assert set(cookie.split("; ")[1:]) == {
            "Path=/admin", "Max-Age=28800", "HttpOnly", "SameSite=Strict", "Secure"
        }  # fmt: skip
        head = RequestHead("GET", "/admin/api/rooms", "", {"cookie": f"a=b; {COOKIE}={value[1]}"})
        assert admin.server.authenticates(head)
        assert not admin.server.authenticates(attrs.evolve(head, path="/administer"))
        assert (await admin.http.get("/admin/api/rooms")).status_code == 200
        assert (await admin.http.get("/admin/api/session")).json()["version"]
        gone = await admin.http.delete("/admin/api/session", headers=OWN)
        assert "Max-Age=0" in gone.headers["set-cookie"]
        assert not admin.server.authenticates(head)
        admin.http.cookies.set(COOKIE, value[1])
        assert (await admin.http.get("/admin/api/rooms")).status_code == 401
        assert "198.51.100.1 logged in, session 1" in logged.text
        assert "198.51.100.1, session 1 logged out" in logged.text
        assert value[1] not in logged.text
        assert TOKEN not in logged.text


async def test_a_session_ends_with_its_time_the_token_or_too_many(
    autojump_clock: MockClock,
) -> None:
    async with open_admin(session_time=60.0, max_sessions=2) as admin:
        cookies = [(await admin.log_in()).cookies[COOKIE] for _ in range(3)]
        open_ones = [admin.access.sessions.find(value, 0) is not None for value in cookies]
        assert open_ones == [False, True, True]
        assert (await admin.http.get("/admin/api/rooms")).status_code == 200
        await trio.sleep(61)
        assert (await admin.http.get("/admin/api/rooms")).status_code == 401
        await admin.log_in()
        settings = admin.access.settings
        admin.access.replace(attrs.evolve(settings, trace=True))
        assert (await admin.http.get("/admin/api/rooms")).status_code == 200
        admin.access.replace(attrs.evolve(settings, token=TOKEN + "2"))
        assert (await admin.http.get("/admin/api/rooms")).status_code == 401
        assert not len(admin.access.sessions)
        assert (await admin.log_in()).status_code == 401
        assert (await admin.log_in(TOKEN + "2")).status_code == 200


async def test_guessing_is_slow(
    autojump_clock: MockClock, logged: pytest.LogCaptureFixture
) -> None:
    """Also by ``Authorization``. Right tokens are not counted."""
    async with open_admin() as admin:
        for _ in range(50):
            await admin.get("/session")
        for guess in range(5):
            assert (await admin.log_in(f"guess-{guess}")).status_code == 401
            wrong = {"authorization": f"Bearer guess-{guess}"}
            assert (await admin.http.get("/admin/api/rooms", headers=wrong)).status_code == 401
        late = await admin.log_in()
        assert (late.status_code, late.headers["retry-after"]) == (429, "10")
        assert (await admin.http.get("/admin/api/rooms", headers=BEARER)).status_code == 429
        assert "a wrong token from 198.51.100.1" in logged.text
        assert "guess" not in logged.text
        elsewhere = httpx.ASGITransport(Starlette(routes=admin.server.routes()), client=("::9", 1))
        async with httpx.AsyncClient(transport=elsewhere, base_url=HERE) as other:
            assert (await other.get("/admin/api/rooms", headers=BEARER)).status_code == 200
        await trio.sleep(10.1)
        assert (await admin.log_in()).status_code == 200


FORGED: list[dict[str, str]] = [
    {"origin": HERE},
    {"x-meet-trio-admin": "1"},
    OWN | {"origin": "https://evil.test"},
    OWN | {"origin": "http://meet.test"},
    OWN | {"origin": "https://meet.test:444"},
    OWN | {"origin": "null"},
    OWN | {"origin": "https://[meet.test"},
    OWN | {"origin": "https://meet.test", "host": ""},
]


@pytest.mark.parametrize("headers", FORGED)
async def test_other_web_pages_change_nothing(
    autojump_clock: MockClock, headers: dict[str, str]
) -> None:
    async with open_admin(trace=True) as admin:
        body = {"json": {"token": TOKEN}, "headers": headers}
        assert (await admin.http.post("/admin/api/session", **body)).status_code == 403
        await admin.log_in()
        (transport,) = admin.room.peers[admin.bob.id].transports
        bob = f"{admin.own}/peers/{admin.bob.id}"
        paths = [
            f"{bob}/kick",
            f"{bob}/transports/{transport}/trace",
            f"{admin.own}/close",
            "/drain",
        ]
        for path in paths:
            assert (await admin.post(path, headers)).status_code == 403
        assert (await admin.http.delete("/admin/api/drain", headers=headers)).status_code == 403
        assert (await admin.http.delete("/admin/api/session", headers=headers)).status_code == 403
        assert admin.bob.socket.connected
        assert not admin.drain.active
        assert not admin.engine.traced
        assert len(admin.access.sessions) == 1


async def test_without_tls_the_origin_may_be_either(autojump_clock: MockClock) -> None:
    """A proxy may end TLS although ``http.force_wss`` does not say so."""
    async with open_admin(secure=False) as admin:
        answer = await admin.log_in(origin="http://meet.test")
        assert answer.status_code == 200
        assert "Secure" not in answer.headers["set-cookie"]
        assert (await admin.log_in()).status_code == 200
        assert (await admin.log_in(origin="http://evil.test")).status_code == 403


async def test_changing_needs_credentials(autojump_clock: MockClock) -> None:
    async with open_admin(trace=True) as admin:
        for route in admin.server.calls.routes():
            path = route.path.format(
                room_id=admin.room.id, peer_id=admin.ada.id, transport_id="x", id=admin.ada.id
            )
            for method in (route.methods or set()) - {"HEAD"}:
                if (method, path) != ("POST", "/session"):
                    answer = await admin.http.request(method, f"/admin/api{path}", headers=OWN)
                    assert answer.status_code == 401, (method, path)
        assert admin.ada.socket.connected
        assert not admin.drain.active


@pytest.mark.parametrize(("token", "status"), [("another-token-of-it", 401), (None, 404)])
async def test_the_right_may_go_while_the_body_comes(
    autojump_clock: MockClock, token: str | None, status: int
) -> None:
    async with open_admin() as admin:
        await admin.log_in()

        async def body() -> AsyncIterator[bytes]:
            yield b"{"
            admin.access.replace(attrs.evolve(admin.access.settings, token=token))
            yield b"}"

        for headers in (OWN, BEARER):
            admin.access.replace(attrs.evolve(admin.access.settings, token=TOKEN))
            admin.http.cookies.clear()
            await admin.log_in()
            path = f"/admin/api{admin.own}/close"
            answer = await admin.http.post(path, content=body(), headers=headers)
            assert answer.status_code == (401 if headers is OWN else status)
        assert not admin.room.state.closed


# What is shown


async def test_rooms_and_their_sums(autojump_clock: MockClock) -> None:
    async with open_admin() as admin:
        empty = await admin.world.registry.create_room()
        found = await admin.get("/rooms", params={"sort": "-out"})
        server, rooms = found["server"], found["rooms"]
        assert (server["rooms"], server["peers"], server["healthy"]) == (2, 2, True)
        assert server["engines"][0] | {"port": 0} == {
            "port": 0, "failed": False, "peers": 2, "busySeconds": 2.0, "bytesIn": 5, "bytesOut": 6
        }  # fmt: skip
        assert (rooms["total"], rooms["found"]) == (2, 2)
        first, last = rooms["rows"]
        assert (first["id"], last["id"]) == (admin.room.id, empty.id)
        assert first | {"age": 0} == {
            "id": admin.room.id, "age": 0, "connected": 2, "away": 0, "invited": 0,
            "producers": 1, "consumers": 1, "in": 2000, "out": 600, "loss": 0.25, "rtt": 40.0,
            "engines": [44444],
        }  # fmt: skip
        admin.bob.socket.lose()
        admin.room.invite(admin.room.state.peers[admin.ada.id].role)
        await trio.testing.wait_all_tasks_blocked()
        (row,) = (await admin.get("/rooms", params={"find": "ADA"}))["rooms"]["rows"]
        assert (row["connected"], row["away"], row["invited"]) == (1, 1, 1)
        assert (await admin.get("/rooms", params={"find": "eve"}))["rooms"]["rows"] == []
        admin.room.close()


async def test_peers_of_a_room_and_all_about_one(autojump_clock: MockClock) -> None:
    async with open_admin() as admin:
        found = await admin.get(admin.own, params={"sort": "-name"})
        assert (found["room"]["in"], found["room"]["loss"]) == (2000, 0.25)
        bob, ada = found["peers"]["rows"]
        assert (ada["name"], ada["sends"], ada["consumers"]) == ("Ada", "webcam", 0)
        assert (bob["name"], bob["state"], bob["in"], bob["estimate"]) == (
            "Bob", "connected", 1000, 900_000
        )  # fmt: skip
        one = await admin.get(f"{admin.own}/peers/{bob['id']}")
        (transport,) = one["transports"]
        assert (transport["direction"], transport["address"]) == ("receives", "192.0.2.7:5000")
        (consumer,) = one["watched"]
        assert (consumer["publisherName"], consumer["reason"]) == ("Ada", "not connected")
        assert consumer["trouble"]
        told = await admin.get(f"{admin.own}/explain/{consumer['id']}")
        assert "gets the camera" in told["sentences"][0]
        told = await admin.get(f"{admin.own}/explain/{bob['id']}")
        assert f"Peer {bob['id']} has joined" in told["sentences"][0]


async def test_what_is_not_there(autojump_clock: MockClock) -> None:
    async with open_admin() as admin:
        for path in ("/rooms/x", f"{admin.own}/peers/x", f"{admin.own}/explain/x", "/no"):
            answer = await admin.http.get(f"/admin/api{path}", headers=BEARER)
            assert answer.status_code == 404
            assert "error" in answer.json()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("offset=-1", "offset"),
        ("offset=1e3", "offset"),
        ("sort=engines", "sort"),
        ("sort=nothing%00", "sort"),
        ("find=" + "x" * 101, "find"),
    ],
)
async def test_wrong_cuts_are_named(autojump_clock: MockClock, query: str, says: str) -> None:
    async with open_admin() as admin:
        answer = await admin.http.get(f"/admin/api/rooms?{query}", headers=BEARER)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(says)


async def test_a_body_is_bounded_before_anybody_has_logged_in(autojump_clock: MockClock) -> None:
    async with open_admin() as admin:
        answer = await admin.http.post(
            "/admin/api/session", json={"token": "x" * 4096}, headers=OWN
        )
        assert answer.status_code == 413
        assert answer.json()["error"].endswith("4096 bytes (the admin page's bound)")


def test_a_cut_is_bounded_and_sorted() -> None:
    rows = [Row({"id": str(i), "score": None if i % 3 else i}, f"room {i}") for i in range(500)]
    shape = Cut(sort="score", descending=True).of(rows)
    assert len(shape["rows"]) == MOST_ROWS  # type: ignore[arg-type]
    assert Cut(limit=10**6).of(rows)["rows"] == [row.values for row in rows[:MOST_ROWS]]
    for descending, first in ((True, "498"), (False, "0")):
        shape = Cut("room", "score", descending, 166, 2).of(rows)
        scores = [row["score"] for row in shape["rows"]]  # type: ignore[attr-defined]
        assert scores == [0 if descending else 498, None]  # what is not known is last
        assert Cut("ROOM", "score", descending).of(rows)["rows"][0]["id"] == first  # type: ignore[index]
    assert Cut("room 49").of(rows)["found"] == 11
    with pytest.raises(BadRequest, match="no column 'size'"):
        Cut(sort="size").of(rows)


async def test_a_large_room_takes_many_turns(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_admin() as admin:
        for _ in range(100):
            admin.room.invite(admin.room.state.peers[admin.ada.id].role)
        original = tables.links_of
        with counting() as turns:

            def count(*args: Any) -> Any:
                turns.count()
                return original(*args)

            monkeypatch.setattr(tables, "links_of", count)
            await admin.get("/rooms")
            await admin.get(admin.own)
        assert sum(turns.happened.values()) == 204
        assert turns.most <= OBJECTS_PER_TURN
        admin.room.close()


async def test_calls_at_once_cost_as_much_as_two(autojump_clock: MockClock) -> None:
    async with open_admin() as admin:
        for path in ("/rooms", admin.own, f"{admin.own}/peers/{admin.bob.id}"):
            admin.engine.asked = 0
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(admin.get, path)
            assert admin.engine.asked <= 2, path
        assert not len(admin.server.calls._tables)
        assert not len(admin.server.calls._texts)


# Verbs


async def test_kick_close_and_drain_are_done_and_logged(
    autojump_clock: MockClock, logged: pytest.LogCaptureFixture
) -> None:
    async with open_admin() as admin:
        await admin.log_in()
        bob = f"{admin.own}/peers/{admin.bob.id}"
        assert (await admin.http.get(f"/admin/api{bob}/kick")).status_code == 405
        assert (await admin.post(f"{bob}/kick", reason="x" * 201)).status_code == 400
        assert (await admin.post(f"{bob}/kick", reason=7)).status_code == 400
        done = await admin.post(f"{bob}/kick", reason="too loud")
        assert done.json() == {"done": f"kicked peer {admin.bob.id} of room {admin.room.id}"}
        await trio.testing.wait_all_tasks_blocked()
        assert admin.bob.socket.notices("moderator:kickPeer") == [{"reason": "too loud"}]
        assert f"198.51.100.1, session 1: kicked peer {admin.bob.id}" in logged.text
        assert (await admin.post(f"{bob}/kick")).status_code == 404

        for seconds in ("-1", "1e6", "NaN", "Infinity", "1" * 400, "true", '"1"'):
            answer = await admin.http.post(
                "/admin/api/drain", content=f'{{"seconds": {seconds}}}', headers=OWN | JSON
            )
            assert answer.status_code == 400, seconds
            assert answer.json()["error"].startswith("seconds: ")
        assert "draining" in (await admin.post("/drain")).json()["done"]
        await trio.testing.wait_all_tasks_blocked()
        assert admin.world.registry.draining
        assert (await admin.post("/drain")).status_code == 409
        undone = await admin.http.delete("/admin/api/drain", headers=BEARER)
        assert "taken back" in undone.json()["done"]
        await trio.testing.wait_all_tasks_blocked()
        assert not admin.world.registry.draining
        assert "198.51.100.1, by token: the drain is taken back" in logged.text

        assert (await admin.post(f"{admin.own}/close")).status_code == 200
        await trio.testing.wait_all_tasks_blocked()
        assert admin.ada.socket.notices("moderator:closeRoom")
        assert not admin.world.registry.rooms
        assert (await admin.post(f"{admin.own}/close")).status_code == 404


# Traces


async def test_traces_are_off_unless_switched_on(autojump_clock: MockClock) -> None:
    async with open_admin() as admin:
        await admin.log_in()
        (transport,) = admin.room.peers[admin.bob.id].transports
        path = f"{admin.own}/peers/{admin.bob.id}/transports/{transport}/trace"
        assert (await admin.post(path)).status_code == 403
        admin.access.replace(attrs.evolve(admin.access.settings, trace=True))
        assert (await admin.post(path, seconds=0)).status_code == 400
        assert (await admin.post(path, bytes=2**40)).status_code == 400
        assert (await admin.post(path.replace(transport, "x"))).status_code == 404
        answer = await admin.post(path, seconds=2)
        assert answer.status_code == 200
        assert f"trace-{transport[:8]}.pcapng" in answer.headers["content-disposition"]
        assert "content-length" not in answer.headers
        told = [packet.comments[0] for packet in read_pcapng(answer.content).packets]
        assert any(text.startswith("estimate: 900000 bit/s") for text in told)
        assert not admin.engine.traced


async def test_a_trace_that_cannot_begin_is_an_error(autojump_clock: MockClock) -> None:
    async with open_admin(trace=True) as admin:
        await admin.log_in()
        (transport,) = admin.room.peers[admin.bob.id].transports.values()
        path = f"{admin.own}/peers/{admin.bob.id}/transports/{transport.id}/trace"
        with transport.host.tap(transport.number):
            answer = await admin.post(path)
        assert answer.status_code == 503
        assert "traced already" in answer.json()["error"]


@pytest.mark.parametrize("end", ["the client goes", "another token", "traces are switched off"])
async def test_a_trace_ends_with_its_client_and_its_right(
    autojump_clock: MockClock, end: str
) -> None:
    async with open_admin(trace=True) as admin:
        (transport,) = admin.room.peers[admin.bob.id].transports
        path = f"/admin/api{admin.own}/peers/{admin.bob.id}/transports/{transport}/trace"
        sent: list[Message] = []
        coming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        gone = trio.Event()

        async def receive() -> Message:
            if coming:
                return coming.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if len(sent) == 2:
                assert admin.engine.traced
                settings = admin.access.settings
                if end == "the client goes":
                    gone.set()
                elif end == "another token":
                    admin.access.replace(attrs.evolve(settings, token="x" * 16))
                else:
                    admin.access.replace(attrs.evolve(settings, trace=False))

        scope = {
            "type": "http", "method": "POST", "path": path, "query_string": b"", "root_path": "",
            "headers": [(b"authorization", BEARER["authorization"].encode())],
            "client": ("198.51.100.1", 1),
        }  # fmt: skip
        before = trio.current_time()
        await Starlette(routes=admin.server.routes())(scope, receive, send)
        assert trio.current_time() - before < 1
        assert sent[0]["status"] == 200
        assert not admin.engine.traced


# The description


@pytest.fixture
def described() -> dict[str, Any]:
    return dict(openapi_document("/admin/api")["paths"])


async def test_all_calls_are_described(
    autojump_clock: MockClock, described: dict[str, Any]
) -> None:
    async with open_admin() as admin:
        routes = {
            (method.lower(), route.path)
            for route in admin.server.calls.routes()
            for method in (route.methods or set()) - {"HEAD"}
        }
        methods = {"get", "post", "delete"}
        assert routes == {(m, path) for path in described for m in methods & set(described[path])}
        assert (await admin.get("/openapi.json")) == openapi_document("/admin/api")


async def test_answers_are_as_described(
    autojump_clock: MockClock, described: dict[str, Any]
) -> None:
    async with open_admin() as admin:
        one = f"{admin.own}/peers/{admin.bob.id}"
        asked = {
            "/session": "/session",
            "/rooms": "/rooms",
            "/rooms/{room_id}": admin.own,
            "/rooms/{room_id}/peers/{peer_id}": one,
            "/rooms/{room_id}/explain/{id}": f"{admin.own}/explain/{admin.bob.id}",
        }
        for path, real in asked.items():
            ok = described[path]["get"]["responses"]["200"]["content"]["application/json"]
            jsonschema_rs.validate(ok["schema"], await admin.get(real))


# In the whole server


async def test_the_page_comes_and_goes_with_a_reload() -> None:
    async with open_server(quick_settings({"admin.path": "/ops"})) as server:
        url = f"http://127.0.0.1:{server.running.port}/ops/api/rooms"
        async with httpx.AsyncClient() as http:
            assert (await http.get(url, headers=BEARER)).status_code == 404
            wanted = quick_settings({"admin.path": "/ops", "admin.token": TOKEN})
            done = await server.running.reload.take(wanted)
            assert done.taken == ["admin.token"]
            assert (await http.get(url)).status_code == 401
            assert (await http.get(url, headers=BEARER)).json()["rooms"]["rows"] == []
            assert (await http.get(url.replace("/api/rooms", "/"))).headers["cache-control"]
            authenticates = server.running.reload.door.authenticates
            assert authenticates(RequestHead("GET", "/ops/api/rooms", "", BEARER))
            assert not authenticates(RequestHead("GET", "/elsewhere", "", BEARER))
            assert not authenticates(RequestHead("GET", "/ops/api/rooms", "", {}))
            # TLS ends at a proxy from now on
            here = f"http://127.0.0.1:{server.running.port}"
            login = url.replace("/rooms", "/session"), {"token": TOKEN}
            answer = await http.post(login[0], json=login[1], headers=OWN | {"origin": here})
            assert "Path=/ops;" in answer.headers["set-cookie"]
            assert "Secure" not in answer.headers["set-cookie"]
            wanted = attrs.evolve(wanted, listener=attrs.evolve(wanted.listener, force_wss=True))
            await server.running.reload.take(wanted)
            here = here.replace("http", "https")
            answer = await http.post(login[0], json=login[1], headers=OWN | {"origin": here})
            assert "Secure" in answer.headers["set-cookie"]
