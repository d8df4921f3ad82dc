"""The admin page on the main listener: its routes, and what holds for all of its answers.

    path               the page (``admin.html`` of the built pages)
    path/assets/…      its files
    path/api/…         its calls

Without a token each of these is a 404, as if there was no such page. The routes are there all the
same, since a reload may set a token. No answer is kept by a cache, and none can be framed.
"""

from collections.abc import Sequence

import attrs
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_trio.admin.access import Access
from meet_trio.admin.api import Calls
from meet_trio.edge.head import RequestHead
from meet_trio.edge.routes import EXCEPTION_HANDLERS
from meet_trio.edge.site import PAGE_DIRECTORY
from meet_trio.errors import BadRequest, Forbidden, LimitExceeded, NotFound, RequestError
from meet_trio.media.engines import EngineError

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
_RAW_HEADERS = {name.encode(): value.encode() for name, value in _HEADERS.items()}


@attrs.define(eq=False)
class AdminServer:
    """Serves the page and its calls."""

    calls: Calls

    @property
    def access(self) -> Access:
        return self.calls.access

    def routes(self) -> Sequence[BaseRoute]:
        files = StaticFiles(directory=PAGE_DIRECTORY / "assets", check_dir=False)
        below = Starlette(
            routes=[Mount("/api", routes=self.calls.routes()), Mount("/assets", files)],
            exception_handlers={
                **EXCEPTION_HANDLERS,
                RequestError: _refused,
                EngineError: _refused,
            },
        )
        path = self.calls.path
        return [
            Route(path, _Guard(_Page(path), self.access)),
            Mount(path, _Guard(below, self.access)),
        ]

    def authenticates(self, head: RequestHead) -> bool:
        """Whether it is a request for one of these paths that has valid credentials."""
        path = self.calls.path
        return (head.path == path or head.path.startswith(f"{path}/")) and (
            self.access.authenticates(head)
        )


@attrs.frozen
class _Guard:
    """ASGI middleware: nothing is here without a token, and all answers get ``_HEADERS``."""

    app: ASGIApp
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.access.enabled:
            await JSONResponse({"error": "Not Found"}, 404)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [
                    (name, value) for name, value in message["headers"] if name not in _RAW_HEADERS
                ]
                message = {**message, "headers": [*given, *_RAW_HEADERS.items()]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


@attrs.frozen
class _Page:
    """ASGI application: the built page, whose files are below ``path``."""

    path: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._answer(scope["method"]))(scope, receive, send)

    async def _answer(self, method: str) -> Response:
        if method not in ("GET", "HEAD"):
            return JSONResponse({"error": "Method Not Allowed"}, 405, {"allow": "GET, HEAD"})
        try:
            text = await trio.Path(PAGE_DIRECTORY / "admin.html").read_text()
        except OSError:
            return PlainTextResponse("The page is not built: run tools/serve.\n", 503)
        return HTMLResponse(text.replace('"/assets/', f'"{self.path}/assets/'))


async def _refused(request: Request, error: Exception) -> Response:
    match error:
        case BadRequest():
            status = 400
        case Forbidden():
            status = 403
        case NotFound():
            status = 404
        case LimitExceeded() | EngineError():
            status = 503
        case _:
            status = 409
    return JSONResponse({"error": str(error)}, status)
