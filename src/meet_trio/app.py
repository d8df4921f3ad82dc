"""The whole server as one task tree.

``serve`` takes over what the process before has left, lets the engines begin, and only then loads
and starts the rest, in order. When it is cancelled from outside, or has drained, it ends the parts
in the opposite order. All parts run shielded from that cancellation, so peers can still be told
goodbye while rooms close. Each step of the shutdown has a deadline, and so has the shutdown as a
whole.
"""

import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from meet_trio.config import Settings
from meet_trio.console.call import Levels
from meet_trio.console.listener import open_console_socket
from meet_trio.continuity import Continuity, open_continuity
from meet_trio.edge.listener import open_listeners
from meet_trio.edge.moving import MovedConnection
from meet_trio.edge.webhooks import Outbox
from meet_trio.errors import ConfigError
from meet_trio.journal.directory import server_name
from meet_trio.journal.lease_note import NO_LEASE_BEFORE, LeaseBefore
from meet_trio.kept_sockets import KeptSockets
from meet_trio.live.registry import Registry
from meet_trio.live.restore import Restorer
from meet_trio.media.dtls import DtlsBridge, open_bridge
from meet_trio.media.engines import EngineHost, open_engine, tell_cipher
from meet_trio.media.records import IdentityRecord
from meet_trio.meetings import Meetings, Opened
from meet_trio.operator.drain import Drain
from meet_trio.operator.health import Health
from meet_trio.operator.quality import Quality
from meet_trio.records import key_text
from meet_trio.resume import ResumedServer, open_restorer, resume_meetings
from meet_trio.upgrade.takeover import Takeover, guarded

if TYPE_CHECKING:
    from meet_trio.operator.metrics_server import MetricsServer
    from meet_trio.parts import Parts
    from meet_trio.redis_state.holder import LeaseHolder
    from meet_trio.reload import Reload
    from meet_trio.upgrade.handover import Upgrade

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
    upgrade: "Upgrade"


async def serve(
    settings: Settings,
    *,
    levels: Levels | None = None,
    kept: KeptSockets | None = None,
    takeover: Takeover | None = None,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server until cancelled, or until it has drained. ``task_status.started`` gets a
    ``Running``. ``levels`` are those of the log, for the console; None: it cannot change them.
    ``kept``: the sockets that outlive the process. ``takeover``: another process runs this server,
    and this one takes over from it.

    Raises ConfigError if it cannot listen on an address or cannot use a TLS file.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_set_when_cancelled, stop)
        running = await nursery.start(
            _serve_shielded, settings, levels, kept or KeptSockets(), takeover, stop
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
    takeover: Takeover | None,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[Running],
) -> None:
    with trio.CancelScope(shield=True) as whole:
        async with AsyncExitStack() as stack:
            with guarded(takeover):
                opened = await _open(stack, settings, kept, takeover, whole)
            async with trio.open_nursery() as nursery:
                moved: Sequence[MovedConnection] = ()
                meetings = Meetings.make(settings, opened)
                if takeover is None:
                    if opened.holder is not None:
                        await nursery.start(opened.holder.run)
                    restorer = await open_restorer(meetings, opened.continuity.entries)
                    resumed = _resume(settings, opened, meetings, restorer)
                    _begin(opened)
                    parts = _make_parts(settings, levels, opened, meetings)
                else:
                    with takeover.guard():
                        parts = _make_parts(settings, levels, opened, meetings)
                        opened.continuity.check_successor()
                        restorer = await open_restorer(meetings)
                        moved = await takeover.opened(
                            kept, partial(_prepare, opened.continuity, restorer)
                        )
                        lost = [*opened.continuity.read(settings.peers.reconnect_grace)]
                        resumed = _resume(settings, opened, meetings, restorer, lost)
                        takeover.check(lost, resumed.rooms)
                        await takeover.go(len(resumed.rooms))
                        kept.own()
                    if opened.holder is not None:
                        opened.holder.follow(opened.continuity.lease_before)
                    _begin(opened)
                    nursery.start_soon(takeover.follow_keeper)
                    if opened.holder is not None:
                        nursery.start_soon(opened.holder.run)
                parts.take_api(resumed.api)
                await _start(parts, nursery)
                async with trio.open_nursery() as rooms:
                    await _start_rooms(parts, nursery, rooms, stop)
                    await parts.registry.go_on(resumed.rooms)
                    parts.drain.resume(resumed.drain)
                    await _open_doors(parts, nursery)
                    for one in moved:
                        parts.door.adopt(one)
                    task_status.started(_running(settings, parts))
                    await stop.wait()
                    parts.upgrade.give_up()
                    whole.deadline = trio.current_time() + settings.process.shutdown_timeout
                    rooms.cancel_scope.cancel()
                await _drain_queues(parts, whole.deadline - _RESERVE)
                nursery.cancel_scope.cancel()
            opened.continuity.end()
            if opened.holder is not None:
                await opened.holder.give_up()


