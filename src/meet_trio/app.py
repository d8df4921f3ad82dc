"""The whole server as one task tree.

``serve`` starts the ``Parts`` of the server in order. When it is cancelled from outside, or has
drained, it ends them in the opposite order. All parts run shielded from that cancellation, so peers
can still be told goodbye while rooms close. Each step of the shutdown has a deadline, and so has
the shutdown as a whole.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

import attrs
import trio

from meet_trio.config import Settings
from meet_trio.console.call import Levels
from meet_trio.console.server import open_console_socket
from meet_trio.edge.listener import open_listeners
from meet_trio.edge.webhooks import Outbox
from meet_trio.errors import ConfigError
from meet_trio.kept_sockets import KeptSockets
from meet_trio.live.registry import Registry
from meet_trio.media.dtls import DtlsBridge, open_bridge
from meet_trio.media.engines import EngineHost, open_engine, tell_cipher
from meet_trio.operator.drain import Drain
from meet_trio.operator.health import Health
from meet_trio.operator.metrics_server import MetricsServer
from meet_trio.operator.quality import Quality
from meet_trio.parts import Opened, Parts
from meet_trio.reload import Reload

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
    quality: Quality
    metrics: MetricsServer


async def serve(
    settings: Settings,
    *,
    levels: Levels | None = None,
    kept: KeptSockets | None = None,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server until cancelled, or until it has drained. ``task_status.started`` gets a
    ``Running``. ``levels`` are those of the log, for the console; None: it cannot change them.
    ``kept``: the sockets that outlive the process.

    Raises ConfigError if it cannot listen on an address or cannot use a TLS file.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        running = await nursery.start(
            _serve_shielded, settings, levels, kept or KeptSockets(), stop
        )
        task_status.started(running)
        try:
            await stop.wait()
        finally:
            stop.set()


async def _serve_shielded(
    settings: Settings,
    levels: Levels | None,
    kept: KeptSockets,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[Running],
) -> None:
    with trio.CancelScope(shield=True) as whole:
        async with AsyncExitStack() as stack:
            opened = await _open(stack, settings, kept)
            kept.close_rest()
            async with trio.open_nursery() as nursery:
                parts = Parts(settings, levels, opened)
                await _start(parts, nursery)
                async with trio.open_nursery() as rooms:
                    await _start_rooms(parts, nursery, rooms, stop)
                    task_status.started(_running(settings, parts))
                    await stop.wait()
                    whole.deadline = trio.current_time() + settings.process.shutdown_timeout
                    rooms.cancel_scope.cancel()
                await _drain_queues(parts, whole.deadline - _RESERVE)
                nursery.cancel_scope.cancel()


async def _open(stack: AsyncExitStack, settings: Settings, kept: KeptSockets) -> Opened:
    """Open what ``stack`` closes."""
    at = settings.listener
    listeners = await _listen(stack, at.host, at.port, "http.host, http.port", kept, "http")
    metrics_listeners: Sequence[trio.SocketListener] = []
    if settings.metrics.listen is not None:
        host, port = settings.metrics.listen
        metrics_listeners = await _listen(stack, host, port, "metrics.listen", kept, "metrics")
    bridge = await stack.enter_async_context(open_bridge())
    numbers = itertools.count(1)
    hosts = [
        await _open_host(stack, settings, index, numbers) for index in range(settings.media.workers)
    ]
    tell_cipher(settings.engine)
    console = stack.enter_context(open_console_socket(settings.console, kept))
    return Opened(listeners, metrics_listeners, console, bridge, hosts)


async def _listen(
    stack: AsyncExitStack, host: str, port: int, names: str, kept: KeptSockets, part: str
) -> Sequence[trio.SocketListener]:
    listeners = await open_listeners(host, port, names, kept, part)
    for listener in listeners:
        stack.push_async_callback(listener.aclose)
    return listeners


async def _open_host(
    stack: AsyncExitStack, settings: Settings, index: int, numbers: Iterator[int]
) -> EngineHost:
    engine = settings.engine
    if engine.port:
        engine = attrs.evolve(engine, port=engine.port + index)
    try:
        return await stack.enter_async_context(open_engine(engine, numbers))
    except OSError as error:
        where = f"{', '.join(engine.listen_ips)} port {engine.port}"
        raise ConfigError(f"media.listen_ip, media.port: cannot use {where}: {error}") from None


async def _start(parts: Parts, nursery: trio.Nursery) -> None:
    """Start what still runs while the rooms close: queues, sockets, front doors, in this order."""
    await nursery.start(parts.lag.run)
    await nursery.start(parts.outbox.run)
    await nursery.start(parts.records.run)
    nursery.start_soon(parts.quality.run, parts.registry.rooms)
    await nursery.start(parts.sockets.run)
    await nursery.start(parts.door.serve, parts.opened.listeners)
    if parts.metrics_door is not None:
        await nursery.start(parts.metrics_door.serve, parts.opened.metrics_listeners)


async def _start_rooms(
    parts: Parts, nursery: trio.Nursery, rooms: trio.Nursery, stop: trio.Event
) -> None:
    """Start the registry and what looks after it. The bridge and the console outlive it."""
    await rooms.start(parts.registry.run)
    await rooms.start(parts.health.run)
    rooms.start_soon(_stop_when_drained, parts.drain, parts.outbox, stop)
    if parts.console is not None:
        assert parts.opened.console is not None
        await nursery.start(parts.console.serve, parts.opened.console)
    nursery.start_soon(parts.opened.bridge.run)


def _running(settings: Settings, parts: Parts) -> Running:
    opened = parts.opened
    metrics = opened.metrics_listeners
    return Running(
        url=settings.listener.page_url(opened.port),
        port=opened.port,
        metrics_port=metrics[0].socket.getsockname()[1] if metrics else None,
        registry=parts.registry,
        bridge=opened.bridge,
        hosts=opened.hosts,
        health=parts.health,
        drain=parts.drain,
        reload=parts.reload,
        quality=parts.quality,
        metrics=parts.metrics,
    )


async def _stop_when_drained(drain: Drain, outbox: Outbox, stop: trio.Event) -> None:
    """Nobody waits for the end of an empty server, so its last webhooks get more time than at other
    ends.
    """
    await drain.run()
    await outbox.drain(trio.current_time() + _LAST_WEBHOOKS)
    stop.set()


async def _drain_queues(parts: Parts, deadline: float) -> None:
    """At once: a disk that hangs takes no time from the webhooks."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(parts.outbox.drain, deadline)
        nursery.start_soon(parts.records.drain, deadline)
