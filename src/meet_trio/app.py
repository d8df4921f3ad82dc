"""The whole server as one task tree.

``serve`` takes over what the process before has left, lets the engines begin, and only then loads
and starts the rest, in order. When it is cancelled from outside, or has drained, it ends the parts
in the opposite order. All parts run shielded from that cancellation, so peers can still be told
goodbye while rooms close. Each step of the shutdown has a deadline, and so has the shutdown as a
whole.
"""

import itertools
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import attrs
import trio

from meet_trio.config import Settings
from meet_trio.console.call import Levels
from meet_trio.console.listener import open_console_socket
from meet_trio.continuity import Continuity, open_continuity
from meet_trio.edge.listener import open_listeners
from meet_trio.edge.webhooks import Outbox
from meet_trio.errors import ConfigError
from meet_trio.journal.directory import server_name
from meet_trio.kept_sockets import KeptSockets
from meet_trio.live.registry import Registry
from meet_trio.live.restore import restore_rooms
from meet_trio.live.room import LiveRoom
from meet_trio.media.dtls import DtlsBridge, open_bridge
from meet_trio.media.engines import EngineHost, open_engine, tell_cipher
from meet_trio.media.records import IdentityRecord
from meet_trio.meetings import Meetings, Opened
from meet_trio.operator.drain import Drain
from meet_trio.operator.health import Health
from meet_trio.operator.quality import Quality
from meet_trio.records import key_text

if TYPE_CHECKING:
    from meet_trio.operator.metrics_server import MetricsServer
    from meet_trio.parts import Parts
    from meet_trio.redis_state.holder import LeaseHolder
    from meet_trio.reload import Reload

logger = logging.getLogger("meet_trio.app")

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
    reload: "Reload"
    quality: Quality
    metrics: "MetricsServer"


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
        nursery.start_soon(_set_when_cancelled, stop)
        running = await nursery.start(
            _serve_shielded, settings, levels, kept or KeptSockets(), stop
        )
        task_status.started(running)
        await stop.wait()
        nursery.cancel_scope.cancel()


async def _set_when_cancelled(stop: trio.Event) -> None:
    """A cancellation may come while the server starts: ``Nursery.start`` hides it until then."""
    try:
        await trio.sleep_forever()
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
            opened = await _open(stack, settings, kept, whole)
            async with trio.open_nursery() as nursery:
                if opened.holder is not None:
                    await nursery.start(opened.holder.run)
                meetings = Meetings.make(settings, opened)
                resumed = await _resume(opened, meetings.registry)
                parts = _make_parts(settings, levels, opened, meetings)
                await _start(parts, nursery)
                async with trio.open_nursery() as rooms:
                    await _start_rooms(parts, nursery, rooms, stop)
                    await parts.registry.go_on(resumed)
                    await _open_doors(parts, nursery)
                    task_status.started(_running(settings, parts))
                    await stop.wait()
                    whole.deadline = trio.current_time() + settings.process.shutdown_timeout
                    rooms.cancel_scope.cancel()
                await _drain_queues(parts, whole.deadline - _RESERVE)
                nursery.cancel_scope.cancel()
            opened.continuity.end()
            if opened.holder is not None:
                await opened.holder.give_up()


async def _open(
    stack: AsyncExitStack, settings: Settings, kept: KeptSockets, whole: trio.CancelScope
) -> Opened:
    """Open what ``stack`` closes. ``whole`` can be cancelled while a standby waits."""
    at, free = settings.listener, settings.redis.standby
    listeners = await _listen(stack, at.host, at.port, "http.host, http.port", kept, "http", free)
    metrics_listeners: Sequence[trio.SocketListener] = []
    if settings.metrics.listen is not None:
        host, port = settings.metrics.listen
        metrics_listeners = await _listen(
            stack, host, port, "metrics.listen", kept, "metrics", free
        )
    server = server_name(at.host, listeners[0].socket.getsockname()[1])
    grace = settings.peers.reconnect_grace
    continuity = stack.enter_context(open_continuity(settings.state, kept, server, grace))
    holder = None
    if settings.redis.url is not None:
        whole.shield = False
        holder = await _take_lease(settings, continuity, server)
        whole.shield = True
    bridge = await stack.enter_async_context(open_bridge())
    numbers = itertools.count(continuity.first_number)
    hosts = [
        await _open_host(stack, settings, index, numbers, continuity)
        for index in range(settings.media.workers)
    ]
    tell_cipher(settings.engine)
    console = stack.enter_context(open_console_socket(settings.console, kept))
    if holder is not None:
        holder.hosts = hosts
    return Opened(listeners, metrics_listeners, console, bridge, hosts, continuity, holder)


async def _take_lease(settings: Settings, continuity: Continuity, server: str) -> "LeaseHolder":
    """Wait until this server may run, and take what another machine has left."""
    # Imported here: few servers have a Redis, and those have the time.
    from meet_trio.redis_state.candidate import Candidate
    from meet_trio.redis_state.holder import LeaseHolder
    from meet_trio.redis_state.sealing import Sealer

    assert settings.redis.secret is not None
    sealer = Sealer(settings.redis.secret, server)
    before = continuity.owner_before if continuity.entries else ""
    owner = secrets.token_hex(16)
    taken = await Candidate(settings.redis, sealer, owner, before, _load_rest).acquire()
    continuity.write_owner(owner)
    if not taken.local and not continuity.sockets.clean_start:
        continuity.go_on_from(taken.entries, taken.engines)
    holder = LeaseHolder(settings.redis, sealer, owner, before, taken)
    continuity.redis = holder.store
    return holder


