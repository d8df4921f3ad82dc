"""The routes of the HTTP API, and the answers to what raises.

Kolab calls the API for each join. So it does not go through Starlette's applications: the path is
looked up in a dictionary, with and without its second segment.

``EXCEPTION_HANDLERS`` answers the errors of all applications of the site alike.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

import attrs
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from meet_trio.errors import BadRequest, LimitExceeded, MeetError, NotFound

logger = logging.getLogger("meet_trio.edge.http_api")

RouteHandler = Callable[[Request], Awaitable[Response]]
Routes = Mapping[str, Mapping[str, RouteHandler]]
"""The endpoints by path and method. The second segment of a path may be ``{room_id}``, which stands
for any text. HEAD is served as GET.
"""

_ROOM = "{room_id}"


@attrs.frozen
class Router:
    """The ASGI application that serves ``routes`` below the path ``prefix``."""

    prefix: str
    routes: Routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response = await self._handler(scope)(request)
        except HTTPException as error:
            response = await _http_error(request, error)
        except MeetError as error:
            response = await _meet_error(request, error)
        except Exception as error:
            await (await _server_error(request, error))(scope, receive, send)
            raise  # to be logged
        await response(scope, receive, send)

    def _handler(self, scope: Scope) -> RouteHandler:
        """Raises HTTPException 404, or 405 with the methods that the path has."""
        path = scope["path"].removeprefix(self.prefix)
        first, _, rest = path[1:].partition("/")
        if rest:
            room, slash, rest = rest.partition("/")
            scope["path_params"] = {"room_id": room}
            path = f"/{first}/{_ROOM}{slash}{rest}" if room else ""
        methods = self.routes.get(path)
        if methods is None:
            raise HTTPException(404)
        method = scope["method"]
        endpoint = methods.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            allowed = [*methods, "HEAD"] if "GET" in methods else methods
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        return endpoint


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _meet_error(request: Request, error: Exception) -> Response:
    match error:
        case BadRequest():
            status = 400
        case NotFound():
            status = 404
        case LimitExceeded():
            status = 503
        case _:
            logger.error("%s %s: %s", request.method, request.url.path, error)
            status = 500
    return JSONResponse({"error": str(error)}, status)


async def _server_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "internal error"}, 500)


EXCEPTION_HANDLERS = {
    HTTPException: _http_error,
    MeetError: _meet_error,
    Exception: _server_error,
}
"""Starlette calls these with an exception, in all applications of the site."""
