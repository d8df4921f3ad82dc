"""The HTTP API that Kolab 4 calls: rooms, connections, signals, figures.

Each route below the prefix requires the token in ``X-Auth-Token``, which is compared in constant
time. Without it the answer is an empty 403, and nothing else of the request is looked at. Errors
are JSON objects ``{"error": …}``.

What the calls do to a room is in ``live``.
"""

import logging
from collections.abc import Callable, Sequence

import attrs
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from meet_trio.edge.bodies import JsonObject, read_object, text_field
from meet_trio.edge.openapi import openapi_document
from meet_trio.edge.routes import Router, Routes
from meet_trio.edge.settings import HttpApiSettings
from meet_trio.edge.tokens import ApiTokens
from meet_trio.lag import LoopLag
from meet_trio.live.figures import RoomsFigures
from meet_trio.live.registry import Registry
from meet_trio.ortc.fields import Fields
from meet_trio.room import Role, parse_role
from meet_trio.room.last_n import MAX_LAST_N

logger = logging.getLogger("meet_trio.edge.http_api")


@attrs.define(eq=False)
class HttpApi:
    """The endpoints of the API; ``app`` serves them. ``token_base`` begins token URLs,
    e.g. ``wss://meet.example:12443``. ``health`` returns the reasons for which the server is not
    healthy.
    """

    registry: Registry
    lag: LoopLag
    tokens: ApiTokens
    health: Callable[[], Sequence[str]]
    settings: HttpApiSettings
    token_base: str
    max_json_depth: int
    _figures: RoomsFigures = attrs.field(init=False, factory=RoomsFigures)

    @property
    def path(self) -> str:
        """The path below which the routes need the token."""
        return f"{self.settings.path_prefix}/api"

    @property
    def routes(self) -> Routes:
        """The endpoints below ``path``."""
        return {
            "/ping": {"GET": ping},
            "/health": {"GET": self._health},
            "/sessions": {"GET": self._list_sessions, "POST": self._create_session},
            "/sessions/{room_id}": {"GET": self._session},
            "/sessions/{room_id}/connection": {"POST": self._connection},
            "/signal": {"POST": self._signal},
            "/stats": {"GET": self._stats},
            "/lag": {"GET": self._lag},
            "/trials": {"POST": self._open_trial},
            "/openapi.json": {"GET": self._openapi},
        }

    def app(self) -> ASGIApp:
        """The application for paths below ``path``."""
        return TokenGuard(Router(self.path, self.routes), self.tokens)

    def token_url(self, room_id: str, peer_id: str, auth_token: str) -> str:
        query = f"peerId={peer_id}&roomId={room_id}&authToken={auth_token}"
        return f"{self.token_base}?{query}"

    async def _body(self, request: Request) -> JsonObject:
        return await read_object(
            request,
            max_bytes=self.settings.max_body_bytes,
            bound="http.max_body_bytes",
            max_depth=self.max_json_depth,
        )

    async def _health(self, request: Request) -> Response:
        if reasons := self.health():
            return JSONResponse(
                {"success": False, "message": "; ".join(reasons), "reasons": list(reasons)}, 503
            )
        return JSONResponse({"success": True, "message": "Healthy"})

    async def _list_sessions(self, request: Request) -> Response:
        return JSONResponse(
            [
                {"roomId": room.id, "createdAt": int(room.created_at)}
                for room in self.registry.rooms.values()
            ]
        )

    async def _create_session(self, request: Request) -> Response:
        body = await self._body(request)
        room = await self.registry.create_room(last_n=_last_n(body))
        return JSONResponse({"id": room.id})

    async def _session(self, request: Request) -> Response:
        known = request.path_params["room_id"] in self.registry.rooms
        return Response(status_code=200 if known else 404)

    async def _connection(self, request: Request) -> Response:
        body = await self._body(request)
        room = self.registry.rooms.get(request.path_params["room_id"])
        if room is None:
            return Response(status_code=404)
        invitation = room.invite(_role(body) or Role(0))
        return JSONResponse(
            {
                "id": invitation.peer_id,
                "token": self.token_url(room.id, invitation.peer_id, invitation.auth_token),
            }
        )

    async def _signal(self, request: Request) -> Response:
        body = await self._body(request)
        if not body:
            return JSONResponse({})  # the original accepts an empty body
        room = self.registry.rooms.get(text_field(body, "roomId"))
        kind = text_field(body, "type")
        role = _role(body)
        if room is not None:  # Kolab may signal a room that has just ended
            room.signal(kind, body.get("data"), role)
        return JSONResponse({})

    async def _stats(self, request: Request) -> Response:
        text = await self._figures.collect(self.registry.rooms.values())
        return Response(text, media_type="application/json")

    async def _lag(self, request: Request) -> Response:
        return JSONResponse(self.lag.to_json())

    async def _open_trial(self, request: Request) -> Response:
        return JSONResponse(await self.registry.try_media())

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(openapi_document(self.path))


async def ping(request: Request) -> Response:
    return PlainTextResponse("PONG")


def _last_n(body: JsonObject) -> int | None:
    value = body.get("lastN")
    if isinstance(value, str) and value.isdecimal():  # of a form
        value = int(value[:9])
    return Fields({"lastN": value}).opt_integer("lastN", 0, MAX_LAST_N)


def _role(body: JsonObject) -> Role | None:
    value = body.get("role")
    return None if value is None else parse_role(value)


class TokenGuard:
    """ASGI middleware: an empty 403 without the right ``X-Auth-Token``."""

    def __init__(self, app: ASGIApp, tokens: ApiTokens) -> None:
        self.app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"x-auth-token", b"")
        if not self._tokens.accept(given):
            await Response(status_code=403)(scope, receive, send)
            return
        await self.app(scope, receive, send)
