"""The whole server as one task tree.

``serve`` starts its parts in order. When it is cancelled from outside, or has drained, it
ends them in the opposite order. All parts run shielded from that cancellation, so peers can still
be told goodbye while rooms close. Each step of the shutdown has a deadline, and so has the shutdown
as a whole.

Each part gets its own record of ``Settings``. A value that follows from several records is computed
here.
"""

import itertools
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from meet_trio import ortc
from meet_trio.config import Settings, is_loopback
from meet_trio.console.call import Levels, ServerView
from meet_trio.console.server import Console, open_console_socket
from meet_trio.edge.addresses import address_key
from meet_trio.edge.allowed_hosts import AllowedHosts, host_name
from meet_trio.edge.authenticator import Authenticator
from meet_trio.edge.front_door import FrontDoor, Refusal
from meet_trio.edge.head import RequestHead
from meet_trio.edge.http_api import HttpApi
from meet_trio.edge.listener import open_listeners, tls_context
from meet_trio.edge.signaling import signaling_handler, signaling_paths
from meet_trio.edge.site import build_site
from meet_trio.edge.tokens import ApiTokens
from meet_trio.edge.webhooks import Outbox
from meet_trio.errors import ConfigError
from meet_trio.lag import LoopLag
from meet_trio.live.handlers import handle_event
from meet_trio.live.registry import Registry
from meet_trio.live.room import RoomContext
from meet_trio.media.announced import AnnouncedAddresses
from meet_trio.media.dtls import DtlsBridge, open_bridge
from meet_trio.media.engines import EngineHost, open_engine
from meet_trio.media.plain import PlainPorts
from meet_trio.media.turn import IceServers
from meet_trio.operator.drain import Drain
from meet_trio.operator.health import Health
from meet_trio.operator.quality import Quality
from meet_trio.operator.record_file import RecordFile
from meet_trio.reload import Reload
from meet_trio.socketio import Server as SocketServer

if TYPE_CHECKING:
    from meet_trio.operator.metrics_server import MetricsServer

_RESERVE = 0.2  # seconds of the shutdown that are kept for the steps after the outbox
_LAST_WEBHOOKS = 10.0  # seconds for webhooks once the server has drained


@attrs.frozen
class Running:
    """A server that has started. ``url`` is the URL of its HTTP side on this machine.
    ``metrics_port`` is that of the metrics' own listener, if there is one.
    """

    url: str
    port: int
    metrics_port: int | None
    registry: Registry
    bridge: DtlsBridge
    hosts: Sequence[EngineHost]
    health: Health
    drain: Drain
    reload: Reload
    quality: Quality | None


@attrs.frozen
class _Opened:
    """What the parts of the server use, and what is closed after all of them have ended."""

    listeners: Sequence[trio.SocketListener]
    metrics_listeners: Sequence[trio.SocketListener]
    console: socket.socket | None
    bridge: DtlsBridge
    hosts: Sequence[EngineHost]


