"""The calls of the admin page: tables of what there is, why a call is bad, and the changing verbs.

Reading: answers are shared by calls that come at once, made in several turns of the loop, and
bounded (``operator.tables``). Changing: ``operator.verbs``, each logged with who asked. Objects are
named by their whole ids.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import attrs
import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meet_trio import __version__
from meet_trio.admin.access import Access, Who
from meet_trio.admin.openapi import openapi_document
from meet_trio.admin.traces import Asked, TraceResponse
from meet_trio.edge.bodies import JsonObject, read_object
from meet_trio.errors import BadRequest, Forbidden, NotFound
from meet_trio.lag import LoopLag
from meet_trio.live.peer import LivePeer
from meet_trio.live.registry import Registry
from meet_trio.live.room import LiveRoom
from meet_trio.live.shared_answer import SharedAnswers
from meet_trio.live.streams import LiveConsumer
from meet_trio.operator import tables, verbs
from meet_trio.operator.drain import Drain
from meet_trio.operator.figures import Reports
from meet_trio.operator.tables import MOST_FIND, MOST_ROWS, Cut, Row
from meet_trio.operator.trace import DEFAULT_BYTES, DEFAULT_SECONDS, MOST_BYTES, MOST_SECONDS
from meet_trio.ortc.fields import Json
from meet_trio.turns import Turns

logger = logging.getLogger("meet_trio.admin")

_MAX_BODY, _MAX_DEPTH = 4096, 4
_MOST_OFFSET = 10**6
_MOST_DRAIN = 7 * 86400.0

Endpoint = Callable[[Request], Awaitable[Response]]
Verb = Callable[[Request, Who, JsonObject], Awaitable[Response]]


@attrs.define(eq=False)
class Calls:
    """``path``: where the page is. ``reasons()``: why the server is not healthy."""

    access: Access
    path: str
    registry: Registry
    drain: Drain
    lag: LoopLag
    reasons: Callable[[], Sequence[str]]
    _tables: SharedAnswers[tuple[Reports, list[Row]]] = attrs.field(factory=SharedAnswers)
    _texts: SharedAnswers[bytes] = attrs.field(factory=SharedAnswers)

    def routes(self) -> list[Route]:
        peer = "/rooms/{room_id}/peers/{peer_id}"
        return [
            Route("/session", self._session, methods=["GET", "POST", "DELETE"]),
            Route("/openapi.json", self._reads(self._openapi)),
            Route("/rooms", self._reads(self._rooms)),
            Route("/rooms/{room_id}", self._reads(self._room)),
            Route("/rooms/{room_id}/close", self._changes(self._close), methods=["POST"]),
            Route(peer, self._reads(self._peer)),
            Route(f"{peer}/kick", self._changes(self._kick), methods=["POST"]),
            Route(
                f"{peer}/transports/{{transport_id}}/trace",
                self._changes(self._trace),
                methods=["POST"],
            ),
            Route("/rooms/{room_id}/explain/{id}", self._reads(self._explain)),
            Route("/drain", self._changes(self._drain), methods=["POST", "DELETE"]),
        ]

    # Who asks

    def _reads(self, answer: Endpoint) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            self._who(request)
            return await answer(request)

        return endpoint

    def _changes(self, change: Verb) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            self._who(request)
            self.access.check_origin(request.headers)
            body = await _body(request)
            return await change(request, self._who(request), body)  # it may have ended meanwhile

        return endpoint

    def _who(self, request: Request) -> Who:
        return self.access.identify(_address(request), request.headers)

    # The session

    async def _session(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._log_in(request)
        who = self._who(request)
        if request.method == "DELETE":
            self.access.check_origin(request.headers)
            self.access.log_out(who)
            cookie = self.access.cookie_header("", self.path)
            return JSONResponse({}, headers={"set-cookie": cookie})
        return JSONResponse(self._about(who))

    async def _log_in(self, request: Request) -> Response:
        self.access.check_origin(request.headers)
        token = (await _body(request)).get("token")
        if not isinstance(token, str):
            raise BadRequest("token: a text is required")
        address = _address(request)
        value, session = self.access.log_in(address, token)
        cookie = self.access.cookie_header(value, self.path)
        return JSONResponse(
            self._about(Who(address, session, value)), headers={"set-cookie": cookie}
        )

    def _about(self, who: Who) -> Mapping[str, Json]:
        left = None if who.session is None else who.session.ends - trio.current_time()
        return {
            "version": __version__,
            "endsIn": left,
            "trace": self.access.settings.trace,
        }

    # Reading

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(openapi_document(f"{self.path}/api"))

    async def _rooms(self, request: Request) -> Response:
        cut = _cut(request)
        reports, rows = await self._tables.get("rooms", self._make_rooms)
        return self._answer(reports, rooms=cut.of(rows))

    async def _make_rooms(self) -> tuple[Reports, list[Row]]:
        reports = await self._ask()
        return reports, await tables.room_table(self.registry, reports, Turns())

    async def _room(self, request: Request) -> Response:
        cut = _cut(request)
        room = self._find_room(request)
        reports, rows = await self._tables.get(("room", room.id), partial(self._make_peers, room))
        about = {
            "id": room.id,
            "age": time.time() - room.created_at,
            "lastN": room.state.last_n.n,
            "closed": room.state.closed,
            **tables.room_sums(rows),
        }
        return self._answer(reports, room=about, peers=cut.of(rows))

    async def _make_peers(self, room: LiveRoom) -> tuple[Reports, list[Row]]:
        reports = await self._ask()
        return reports, await tables.peer_table(room, reports, Turns())

    async def _peer(self, request: Request) -> Response:
        room = self._find_room(request)
        peer = _find_peer(room, request)
        text = await self._texts.get(("peer", peer.id), partial(self._make_peer, room, peer))
        return Response(text, media_type="application/json")

    async def _make_peer(self, room: LiveRoom, peer: LivePeer) -> bytes:
        reports = await Reports.of_rooms([room])
        if peer.id not in room.state.peers:
            raise NotFound("the peer has left")
        return _encode(await tables.peer_shape(room, peer, reports, Turns()))

    async def _explain(self, request: Request) -> Response:
        room, wanted = self._find_room(request), request.path_params["id"]
        found = room.consumers.get(wanted) or room.peers.get(wanted)
        if found is None:
            raise NotFound("there is no such consumer or peer in the room; it may have ended")
        make = partial(_make_explained, room, found)
        text = await self._texts.get(("explain", wanted), make)
        return Response(text, media_type="application/json")

    async def _ask(self) -> Reports:
        return await Reports.ask(self.registry.context.hosts)

    def _answer(self, reports: Reports, **parts: object) -> Response:
        server = tables.server_shape(self.registry, reports, self.reasons())
        server["lag"] = self.lag.to_json()
        return Response(_encode({"server": server, **parts}), media_type="application/json")

    # Changing

    async def _close(self, request: Request, who: Who, body: JsonObject) -> Response:
        room = self._find_room(request)
        return _done(who, verbs.close(room))

    async def _kick(self, request: Request, who: Who, body: JsonObject) -> Response:
        room = self._find_room(request)
        reason = body.get("reason", "")
        if not isinstance(reason, str):
            raise BadRequest("reason: a text is required")
        return _done(who, verbs.kick(room, _find_peer(room, request).id, reason))

    async def _drain(self, request: Request, who: Who, body: JsonObject) -> Response:
        if request.method == "DELETE":
            return _done(who, verbs.undrain(self.drain))
        timeout = _number(body, "seconds", None, 0, _MOST_DRAIN)
        return _done(who, verbs.drain(self.drain, timeout))

    async def _trace(self, request: Request, who: Who, body: JsonObject) -> Response:
        if not self.access.settings.trace:
            raise Forbidden("traces are switched off here (admin.trace)")
        room = self._find_room(request)
        peer = _find_peer(room, request)
        transport = peer.transports.get(request.path_params["transport_id"])
        if transport is None:
            raise NotFound("there is no such transport")
        seconds = _number(body, "seconds", DEFAULT_SECONDS, 0.1, MOST_SECONDS)
        size = _number(body, "bytes", DEFAULT_BYTES, 65536, MOST_BYTES)
        assert seconds is not None
        assert size is not None
        asked = Asked(by=str(who), seconds=seconds, size=int(size), revoked=self.access.revoked)
        return TraceResponse(room, peer, transport, asked)

    def _find_room(self, request: Request) -> LiveRoom:
        room = self.registry.rooms.get(request.path_params["room_id"])
        if room is None or room.state.closed:
            raise NotFound("there is no such room; it may have ended")
        return room


async def _make_explained(room: LiveRoom, thing: LiveConsumer | LivePeer) -> bytes:
    return _encode((await verbs.explain(room, thing)).to_json())


def _find_peer(room: LiveRoom, request: Request) -> LivePeer:
    peer = room.peers.get(request.path_params["peer_id"])
    if peer is None or peer.id not in room.state.peers:
        raise NotFound("there is no such peer in the room; it may have left")
    return peer


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


async def _body(request: Request) -> JsonObject:
    return await read_object(
        request, max_bytes=_MAX_BODY, bound="the admin page's bound", max_depth=_MAX_DEPTH
    )


def _done(who: Who, what: str) -> Response:
    logger.info("admin: %s: %s", who, what)
    return JSONResponse({"done": what})


def _cut(request: Request) -> Cut:
    query = request.query_params
    find = query.get("find", "")
    if len(find) > MOST_FIND:
        raise BadRequest(f"find: longer than {MOST_FIND} characters")
    sort = query.get("sort", "")
    return Cut(
        find,
        sort.removeprefix("-"),
        sort.startswith("-"),
        _whole(query.get("offset", "0"), "offset", 0, _MOST_OFFSET),
        _whole(query.get("limit", str(MOST_ROWS)), "limit", 1, MOST_ROWS),
    )


def _whole(text: str, name: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
        raise BadRequest(f"{name}: not a whole number from {least} to {most}")
    return int(text)


def _number(
    body: JsonObject, name: str, default: float | None, least: float, most: float
) -> float | None:
    value = body.get(name, default)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadRequest(f"{name}: not a number from {least:g} to {most:g}")
    return float(value)


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode(
        errors="replace"
    )