def _load_rest() -> None:
    """While it waits, a standby has the time that nobody has after a takeover."""
    import meet_trio.parts  # noqa: F401


async def _listen(
    stack: AsyncExitStack,
    host: str,
    port: int,
    names: str,
    kept: KeptSockets,
    part: str,
    free: bool,
) -> Sequence[trio.SocketListener]:
    listeners = await open_listeners(host, port, names, kept, part, free=free)
    for listener in listeners:
        stack.push_async_callback(listener.aclose)
    return listeners


async def _open_host(
    stack: AsyncExitStack,
    settings: Settings,
    index: int,
    numbers: Iterator[int],
    continuity: Continuity,
) -> EngineHost:
    engine = settings.engine
    if engine.port:
        engine = attrs.evolve(engine, port=engine.port + index)
    if settings.redis.standby:
        engine = attrs.evolve(engine, free_bind=True)
    region = continuity.open_region(index)
    sockets = continuity.take_sockets(index, engine)
    try:
        host = await stack.enter_async_context(
            open_engine(engine, numbers, index, sockets=sockets, region=region, held=True)
        )
    except OSError as error:
        where = f"{', '.join(engine.listen_ips)} port {engine.port}"
        raise ConfigError(f"media.listen_ip, media.port: cannot use {where}: {error}") from None
    finally:
        if region >= 0:
            os.close(region)
    if not sockets:
        continuity.keep_sockets(index, host.engine.sockets)
    return host


async def _resume(opened: Opened, registry: Registry) -> Sequence[LiveRoom]:
    """The rooms of the process before, whose engines begin now."""
    continuity, context = opened.continuity, registry.context
    rooms: Sequence[LiveRoom] = ()
    if continuity.entries:
        addresses = await context.announced.current()
        rooms = restore_rooms(
            continuity.entries, continuity.engines, addresses, context, exact=continuity.exact
        )
        for room in rooms:
            room.keeper.write()
        logger.info("%d rooms of the process before go on", len(rooms))
    continuity.sockets.close_rest()
    continuity.commit()
    if opened.holder is not None:
        opened.holder.ready()
    for host in opened.hosts:
        host.engine.begin()
    return rooms


def _make_parts(
    settings: Settings, levels: Levels | None, opened: Opened, meetings: Meetings
) -> "Parts":
    # Imported here: no packet of the rooms that go on waits for it, a third of the time of a start.
    from meet_trio.parts import Parts

    return Parts(settings, levels, opened, meetings)


async def _start(parts: "Parts", nursery: trio.Nursery) -> None:
    """Start what still runs while the rooms close."""
    await nursery.start(parts.lag.run)
    await nursery.start(parts.meetings.outbox.run)
    await nursery.start(parts.meetings.records.run)
    if parts.opened.continuity.journal is not None:
        await nursery.start(parts.opened.continuity.journal.run)
    if parts.opened.continuity.store is not None:
        nursery.start_soon(_keep_identity, parts)
    nursery.start_soon(parts.meetings.quality.run, parts.registry.rooms)
    await nursery.start(parts.sockets.run)


async def _open_doors(parts: "Parts", nursery: trio.Nursery) -> None:
    """Clients that come back find their rooms, so these run before."""
    await nursery.start(parts.door.serve, parts.opened.listeners)
    if parts.metrics_door is not None:
        await nursery.start(parts.metrics_door.serve, parts.opened.metrics_listeners)


async def _start_rooms(
    parts: "Parts", nursery: trio.Nursery, rooms: trio.Nursery, stop: trio.Event
) -> None:
    """Start the registry and what looks after it. The bridge and the console outlive it."""
    await rooms.start(parts.registry.run)
    await rooms.start(parts.health.run)
    rooms.start_soon(_stop_when_drained, parts.drain, parts.meetings.outbox, stop)
    if parts.console is not None:
        assert parts.opened.console is not None
        await nursery.start(parts.console.serve, parts.opened.console)
    nursery.start_soon(parts.opened.bridge.run)


async def _keep_identity(parts: "Parts") -> None:
    """Clients may use the certificate's fingerprint in a later process."""
    continuity, bridge = parts.opened.continuity, parts.opened.bridge
    await trio.to_thread.run_sync(continuity.wipe_before)
    await bridge.loaded()
    record = IdentityRecord(bridge.pem)
    assert continuity.store is not None
    continuity.store.put(key_text(record.key), record.to_json())


def _running(settings: Settings, parts: "Parts") -> Running:
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
        quality=parts.meetings.quality,
        metrics=parts.metrics,
    )


async def _stop_when_drained(drain: Drain, outbox: Outbox, stop: trio.Event) -> None:
    """Nobody waits for the end of an empty server, so its last webhooks get more time than at other
    ends.
    """
    await drain.run()
    await outbox.drain(trio.current_time() + _LAST_WEBHOOKS)
    stop.set()


async def _drain_queues(parts: "Parts", deadline: float) -> None:
    """At once: a disk that hangs takes no time from the webhooks."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(parts.meetings.outbox.drain, deadline)
        nursery.start_soon(parts.meetings.records.drain, deadline)