async def _open(
    stack: AsyncExitStack,
    settings: Settings,
    kept: KeptSockets,
    takeover: Takeover | None,
    whole: trio.CancelScope,
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
    lock = None if takeover is None else takeover.lock
    continuity = stack.enter_context(open_continuity(settings.state, kept, server, lock))
    if takeover is None:
        continuity.read(settings.peers.reconnect_grace)
    holder = None
    if settings.redis.url is not None:
        whole.shield = False
        waits = takeover is None
        holder = await _make_holder(stack, settings, continuity, server, waits=waits)
        whole.shield = True
    bridge = await stack.enter_async_context(open_bridge())
    numbers = iter(continuity.new_number, -1)
    hosts = [
        await _open_host(stack, settings, index, numbers, continuity)
        for index in range(settings.media.workers)
    ]
    tell_cipher(settings.engine)
    console = stack.enter_context(open_console_socket(settings.console, kept))
    if holder is not None:
        holder.hosts = hosts
    return Opened(listeners, metrics_listeners, console, bridge, hosts, continuity, holder)


async def _make_holder(
    stack: AsyncExitStack, settings: Settings, continuity: Continuity, server: str, *, waits: bool
) -> "LeaseHolder":
    """With ``waits`` it has waited until this server may run, and has taken what another machine
    has left.
    """
    # Imported here: few servers have a Redis, and those have the time.
    from meet_trio.journal.lease_note import LeaseNote
    from meet_trio.redis_state.candidate import Candidate, Taken
    from meet_trio.redis_state.holder import LeaseHolder
    from meet_trio.redis_state.sealing import Sealer

    assert settings.redis.secret is not None
    sealer = Sealer(settings.redis.secret, server)
    owner, before, taken = secrets.token_hex(16), continuity.lease_before, Taken()
    note = None
    if continuity.directory is not None:
        note = LeaseNote(continuity.directory.current)
        stack.callback(note.close)
        note.write(LeaseBefore((*before.owners, owner), before.until))
    if waits:
        waiting = Candidate(settings.redis, sealer, owner, before.owners, _load_rest)
        taken = await waiting.acquire()
    if not taken.local and not continuity.sockets.clean_start:
        continuity.go_on_from(taken.entries, taken.engines)
    if taken.fence:
        before = NO_LEASE_BEFORE
    holder = LeaseHolder(settings.redis, sealer, owner, before, taken, note)
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
    sockets = continuity.take_sockets(index, engine)
    try:
        host = await stack.enter_async_context(
            open_engine(
                engine,
                numbers,
                index,
                sockets=sockets,
                regions=continuity.regions,
                held=True,
                deaths=settings.media.engine_deaths,
            )
        )
    except OSError as error:
        where = f"{', '.join(engine.listen_ips)} port {engine.port}"
        raise ConfigError(f"media.listen_ip, media.port: cannot use {where}: {error}") from None
    if not sockets:
        continuity.keep_sockets(index, host.engine.sockets)
    return host


def _prepare(continuity: Continuity, restorer: Restorer) -> None:
    """The process before still runs."""
    restorer.take(continuity.follow())
    restorer.prepare()


def _resume(
    settings: Settings,
    opened: Opened,
    meetings: Meetings,
    restorer: Restorer,
    lost: list[str] | None = None,
) -> ResumedServer:
    """What the process before has left. Its engines' successors have not begun. All that is known
    of it is in this process's own log then: it may be killed at any moment too.
    """
    continuity, bridge = opened.continuity, opened.bridge
    restorer.take(continuity.entries)
    resumed = resume_meetings(
        restorer,
        continuity.engines,
        settings.api,
        meetings,
        continuity.store,
        [] if lost is None else lost,
        exact=continuity.exact,
    )
    if bridge.kept_pem is not None:
        _put_identity(continuity, bridge.kept_pem)
    continuity.flush()
    return resumed


def _begin(opened: Opened) -> None:
    """This process has taken over all that it could."""
    opened.continuity.sockets.close_rest()
    if opened.holder is not None:
        opened.holder.ready()  # before this process counts: it notes whose lease it has
    opened.continuity.commit()
    for host in opened.hosts:
        host.engine.begin()
        if opened.holder is None:  # what the process before has stored in Redis is nobody's
            host.engine.snapshot_stored(0)


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
    _put_identity(continuity, bridge.pem)


def _put_identity(continuity: Continuity, pem: bytes) -> None:
    record = IdentityRecord(pem)
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
        upgrade=parts.upgrade,
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
