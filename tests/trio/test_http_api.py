"""The HTTP API as Kolab calls it, over ASGI, against a registry with fakes."""

from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from support.live_fakes import Client
from support.site import API, AUTH, Site, open_site

from meet_trio.live.settings import RoomSettings


async def test_ping_health_and_trailing_slash() -> None:
    async with open_site() as site:
        for path in ("/ping", "/ping/", "/ping?x=1"):
            answer = await site.call("GET", path)
            assert (answer.status_code, answer.text) == (200, "PONG")
        assert (await site.http.get("/ping")).text == "PONG"
        health = await site.call("GET", "/health")
        assert health.json() == {"success": True, "message": "Healthy"}
        assert (await site.call("HEAD", "/ping")).status_code == 200


async def test_health_tells_of_a_dead_engine() -> None:
    async with open_site() as site:
        site.world.host.failure.set()
        health = await site.call("GET", "/health")
        why = "the media engine on port 44444 has failed"
        assert health.status_code == 503
        assert health.json() == {"success": False, "message": why, "reasons": [why]}
        refused = await site.call("POST", "/sessions")
        assert refused.status_code == 503
        assert "engine" in refused.json()["error"]


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "wrong"}, {"X-Auth-Token": ""}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ping"),
        ("GET", "/health"),
        ("GET", "/sessions"),
        ("POST", "/sessions"),
        ("POST", "/signal"),
        ("GET", "/stats"),
        ("GET", "/lag"),
        ("POST", "/trials"),
        ("GET", "/nothing"),
    ],
)
async def test_without_the_token_403_and_nothing_done(
    headers: dict[str, str], method: str, path: str
) -> None:
    async with open_site() as site:
        answer = await site.http.request(method, API + path, headers=headers, content=b"{")
        assert (answer.status_code, answer.content) == (403, b"")
        assert site.world.registry.rooms == {}


async def test_a_token_that_is_not_ascii_is_just_wrong() -> None:
    async with open_site() as site:
        answer = await site.http.get(f"{API}/ping", headers=[(b"x-auth-token", b"secr\xe9t")])
        assert answer.status_code == 403


async def test_sessions() -> None:
    async with open_site() as site:
        assert (await site.call("GET", "/sessions")).json() == []
        first, second = await site.create_room(), await site.create_room()
        listed = (await site.call("GET", "/sessions")).json()
        assert [entry["roomId"] for entry in listed] == [first, second]
        assert all(type(entry["createdAt"]) is int for entry in listed)
        known = await site.call("GET", f"/sessions/{first}")
        assert (known.status_code, known.content) == (200, b"")
        for other in ("nope", first.upper(), "%zz"):
            assert (await site.call("GET", f"/sessions/{other}")).status_code == 404
        assert (await site.call("DELETE", f"/sessions/{first}")).status_code == 405


@pytest.mark.parametrize(
    ("body", "last_n"),
    [
        ({"json": {}}, None),
        ({"json": {"lastN": None}}, None),
        ({"json": {"lastN": 9}}, 9),
        ({"data": {"lastN": "9"}}, 9),
    ],
)
async def test_a_room_has_its_last_n(body: dict[str, object], last_n: int | None) -> None:
    async with open_site() as site:
        room_id = (await site.call("POST", "/sessions", **body)).json()["id"]
        assert site.world.registry.rooms[room_id].state.last_n.n == last_n


@pytest.mark.parametrize("last_n", [-1, 1001, "x", "9" * 5000, [9], True])
async def test_a_room_without_a_sensible_last_n_is_not_made(last_n: object) -> None:
    async with open_site() as site:
        answer = await site.call("POST", "/sessions", json={"lastN": last_n})
        assert answer.status_code == 400
        assert answer.json() == {"error": "lastN: expected an integer from 0 to 1000"}
        assert not site.world.registry.rooms


@pytest.mark.parametrize(
    ("body", "role"),
    [
        ({}, 0),
        ({"content": b""}, 0),
        ({"json": {}}, 0),
        # Kolab's PHP encodes "no data" so, with POST sessions too
        ({"json": []}, 0),
        ({"json": {"role": 3}}, 3),
        ({"json": {"role": 31, "nickname": "n"}}, 31),
        ({"json": {"role": None}}, 0),
        ({"data": {"role": "22"}}, 22),
        # another content type: not read
        ({"content": b'{"role": 3}'}, 0),
    ],
)
async def test_connection_gives_a_token_url(body: dict[str, object], role: int) -> None:
    async with open_site() as site:
        room_id = await site.create_room()
        answer = (await site.call("POST", f"/sessions/{room_id}/connection", **body)).json()
        url = urlsplit(answer["token"])
        query = {name: value[0] for name, value in parse_qs(url.query).items()}
        assert (url.scheme, url.netloc, url.path) == ("wss", "meet.test:12443", "")
        assert (query["peerId"], query["roomId"]) == (answer["id"], room_id)
        assert len(bytes.fromhex(query["authToken"])) == 16
        room = site.world.registry.rooms[room_id]
        assert room.state.peers[answer["id"]].role == role
        assert room.admit(query["peerId"], query["authToken"]) is not None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/sessions/{room_id}", 404),  # a room's name, here
        ("POST", "/sessions/{room_id}/connection", 404),
        ("HEAD", "/sessions/x", 404),
        ("HEAD", "/sessions", 200),
        ("GET", "/sessions//connection", 404),
        ("POST", "/sessions/x/connection/y", 404),
        ("PUT", "/sessions/x/y", 404),
        ("POST", "/signal/x", 404),
        ("GET", "/", 404),
        ("PUT", "/sessions/x", 405),
        ("HEAD", "/signal", 405),
    ],
)
async def test_paths_and_methods_that_are_no_route(method: str, path: str, status: int) -> None:
    async with open_site() as site:
        answer = await site.call(method, path)
        assert answer.status_code == status
        assert ("allow" in answer.headers) == (status == 405)


