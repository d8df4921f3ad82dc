"""Where the metrics are served: on the main listener to those who show the token, and on a listener
of their own.

The second one has a front door like the main one, with the same limits for strangers, but few
connections: Prometheus needs one. On loopback it needs no token. There it accepts only requests
that name a host of this machine, since a web page may let its own name resolve to 127.0.0.1.
"""

from collections.abc import Mapping, Sequence

import attrs
from starlette.applications import Starlette
from starlette.routing import Route

from meet_trio.edge.allowed_hosts import AllowedHosts
from meet_trio.edge.authenticator import shows_bearer
from meet_trio.edge.front_door import FrontDoor
from meet_trio.edge.head import RequestHead
from meet_trio.edge.http_api import EXCEPTION_HANDLERS
from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.operator.metrics import Metrics
from meet_trio.operator.metrics_page import PATH, MetricsPage

MAX_CONNECTIONS = 32
"""Connections at once to the metrics' own listener."""


@attrs.define(eq=False)
class MetricsServer:
    """Serves ``metrics``. ``token`` None: not on the main listener."""

    metrics: Metrics
    token: str | None = attrs.field(repr=False)
    _page: MetricsPage = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._page = MetricsPage(self.metrics.gather)

    def routes(self) -> Sequence[Route]:
        """Those for the main listener."""
        return [] if self.token is None else [self._page.route(self.token)]

    def bearer_tokens(self) -> Mapping[str, str]:
        """The tokens of paths, for the main listener's authenticator."""
        return {} if self.token is None else {PATH: self.token}

    def own_door(self, settings: FrontDoorSettings, *, loopback: bool) -> FrontDoor:
        """The front door of the second listener. Beyond loopback it needs the token."""
        token = None if loopback else self.token
        assert loopback or token is not None  # ``config`` refuses this

        def authenticates(head: RequestHead) -> bool:
            return token is not None and shows_bearer(head.headers.get("authorization"), token)

        return FrontDoor(
            app=Starlette(routes=[self._page.route(token)], exception_handlers=EXCEPTION_HANDLERS),
            websockets={},
            settings=attrs.evolve(
                settings,
                max_connections=min(settings.max_connections, MAX_CONNECTIONS),
                max_strangers=min(settings.max_strangers, MAX_CONNECTIONS),
                trusted_proxies=(),
            ),
            authenticates=authenticates,
            allowed_hosts=AllowedHosts() if loopback else None,
        )
