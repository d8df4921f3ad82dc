"""The HTTP side as one ASGI application: the API, the meeting page, long-polling and demo mode.

The page's files are built from ``web/``. In demo mode everybody who reaches the listener may open
and enter rooms, so the listener is on loopback unless a setting allows more. Without demo mode its
routes do not exist. Websockets do not come here; the front door serves them.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from meet_trio.edge.http_api import HttpApi, ping
from meet_trio.edge.routes import EXCEPTION_HANDLERS
from meet_trio.errors import BadRequest
from meet_trio.live.registry import Registry
from meet_trio.room import Role

PAGE_DIRECTORY = Path(__file__).parent.parent / "web"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:; "
        "media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def build_site(
    api: HttpApi,
    polling: ASGIApp,
    polling_paths: frozenset[str],
    *,
    page: bool,
    demo: bool,
    more: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """The application. ``polling`` serves Engine.IO's long-polling on ``polling_paths``. ``more``
    are routes of other parts, which check their credentials themselves.

    ``page``: serve the meeting page. ``demo``: serve the routes by which the page makes rooms
    without Kolab.
    """
    # The older README has this health check, without prefix and token.
    routes: list[BaseRoute] = [Route("/ping", ping), *more]
    if demo:
        routes += DemoRoutes(api).routes()
    if page:
        routes += _page_routes()
    pages = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
    api_app, below = api.app(), api.path + "/"

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        served = api_app if scope["path"].startswith(below) else pages
        await served(scope, receive, send)

    without_slash = without_trailing_slash(site)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        polls = scope["path"] in polling_paths
        await (polling if polls else without_slash)(scope, receive, send)

    return app


def _page_routes() -> Sequence[BaseRoute]:
    async def index(request: Request) -> Response:
        file = PAGE_DIRECTORY / "index.html"
        if not file.is_file():
            return PlainTextResponse("The page is not built: run tools/serve.\n", 503)
        return FileResponse(file, headers=_PAGE_HEADERS)

    return [
        Route("/", index),
        Route("/room/{room_id}", index),
        Mount("/assets", StaticFiles(directory=PAGE_DIRECTORY / "assets", check_dir=False)),
        Route("/favicon.svg", _file_endpoint("favicon.svg")),
    ]


def _file_endpoint(name: str):  # type: ignore[no-untyped-def]  # Starlette's own endpoint type is Any
    async def serve(request: Request) -> Response:
        file = PAGE_DIRECTORY / name
        return FileResponse(file) if file.is_file() else Response(status_code=404)

    return serve


@attrs.define(eq=False)
class DemoRoutes:
    """Kolab's part in demo mode: makes rooms and gives tokens to everybody who asks."""

    api: HttpApi

    @property
    def _registry(self) -> Registry:
        return self.api.registry

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/demo/rooms", self._make_room, methods=["POST"]),
            Route("/demo/rooms/{room_id}/connection", self._connection, methods=["POST"]),
        ]

    async def _make_room(self, request: Request) -> Response:
        room = await self._registry.create_room()
        return JSONResponse({"roomId": room.id})

    async def _connection(self, request: Request) -> Response:
        room_id = request.path_params["room_id"]
        if not _UUID.fullmatch(room_id):
            raise BadRequest("roomId: not a UUID in lower case")
        # A link outlives its room. Opening it later makes the room again.
        room = self._registry.rooms.get(room_id) or await self._registry.create_room(room_id)
        role = Role.PUBLISHER | Role.SUBSCRIBER
        if not room.has_owner():
            role |= Role.MODERATOR | Role.OWNER | Role.SCREEN
        invitation = room.invite(role)
        return JSONResponse(
            {
                "id": invitation.peer_id,
                "token": self.api.token_url(room.id, invitation.peer_id, invitation.auth_token),
            }
        )


def without_trailing_slash(app: ASGIApp) -> ASGIApp:
    """Serves ``/x/`` as ``/x``, like Express. A redirect would lose a POST's body."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/")}
        await app(scope, receive, send)

    return wrapped
