"""The parts around the meetings of a server: each is made from its record of ``Settings`` and gets
the parts that it uses. Nothing runs yet, and nothing here awaits; ``app`` runs them.

A value that follows from several records is computed here. So is what a reload puts in place of
them: each part takes the new record of its own.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from meet_trio.admin.access import Access
from meet_trio.admin.api import Calls
from meet_trio.admin.server import AdminServer
from meet_trio.config import Settings, is_loopback
from meet_trio.console.call import Levels, ServerView
from meet_trio.console.server import Console
from meet_trio.edge.addresses import address_key
from meet_trio.edge.allowed_hosts import AllowedHosts, host_name
from meet_trio.edge.authenticator import Authenticator
from meet_trio.edge.front_door import FrontDoor, Refusal
from meet_trio.edge.head import RequestHead
from meet_trio.edge.http_api import HttpApi
from meet_trio.edge.listener import tls_context
from meet_trio.edge.settings import HttpApiSettings
from meet_trio.edge.signaling import signaling_handler, signaling_paths
from meet_trio.edge.site import build_site
from meet_trio.edge.tokens import ApiTokens
from meet_trio.lag import LoopLag
from meet_trio.meetings import Meetings, Opened
from meet_trio.operator.drain import Drain
from meet_trio.operator.health import Health
from meet_trio.operator.metrics_server import MetricsServer
from meet_trio.reload import Reload
from meet_trio.socketio import Server as SocketServer
from meet_trio.socketio.moved import MovedWebSocket
from meet_trio.upgrade.handover import Upgrade

if TYPE_CHECKING:
    from meet_trio.operator.metrics_page import MetricsPage


class Parts:
    """The parts of one server. ``None``: the settings do not ask for it."""

    def __init__(
        self, settings: Settings, levels: Levels | None, opened: Opened, meetings: Meetings
    ) -> None:
        self.opened = opened
        self.meetings = meetings
        self.registry = meetings.registry
        self.lag = LoopLag()
        self.health = Health(settings.health, self.registry, self.lag, meetings.outbox)
        self.drain = Drain(self.registry, settings.drain, opened.continuity.store)
        self.tokens = ApiTokens(settings.api)
        self.api = HttpApi(
            self.registry,
            self.lag,
            self.tokens,
            self.health.reasons,
            settings.api,
            token_base=settings.listener.token_base(opened.port),
            max_json_depth=settings.sockets.max_json_depth,
        )
        self.sockets = SocketServer(
            settings.sockets, {"/": signaling_handler(self.registry)}, client_key=address_key
        )
        self.metrics = MetricsServer(settings.metrics, self._load_metrics)
        self.access = Access(settings.admin, secure=lambda: self.reload.settings.listener.secure)
        self.admin = self._make_admin(settings)
        self.authenticator = Authenticator(
            self.registry,
            self.tokens,
            self.api.path,
            signaling_paths(settings.api.path_prefix),
            has_session=self.sockets.has_session,
            bearer_tokens=self.metrics.bearer_tokens(),
            admin=self.admin.authenticates,
        )
        self.door = self._make_door(settings)
        self.metrics_door = self._make_metrics_door(settings)
        self.reload = Reload(settings, self.door, [self._replace], [self._check])
        self.upgrade = self._make_upgrade(settings)
        self.console = self._make_console(settings, levels)

    def _load_metrics(self) -> "MetricsPage":
        # prometheus_client is loaded only for those who want metrics.
        from meet_trio.operator.metrics import Metrics
        from meet_trio.operator.metrics_page import MetricsPage

        def webhooks() -> tuple[int, Mapping[str, int]]:
            return self.meetings.outbox.pending, self.meetings.outbox.results

        metrics = Metrics(self.registry, self.lag, webhooks, lambda: self.door.connections)
        return MetricsPage(metrics.gather)

    def _make_admin(self, settings: Settings) -> AdminServer:
        path, health = settings.admin.path, self.health
        return AdminServer(
            Calls(self.access, path, self.registry, self.drain, self.lag, health.reasons)
        )

    def _make_door(self, settings: Settings) -> FrontDoor:
        paths, authenticator = signaling_paths(settings.api.path_prefix), self.authenticator
        site = build_site(
            self.api,
            self.sockets.asgi,
            paths,
            page=settings.site.serves_page,
            demo=settings.site.demo,
            more=[*self.admin.routes(), *self.metrics.routes()],
        )
        return FrontDoor(
            app=site,
            websockets=dict.fromkeys(paths, partial(_serve_websocket, self.sockets)),
            settings=settings.front_door,
            allowed_hosts=demo_hosts(settings),
            tls=tls_context(settings.listener),
            authenticates=authenticator.authenticates,
            refusal=partial(_refusal, authenticator, self.sockets),
            move=partial(_move_websocket, self.sockets),
            serve_moved=partial(_serve_moved, self.sockets),
        )

    def _make_metrics_door(self, settings: Settings) -> FrontDoor | None:
        if settings.metrics.listen is None:
            return None
        loopback = is_loopback(settings.metrics.listen[0])
        return self.metrics.own_door(settings.front_door, loopback=loopback)

    def _make_upgrade(self, settings: Settings) -> Upgrade:
        return Upgrade(
            settings.upgrade,
            self.opened.continuity,
            self.registry,
            self.drain,
            self.opened.bridge,
            self.opened.hosts,
            self.door,
            lambda: self.sockets.polls,
        )

    def _make_console(self, settings: Settings, levels: Levels | None) -> Console | None:
        if self.opened.console is None:
            return None
        view = ServerView(
            registry=self.registry,
            levels=levels,
            drain=self.drain,
            reasons=self.health.reasons,
            settings=lambda: self.reload.settings,
            upgrade=self.upgrade.run,
            terminal=settings.console.terminal,
        )
        return Console(view, settings.console)

    def take_api(self, settings: HttpApiSettings) -> None:
        """Take the settings of the API with the token that is in force."""
        self.reload.settings = attrs.evolve(self.reload.settings, api=settings)
        self.tokens.settings = settings
        self.api.settings = settings

    def _check(self, settings: Settings) -> None:
        """In a thread, before a reload: raises ConfigError if something cannot be used."""
        self.meetings.records.check(settings.quality.file)

    def _replace(self, settings: Settings) -> None:
        """Take other settings while running. The front door has taken its own already."""
        self.meetings.replace(settings)
        self.metrics.settings = settings.metrics
        self.authenticator.bearer_tokens = self.metrics.bearer_tokens()
        self.take_api(settings.api)
        self.health.settings = settings.health
        self.drain.settings = settings.drain
        self.upgrade.settings = settings.upgrade
        self.api.token_base = settings.listener.token_base(self.opened.port)
        self.sockets.allow_origins(settings.sockets.origins)
        self.access.replace(settings.admin)


def demo_hosts(settings: Settings) -> AllowedHosts | None:
    """The hosts that requests must name in demo mode. None outside of demo mode: any host."""
    if not settings.site.demo:
        return None
    public = settings.listener.public_domain
    names = frozenset({host_name(public)}) if public else frozenset[str]()
    return AllowedHosts(names, remote=settings.site.demo_allow_remote)


def _move_websocket(sockets: SocketServer, stream: trio.abc.Stream) -> Mapping[str, object] | None:
    moved = sockets.move(stream)
    return None if moved is None else moved.to_json()


async def _serve_moved(
    sockets: SocketServer, stream: trio.abc.Stream, moved: Mapping[str, object]
) -> None:
    await sockets.serve_moved(stream, MovedWebSocket.from_json(moved))


async def _serve_websocket(
    sockets: SocketServer, stream: trio.abc.Stream, head: RequestHead, client: str
) -> None:
    await sockets.serve_websocket(stream, head.target, head.headers, client=client)


def _refusal(
    authenticator: Authenticator, sockets: SocketServer, head: RequestHead
) -> Refusal | None:
    if not authenticator.refuses(head):
        return None
    return partial(sockets.refuse_websocket, target=head.target, headers=head.headers)