async def serve(
    settings: Settings,
    *,
    levels: Levels | None = None,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server until cancelled, or until it has drained. ``task_status.started`` gets a
    ``Running``. ``levels`` are those of the log, for the console; None: it cannot change them.

    Raises ConfigError if it cannot listen on an address or cannot use a TLS file.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        running = await nursery.start(_serve_shielded, settings, levels, stop)
        task_status.started(running)
        try:
            await stop.wait()
        finally:
            stop.set()


async def _serve_shielded(
    settings: Settings,
    levels: Levels | None,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[Running],
) -> None:
    with trio.CancelScope(shield=True) as whole:
        async with AsyncExitStack() as stack:
            at = settings.listener
            listeners = await _listen(stack, at.host, at.port, "http.host, http.port")
            metrics_listeners: Sequence[trio.SocketListener] = []
            if settings.metrics.listen is not None:
                host, port = settings.metrics.listen
                metrics_listeners = await _listen(stack, host, port, "metrics.listen")
            bridge = await stack.enter_async_context(open_bridge())
            numbers = itertools.count(1)
            hosts = [
                await _open_host(stack, settings, index, numbers)
                for index in range(settings.media.workers)
            ]
            console = stack.enter_context(open_console_socket(settings.console))
            nursery = await stack.enter_async_context(trio.open_nursery())
            opened = _Opened(listeners, metrics_listeners, console, bridge, hosts)
            await _run_parts(settings, levels, opened, nursery, stop, whole, task_status)
            nursery.cancel_scope.cancel()


async def _listen(
    stack: AsyncExitStack, host: str, port: int, names: str
) -> Sequence[trio.SocketListener]:
    listeners = await open_listeners(host, port, names)
    for listener in listeners:
        stack.push_async_callback(listener.aclose)
    return listeners


def _port(listeners: Sequence[trio.SocketListener]) -> int | None:
    return listeners[0].socket.getsockname()[1] if listeners else None


async def _run_parts(
    settings: Settings,
    levels: Levels | None,
    opened: _Opened,
    nursery: trio.Nursery,
    stop: trio.Event,
    whole: trio.CancelScope,
    task_status: trio.TaskStatus[Running],
) -> None:
    """Run outbox, front door and registry until ``stop`` is set. Returns when the rooms are closed
    and the outbox is drained. The front door still runs then, in ``nursery``.
    """
    port = opened.listeners[0].socket.getsockname()[1]
    outbox = Outbox(settings.webhook)
    ice_servers = IceServers(settings.turn)
    kept = settings.quality
    records = RecordFile(kept.file, kept.max_waiting) if kept.file is not None else None
    quality = None
    if kept.enabled:
        quality = Quality(kept, records.put if records is not None else _keep_nothing)
    registry = Registry(_room_context(settings, opened, outbox, ice_servers, quality))
    lag = LoopLag()
    health = Health(settings.health, registry, lag, outbox)
    drain = Drain(registry, settings.drain)
    tokens = ApiTokens(settings.api)
    api = HttpApi(
        registry,
        lag,
        tokens,
        health.reasons,
        settings.api,
        token_base=settings.listener.token_base(port),
        max_json_depth=settings.sockets.max_json_depth,
    )
    sockets = SocketServer(
        settings.sockets, {"/": signaling_handler(registry)}, client_key=address_key
    )
    paths = signaling_paths(settings.api.path_prefix)
    metrics = _metrics(settings, registry, lag, outbox, lambda: door.connections)
    authenticator = Authenticator(
        registry,
        tokens,
        api.path,
        paths,
        has_session=sockets.has_session,
        bearer_tokens=metrics.bearer_tokens() if metrics else {},
    )
    site = settings.site
    door = FrontDoor(
        app=build_site(
            api,
            sockets.asgi,
            paths,
            page=site.serves_page,
            demo=site.demo,
            more=metrics.routes() if metrics else (),
        ),
        websockets=dict.fromkeys(paths, partial(_serve_websocket, sockets)),
        settings=settings.front_door,
        allowed_hosts=_demo_hosts(settings),
        tls=tls_context(settings.listener),
        authenticates=authenticator.authenticates,
        refusal=partial(_refusal, authenticator, sockets),
    )
    reload = Reload(
        settings,
        door,
        [
            partial(_replace_rooms_settings, registry),
            partial(_replace_records, ice_servers, tokens, outbox, health, drain),
            partial(_replace_api_settings, api, port),
            lambda settings: sockets.allow_origins(settings.sockets.origins),
        ],
    )
    await nursery.start(lag.run)
    await nursery.start(outbox.run)
    if records is not None:
        await nursery.start(records.run)
    if quality is not None:
        nursery.start_soon(quality.run, registry.rooms)
    await nursery.start(sockets.run)
    await nursery.start(door.serve, opened.listeners)
    if metrics is not None and settings.metrics.listen is not None:
        loopback = is_loopback(settings.metrics.listen[0])
        metrics_door = metrics.own_door(settings.front_door, loopback=loopback)
        await nursery.start(metrics_door.serve, opened.metrics_listeners)
    async with trio.open_nursery() as rooms:
        await rooms.start(registry.run)
        await rooms.start(health.run)
        rooms.start_soon(_stop_when_drained, drain, outbox, stop)
        if opened.console is not None:
            view = ServerView(
                registry=registry,
                levels=levels,
                drain=drain,
                reasons=health.reasons,
                settings=lambda: reload.settings,
                terminal=settings.console.terminal,
            )
            await nursery.start(Console(view, settings.console).serve, opened.console)
        task_status.started(
            Running(
                url=settings.listener.page_url(port),
                port=port,
                metrics_port=_port(opened.metrics_listeners),
                registry=registry,
                bridge=opened.bridge,
                hosts=opened.hosts,
                health=health,
                drain=drain,
                reload=reload,
                quality=quality,
            )
        )
        nursery.start_soon(opened.bridge.run)
        await stop.wait()
        whole.deadline = trio.current_time() + settings.process.shutdown_timeout
        rooms.cancel_scope.cancel()
    async with trio.open_nursery() as last:  # a disk that hangs takes no time from the webhooks
        last.start_soon(outbox.drain, whole.deadline - _RESERVE)
        if records is not None:
            last.start_soon(records.drain, whole.deadline - _RESERVE)


async def _stop_when_drained(drain: Drain, outbox: Outbox, stop: trio.Event) -> None:
    """Nobody waits for the end of an empty server, so its last webhooks get more time than at other
    ends.
    """
    await drain.run()
    await outbox.drain(trio.current_time() + _LAST_WEBHOOKS)
    stop.set()


def _replace_rooms_settings(registry: Registry, settings: Settings) -> None:
    """Rooms made from now on get these settings, except that of plain RTP, which all get."""
    plain_ports = registry.context.plain_ports
    plain_ports.settings = settings.plain
    plain_ports.proxies = settings.front_door.trusted_proxies
    registry.context = attrs.evolve(
        registry.context,
        settings=settings.rooms,
        peer_settings=settings.peers,
        transport_settings=settings.transports,
        limits=settings.limits,
    )


def _replace_records(
    ice_servers: IceServers,
    tokens: ApiTokens,
    outbox: Outbox,
    health: Health,
    drain: Drain,
    settings: Settings,
) -> None:
    ice_servers.settings = settings.turn
    tokens.settings = settings.api
    outbox.settings = settings.webhook
    health.settings = settings.health
    drain.settings = settings.drain


def _replace_api_settings(api: HttpApi, port: int, settings: Settings) -> None:
    api.settings = settings.api
    api.token_base = settings.listener.token_base(port)


def _metrics(
    settings: Settings,
    registry: Registry,
    lag: LoopLag,
    outbox: Outbox,
    connections: Callable[[], int],
) -> "MetricsServer | None":
    if not settings.metrics.served:
        return None
    # prometheus_client is loaded only for those who want metrics.
    from meet_trio.operator.metrics import Metrics
    from meet_trio.operator.metrics_server import MetricsServer

    def webhooks() -> tuple[int, Mapping[str, int]]:
        return outbox.pending, outbox.results

    return MetricsServer(Metrics(registry, lag, webhooks, connections), settings.metrics.token)


def _keep_nothing(record: object) -> None:
    pass


async def _serve_websocket(sockets: SocketServer, stream: trio.abc.Stream, client: str) -> None:
    await sockets.serve_websocket_stream(stream, client=client)


def _refusal(
    authenticator: Authenticator, sockets: SocketServer, head: RequestHead
) -> Refusal | None:
    if not authenticator.refuses(head):
        return None
    target = f"{head.path}?{head.query}"
    return partial(sockets.refuse_websocket, target=target, headers=head.headers)


async def _open_host(
    stack: AsyncExitStack, settings: Settings, index: int, numbers: Iterator[int]
) -> EngineHost:
    engine = settings.engine
    if engine.port:
        engine = attrs.evolve(engine, port=engine.port + index)
    try:
        return await stack.enter_async_context(open_engine(engine, numbers))
    except OSError as error:
        raise ConfigError(
            f"media.listen_ip, media.port: cannot use {engine.listen_ips}:{engine.port}: {error}"
        ) from None


def _room_context(
    settings: Settings,
    opened: _Opened,
    outbox: Outbox,
    ice_servers: IceServers,
    quality: Quality | None = None,
) -> RoomContext:
    listen_ips = settings.engine.listen_ips
    return RoomContext(
        hosts=opened.hosts,
        bridge=opened.bridge,
        settings=settings.rooms,
        peer_settings=settings.peers,
        transport_settings=settings.transports,
        limits=settings.limits,
        # A peer that comes back is sent all that it missed. Its new socket must have room for it.
        max_backlog_bytes=settings.sockets.max_outbox_bytes,
        goodbye_timeout=settings.process.goodbye_timeout,
        ice_servers=ice_servers,
        announced=AnnouncedAddresses(settings.media.announced_address, listen_ips),
        plain_ports=PlainPorts(settings.plain, listen_ips, settings.front_door.trusted_proxies),
        router_capabilities=ortc.router_capabilities(),
        handle=handle_event,
        webhook=outbox.put,
        recorder=quality,
    )


def _demo_hosts(settings: Settings) -> AllowedHosts | None:
    """The hosts that requests must name in demo mode. None outside of demo mode: any host."""
    if not settings.site.demo:
        return None
    public = settings.listener.public_domain
    names = frozenset({host_name(public)}) if public else frozenset[str]()
    return AllowedHosts(names, remote=settings.site.demo_allow_remote)