JSON = {"Content-Type": "application/json", **AUTH}


@pytest.mark.parametrize(
    ("content", "headers", "status", "says"),
    [
        (b'{"role": 3', JSON, 400, "not JSON"),
        (b"\xff", JSON, 400, "UTF-8"),
        (b"[1]", JSON, 400, "not a JSON object"),
        (b"null", JSON, 400, "not a JSON object"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, JSON, 400, "deeper than"),
        (b"[" * 9000, JSON, 400, ""),
        (b'{"role": 32}', JSON, 400, "role"),
        (b'{"role": -1}', JSON, 400, "role"),
        (b'{"role": 1.5}', JSON, 400, "role"),
        (b'{"role": true}', JSON, 400, "role"),
        (b'{"role": [2]}', JSON, 400, "role"),
        (b'{"role": "abc"}', JSON, 400, "role"),
        (
            b'{"role": 3}',
            {**JSON, "Content-Type": "application/json; charset=utf-16"},
            400,
            "UTF-8",
        ),
        (b"x" * 10_001, JSON, 413, "10000 bytes"),
        (b"role=abc", {**AUTH, "Content-Type": "application/x-www-form-urlencoded"}, 400, "role"),
    ],
)
async def test_bad_bodies_are_named_and_change_nothing(
    content: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    async with open_site() as site:
        room_id = await site.create_room()
        path = f"{API}/sessions/{room_id}/connection"
        answer = await site.http.post(path, content=content, headers=headers)
        assert answer.status_code == status
        assert says in answer.json()["error"]
        assert site.world.registry.rooms[room_id].peers == {}


async def test_connection_to_an_unknown_room() -> None:
    async with open_site() as site:
        answer = await site.call("POST", "/sessions/nope/connection", json={"role": 3})
        assert (answer.status_code, answer.content) == (404, b"")


async def enter(site: Site, room_id: str, role: int) -> Client:
    answer = (
        await site.call("POST", f"/sessions/{room_id}/connection", json={"role": role})
    ).json()
    query = parse_qs(urlsplit(answer["token"]).query)
    room = site.world.registry.rooms[room_id]
    client = Client(site.world, room, answer["id"], query["authToken"][0])
    await client.connect()
    return client


async def test_signal_reaches_everybody_or_a_role() -> None:
    async with open_site() as site:
        room_id = await site.create_room()
        publisher, listener = await enter(site, room_id, 2), await enter(site, room_id, 1)
        for role, body in ((None, {"x": 1}), (2, "only"), (3, ["any", "bit"])):
            message = {"roomId": room_id, "type": "news", "data": body, "role": role}
            answer = await site.call("POST", "/signal", json=message)
            assert (answer.status_code, answer.json()) == (200, {})
        assert publisher.socket.notices("signal:news") == [{"x": 1}, "only", ["any", "bit"]]
        assert listener.socket.notices("signal:news") == [{"x": 1}, ["any", "bit"]]
        # A room that has just ended, or no body at all, gets the answer of the original.
        gone = {"roomId": "nope", "type": "t", "data": {}}
        assert (await site.call("POST", "/signal", json=gone)).json() == {}
        assert (await site.call("POST", "/signal")).json() == {}
        for bad in (
            {"roomId": room_id},
            {"roomId": 7, "type": "t"},
            {"roomId": room_id, "type": ""},
        ):
            assert (await site.call("POST", "/signal", json=bad)).status_code == 400


async def test_stats_with_a_room_and_an_engine_that_does_not_answer() -> None:
    async with open_site() as site:
        assert (await site.call("GET", "/stats")).json() == {}
        room_id = await site.create_room()
        peer = await enter(site, room_id, 3)
        with trio.fail_after(5):
            stats = (await site.call("GET", "/stats")).json()
        assert stats == {
            room_id: {
                peer.id: {
                    "id": peer.id,
                    "nickname": False,
                    "consumers": [],
                    "producers": [],
                    "transports": [],
                }
            }
        }


async def test_demo_routes_exist_in_demo_mode_only() -> None:
    async with open_site() as site:
        assert (await site.http.post("/demo/rooms")).status_code == 404
        assert (await site.http.get("/")).status_code == 404
    async with open_site(demo=True, rooms=RoomSettings(max_rooms=2)) as site:
        room_id = (await site.http.post("/demo/rooms")).json()["roomId"]
        path = f"/demo/rooms/{room_id}/connection"
        roles = []
        for _ in range(2):
            answer = (await site.http.post(path)).json()
            room = site.world.registry.rooms[room_id]
            roles.append(int(room.state.peers[answer["id"]].role))
        assert roles == [31, 3]
        # A link outlives its room.
        other = "0d9d4ea8-1111-4222-8333-444455556666"
        assert (await site.http.post(f"/demo/rooms/{other}/connection")).status_code == 200
        assert other in site.world.registry.rooms
        bad = await site.http.post("/demo/rooms/not-a-uuid/connection")
        assert (bad.status_code, "roomId" in bad.json()["error"]) == (400, True)
        full = await site.http.post("/demo/rooms")
        assert (full.status_code, "2 rooms" in full.json()["error"]) == (503, True)
