"""The proofs in the head of a request."""

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.live_fakes import World
from support.live_scenes import open_world
from trio.testing import MockClock

from meet_trio.edge.authenticator import Authenticator, _query_untrusted
from meet_trio.edge.head import RequestHead
from meet_trio.edge.settings import HttpApiSettings
from meet_trio.edge.tokens import ApiTokens
from meet_trio.live.room import LiveRoom
from meet_trio.live.settings import PeerSettings
from meet_trio.rates import Rate
from meet_trio.room import Role


@attrs.frozen
class Place:
    world: World
    room: LiveRoom
    authenticator: Authenticator

    def authenticates(self, path: str, query: str = "", token: str = "") -> bool:
        headers = {"x-auth-token": token} if token else {}
        return self.authenticator.authenticates(RequestHead("GET", path, query, headers))

    def refuses(self, query: str) -> bool:
        return self.authenticator.refuses(RequestHead("GET", "/meetmedia/signaling/", query, {}))


@contextlib.asynccontextmanager
async def open_place() -> AsyncIterator[Place]:
    async with open_world(peer_settings=PeerSettings(requests=Rate(1, 20))) as world:
        authenticator = Authenticator(
            world.registry,
            ApiTokens(HttpApiSettings(auth_token="secret")),
            "/meetmedia/api",
            frozenset({"/meetmedia/signaling/"}),
            has_session=lambda sid: sid == "s1",
            bearer_tokens={"/metrics": "t0ken"},
        )
        yield Place(world, await world.registry.create_room(), authenticator)


async def test_the_apis_token(autojump_clock: MockClock) -> None:
    async with open_place() as place:
        assert place.authenticates("/meetmedia/api/ping", token="secret")
        assert not place.authenticates("/meetmedia/api/ping", token="secre\xe9")
        assert not place.authenticates("/meetmedia/api/ping")
        assert not place.authenticates("/meetmedia/apix", token="secret")
        assert not place.authenticates("/ping", token="secret")


def _by_the_standard_library(query: str) -> dict[str, str]:
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=64)
    except ValueError:
        return {}
    return dict(reversed(fields))


@given(st.lists(st.sampled_from(["sid", "=", "&", "1", "%41", "+", ";"]), max_size=12).map("".join))
@example("&".join(["a=1"] * 64))
@example("&".join(["a=1"] * 65))
def test_a_query_is_read_as_by_the_standard_library(query: str) -> None:
    head = RequestHead("GET", "/", query, {})
    assert _query_untrusted(head) == _by_the_standard_library(query)


async def test_the_bearer_token_of_a_path(autojump_clock: MockClock) -> None:
    async with open_place() as place:

        def shows(path: str, authorization: str) -> bool:
            head = RequestHead("GET", path, "", {"authorization": authorization})
            return place.authenticator.authenticates(head)

        assert shows("/metrics", "Bearer t0ken")
        for path, authorization in (
            ("/metrics", "Bearer secret"),
            ("/metrics", "Basic t0ken"),
            ("/metrics", "t0ken"),
            ("/metrics/", "Bearer t0ken"),
            ("/meetmedia/api/ping", "Bearer t0ken"),
            ("/meetmedia/api/ping", "Bearer secret"),
        ):
            assert not shows(path, authorization)
        assert not place.authenticates("/metrics", token="t0ken")


async def test_a_peers_token_and_a_session(autojump_clock: MockClock) -> None:
    async with open_place() as place:
        invited = place.room.invite(Role.PUBLISHER)
        path = "/meetmedia/signaling/"
        right = f"peerId={invited.peer_id}&roomId={place.room.id}&authToken={invited.auth_token}"
        assert place.authenticates(path, right + "&EIO=4")
        assert place.authenticates(path, right + "&authToken=another")
        assert not place.authenticates("/", right)
        assert not place.authenticates(path, "authToken=another&" + right)
        assert not place.authenticates(path, right.replace(place.room.id, "elsewhere"))
        assert not place.authenticates(path, right + "&x=1" * 100)
        assert place.authenticates(path, "sid=s1&" + right)
        assert not place.authenticates(path, "sid=s2&" + right)
        assert not place.authenticates(path, "sid=s1")  # any client may open a session


async def test_who_will_be_let_in_by_nobody(autojump_clock: MockClock) -> None:
    async with open_place() as place:
        client = await place.world.enter(place.room)
        right = f"peerId={client.id}&roomId={place.room.id}&authToken={client.token}"
        assert not place.refuses(right)
        for wrong in (
            "",
            "EIO=4",
            right.replace(client.token, "x"),
            right.replace(client.id, "x"),
            right.replace(place.room.id, "x"),
            "authToken=another&" + right,
            right + "&x=1" * 100,
        ):
            assert place.refuses(wrong), wrong
        assert not place.refuses("sid=s1")  # an upgrade
        for _ in range(6):  # a client that comes too often has a right token nevertheless
            await client.connect()
        assert not place.authenticates("/meetmedia/signaling/", right)
        assert not place.refuses(right)


@pytest.mark.parametrize("sockets", [3, 5])
async def test_a_peer_that_comes_too_often_is_counted_by_its_address(
    sockets: int, autojump_clock: MockClock
) -> None:
    """Twenty requests allow two sockets; twenty more on credit allow two more."""
    async with open_place() as place:
        client = await place.world.enter(place.room)
        query = f"peerId={client.id}&roomId={place.room.id}&authToken={client.token}"
        for _ in range(sockets - 1):
            await client.connect()
        assert place.authenticates("/meetmedia/signaling/", query) is (sockets < 4)
        came = client.socket.notices("roomBack")
        assert len(came) == (1 if sockets < 4 else 0)
