"""The whole server as one task tree: ``serve`` for callers that have a nursery, ``run`` for the
command line.

``serve`` starts its parts in order. When it is cancelled from outside, it ends them in the opposite
order. All parts run shielded from that cancellation, so peers can still be told goodbye while rooms
close. Each step of the shutdown has a deadline, and so has the shutdown as a whole.

Each part gets its own record of ``Settings``. A value that follows from several records is computed
here.
"""

import itertools
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial

import attrs
import trio

from meet_trio import collector, ortc
from meet_trio.config import Settings
from meet_trio.edge.addresses import address_key
from meet_trio.edge.allowed_hosts import AllowedHosts, host_name
from meet_trio.edge.authenticator import Authenticator
from meet_trio.edge.front_door import FrontDoor, Refusal
from meet_trio.edge.head import RequestHead
from meet_trio.edge.http_api import HttpApi
from meet_trio.edge.listener import open_listeners, tls_context
from meet_trio.edge.signaling import signaling_handler, signaling_paths
from meet_trio.edge.site import build_site
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
from meet_trio.media.settings import TurnSettings
from meet_trio.media.turn import turn_credentials
from meet_trio.operator.quality import Quality
from meet_trio.operator.record_file import RecordFile
from meet_trio.socketio import Server as SocketServer

_RESERVE = 0.2  # seconds of the shutdown that are kept for the steps after the outbox


@attrs.frozen
class Running:
    """A server that has started. ``url`` is the URL of its HTTP side on this machine."""

    url: str
    port: int
    registry: Registry
    bridge: DtlsBridge
    hosts: Sequence[EngineHost]
    quality: Quality | None


async def serve(
    settings: Settings, *, task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a server until cancelled. ``task_status.started`` gets a ``Running``.

    Raises ConfigError if it cannot listen on an address or cannot use a TLS file.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        running = await nursery.start(_serve_shielded, settings, stop)
        task_status.started(running)
        try:
            await trio.sleep_forever()
        finally:
            stop.set()


def run(settings: Settings, *, started: Callable[[Running], None] = lambda running: None) -> None:
    """Run a server until SIGINT or SIGTERM. ``started`` is called once it listens."""
    trio.run(partial(_run, settings, started))


async def _run(settings: Settings, started: Callable[[Running], None]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            running = await nursery.start(serve, settings)
            await nursery.start(collector.run)
            started(running)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break


async def _serve_shielded(
    settings: Settings, stop: trio.Event, *, task_status: trio.TaskStatus[Running]
) -> None:
    with trio.CancelScope(shield=True) as whole:
        async with AsyncExitStack() as stack:
            listeners = await open_listeners(settings.listener)
            for listener in listeners:
                stack.push_async_callback(listener.aclose)
            bridge = await stack.enter_async_context(open_bridge())
            numbers = itertools.count(1)
            hosts = [
                await _open_host(stack, settings, index, numbers)
                for index in range(settings.media.workers)
            ]
            nursery = await stack.enter_async_context(trio.open_nursery())
            await _run_parts(settings, listeners, bridge, hosts, nursery, stop, whole, task_status)
            nursery.cancel_scope.cancel()


async def _run_parts(
    settings: Settings,
    listeners: Sequence[trio.SocketListener],
    bridge: DtlsBridge,
    hosts: Sequence[EngineHost],
    nursery: trio.Nursery,
    stop: trio.Event,
    whole: trio.CancelScope,
    task_status: trio.TaskStatus[Running],
) -> None:
    """Run outbox, front door and registry until ``stop`` is set. Returns when the rooms are closed
    and the outbox is drained. The front door still runs then, in ``nursery``.
    """
    port = listeners[0].socket.getsockname()[1]
    outbox = Outbox(settings.webhook)
    kept = settings.quality
    records = RecordFile(kept.file, kept.max_waiting) if kept.file is not None else None
    quality = None
    if kept.enabled:
        quality = Quality(kept, records.put if records is not None else _keep_nothing)
    registry = Registry(_room_context(settings, hosts, bridge, outbox, quality))
    lag = LoopLag()
    api = HttpApi(
        registry,
        lag,
        settings.api,
        token_base=settings.listener.token_base(port),
        max_json_depth=settings.sockets.max_json_depth,
    )
    sockets = SocketServer(
        settings.sockets, {"/": signaling_handler(registry)}, client_key=address_key
    )
    paths = signaling_paths(settings.api.path_prefix)
    authenticator = Authenticator(
        registry, settings.api.auth_token, api.path, paths, has_session=sockets.has_session
    )
    site = settings.site
    door = FrontDoor(
        app=build_site(api, sockets.asgi, paths, page=site.serves_page, demo=site.demo),
        websockets=dict.fromkeys(paths, partial(_serve_websocket, sockets)),
        settings=settings.front_door,
        allowed_hosts=_demo_hosts(settings),
        tls=tls_context(settings.listener),
        authenticates=authenticator.authenticates,
        refusal=partial(_refusal, authenticator, sockets),
    )
    await nursery.start(lag.run)
    await nursery.start(outbox.run)
    if records is not None:
        await nursery.start(records.run)
    if quality is not None:
        nursery.start_soon(quality.run, registry.rooms)
    await nursery.start(sockets.run)
    await nursery.start(door.serve, listeners)
    async with trio.open_nursery() as rooms:
        await rooms.start(registry.run)
        task_status.started(
            Running(settings.listener.page_url(port), port, registry, bridge, hosts, quality)
        )
        await stop.wait()
        whole.deadline = trio.current_time() + settings.process.shutdown_timeout
        rooms.cancel_scope.cancel()
    if records is not None:
        await records.drain(whole.deadline - _RESERVE)
    await outbox.drain(whole.deadline - _RESERVE)


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
    hosts: Sequence[EngineHost],
    bridge: DtlsBridge,
    outbox: Outbox,
    quality: Quality | None = None,
) -> RoomContext:
    listen_ips = settings.engine.listen_ips
    return RoomContext(
        hosts=hosts,
        bridge=bridge,
        settings=settings.rooms,
        peer_settings=settings.peers,
        transport_settings=settings.transports,
        limits=settings.limits,
        # A peer that comes back is sent all that it missed. Its new socket must have room for it.
        max_backlog_bytes=settings.sockets.max_outbox_bytes,
        goodbye_timeout=settings.process.goodbye_timeout,
        ice_servers=partial(_ice_servers, settings.turn),
        announced=AnnouncedAddresses(settings.media.announced_address, listen_ips),
        plain_ports=PlainPorts(settings.plain, listen_ips, settings.front_door.trusted_proxies),
        router_capabilities=ortc.router_capabilities(),
        handle=handle_event,
        webhook=outbox.put,
        recorder=quality,
    )


def _ice_servers(turn: TurnSettings, peer_id: str, now: float) -> list[dict[str, object]] | None:
    if turn.server is None:
        return None
    server: dict[str, object] = {"urls": [turn.server]}
    if turn.static_secret is not None:
        username, credential = turn_credentials(
            turn.static_secret, peer_id, now, int(turn.credential_lifetime)
        )
        server |= {"username": username, "credential": credential}
    return [server]


def _demo_hosts(settings: Settings) -> AllowedHosts | None:
    """The hosts that requests must name in demo mode. None outside of demo mode: any host."""
    if not settings.site.demo:
        return None
    public = settings.listener.public_domain
    names = frozenset({host_name(public)}) if public else frozenset[str]()
    return AllowedHosts(names, remote=settings.site.demo_allow_remote)
