"""Where the metrics are served: on the main listener to those who show the token, and on a listener
of their own.

The second one has a front door like the main one, with the same limits for strangers, but few
connections: Prometheus needs one. On loopback it needs no token. There it accepts only requests
that name a host of this machine, since a web page may let its own name resolve to 127.0.0.1.

The page and prometheus_client are loaded with the first request that may read it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from meet_trio.edge.allowed_hosts import AllowedHosts
from meet_trio.edge.authenticator import shows_bearer
from meet_trio.edge.front_door import FrontDoor
from meet_trio.edge.head import RequestHead
from meet_trio.edge.routes import EXCEPTION_HANDLERS
from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.operator.settings import MetricsSettings

if TYPE_CHECKING:
    from meet_trio.operator.metrics_page import MetricsPage

PATH = "/metrics"
MAX_CONNECTIONS = 32
"""Connections at once to the metrics' own listener."""


@attrs.define(eq=False)
class MetricsServer:
    """Serves the page that ``load`` makes. ``load`` is called in a thread, as it takes a tenth of a
    second. ``settings`` may be replaced by others, whose token counts from then on.
    """

    settings: MetricsSettings
    load: Callable[[], "MetricsPage"]
    _page: "MetricsPage | None" = None
    _loading: trio.Lock = attrs.field(factory=trio.Lock)

    def routes(self) -> Sequence[Route]:
        """Those for the main listener."""
        return [self._route(wants_token=True)]

    def bearer_tokens(self) -> Mapping[str, str]:
        """The tokens of paths, for the main listener's authenticator."""
        return {} if self.settings.token is None else {PATH: self.settings.token}

    def own_door(self, settings: FrontDoorSettings, *, loopback: bool) -> FrontDoor:
        """The front door of the second listener. Beyond loopback it needs the token."""
        route = self._route(wants_token=not loopback)
        return FrontDoor(
            app=Starlette(routes=[route], exception_handlers=EXCEPTION_HANDLERS),
            websockets={},
            settings=attrs.evolve(
                settings,
                max_connections=min(settings.max_connections, MAX_CONNECTIONS),
                max_strangers=min(settings.max_strangers, MAX_CONNECTIONS),
                trusted_proxies=(),
            ),
            authenticates=self._authenticates,
            allowed_hosts=AllowedHosts() if loopback else None,
        )

    def _route(self, *, wants_token: bool) -> Route:
        async def serve(request: Request) -> Response:
            if wants_token:
                token = self.settings.token
                if token is None:
                    raise HTTPException(404)
                if not shows_bearer(request.headers.get("authorization"), token):
                    challenge = {"WWW-Authenticate": "Bearer"}
                    return PlainTextResponse("metrics.token is wanted\n", 401, challenge)
            page = await self._loaded()
            return await page.answer(request.headers.get("accept", ""))

        return Route(PATH, serve)

    async def _loaded(self) -> "MetricsPage":
        if self._page is not None:
            return self._page
        async with self._loading:  # by requests at once, too, it is loaded once
            if self._page is None:
                self._page = await trio.to_thread.run_sync(self.load)
            return self._page

    def _authenticates(self, head: RequestHead) -> bool:
        token = self.settings.token
        return token is not None and shows_bearer(head.headers.get("authorization"), token)
