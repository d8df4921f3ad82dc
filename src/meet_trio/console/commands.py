"""The commands of the console. A command is a function and a row in ``_TABLE``.

A function gets a ``Call`` and answers by ``call.put``. It raises ``UsageError`` for wrong arguments
and another ``RequestError`` if it cannot be done. It may be cancelled at each await. Functions over
many objects call ``call.turns.spend`` after each object.

Names are those of the original server's console, with its short names.
"""

import os
import resource
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal, TypeAlias

import attrs
import trio

from meet_trio.collector import resident_memory
from meet_trio.console import operations
from meet_trio.console.call import Call, UsageError
from meet_trio.console.terminal import run_input
from meet_trio.console.wire import Form
from meet_trio.errors import RequestError
from meet_trio.live.peer import LivePeer
from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.plain import Transport
from meet_trio.operator import dumps, overview, stats, verbs
from meet_trio.operator.figures import Reports
from meet_trio.operator.inventory import Found, choose

ObjectKind: TypeAlias = Literal["room", "peer", "transport", "producer", "consumer"]

_MOST_IDS = 500  # that a completion offers


@attrs.frozen
class Command:
    """One command. ``takes``: the kind of object that its first argument names, for completion.
    ``changes``: it is logged with who asked, if it has arguments. ``changes_bare``: it is logged
    without arguments too.
    """

    name: str
    run: Callable[[Call], Awaitable[None]]
    help: str
    form: Form = "object"
    short: str = ""
    arguments: str = ""
    most_arguments: int = 0
    takes: ObjectKind | None = None
    changes: bool = False
    changes_bare: bool = False
    logs_arguments: bool = True
    hidden: bool = False

    @property
    def usage(self) -> str:
        return f"{self.name} {self.arguments}".rstrip()


# About the console and the server


async def _help(call: Call) -> None:
    wanted = call.argument(0)
    if wanted is not None and wanted not in COMMANDS:
        raise UsageError(f"there is no command {wanted[:80]!r}")
    for command in _TABLE:
        if not command.hidden and wanted in (None, command.name, command.short):
            row = {"command": command.usage, "short": command.short, "does": command.help}
            await call.put(row)


async def _commands(call: Call) -> None:
    """What a client needs for completion."""
    for command in _TABLE:
        if not command.hidden:
            await call.put({"name": command.name, "short": command.short, "takes": command.takes})


async def _ids(call: Call) -> None:
    """Ids of a kind that begin with a text, for completion."""
    kind, beginning = call.argument(0) or "", call.argument(1) or ""
    if kind not in _LISTS:
        raise UsageError(f"kinds: {', '.join(_LISTS)}")
    found = [each.id for each in await _LISTS[kind](call) if each.id.startswith(beginning)]
    for each in found[:_MOST_IDS]:
        await call.put(each)


_LISTS: Mapping[str, Callable[[Call], Awaitable[Iterable[Found]]]] = {  # type: ignore[type-arg]
    "room": lambda call: call.inventory.rooms(),
    "peer": lambda call: call.inventory.peers(),
    "transport": lambda call: call.inventory.transports(),
    "producer": lambda call: call.inventory.producers(),
    "consumer": lambda call: call.inventory.consumers(),
}


async def _usage(call: Call) -> None:
    """The keys with ``ru_`` are those of mediasoup's ``getResourceUsage``, in milliseconds and kB
    where they have a unit.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    await call.put(
        {
            "pid": os.getpid(),
            "memory": resident_memory(),
            "files": len(os.listdir("/proc/self/fd")),
            "tasks": trio.lowlevel.current_statistics().tasks_living,
            "ru_utime": round(used.ru_utime * 1000),
            "ru_stime": round(used.ru_stime * 1000),
            **{
                name: getattr(used, name)
                for name in (
                    "ru_maxrss",
                    "ru_minflt",
                    "ru_majflt",
                    "ru_inblock",
                    "ru_oublock",
                    "ru_nvcsw",
                    "ru_nivcsw",
                )
            },
        }
    )


async def _stats(call: Call) -> None:
    rooms = await call.inventory.rooms()
    await call.put({"rooms": len(rooms), "peers": len(await call.inventory.peers())})


async def _terminal(call: Call) -> None:
    if not call.server.terminal:
        raise RequestError("the Python prompt is switched off (console.terminal)")
    source = call.argument(0)
    if source is not None:
        await run_input(call, source)


# Overviews


async def _rooms(call: Call) -> None:
    for found in await call.inventory.rooms():
        await call.put(overview.room_row(found.thing, time.time()))
        await call.turns.spend()


async def _peers(call: Call) -> None:
    for found in await _some_peers(call):
        if found.id in found.room.state.peers:
            await call.put(overview.peer_row(found.room, found.thing, time.time()))
            await call.turns.spend()


async def _watch(call: Call) -> None:
    """One picture; the client asks again for the next one."""
    peers = await _some_peers(call)
    reports = await Reports.of_rooms({found.room.id: found.room for found in peers}.values())
    for found in peers:
        if found.id in found.room.state.peers:
            row = overview.watch_row(found.room, found.thing, reports)
            await call.put(row)
            await call.turns.spend(1 + len(found.room.state.peers))


async def _some_peers(call: Call) -> list[Found[LivePeer]]:
    """The peers of the room that the first argument names; of all rooms without one."""
    name = call.argument(0)
    if name is None or call.all:
        return await call.inventory.peers()
    room = choose("room", await call.inventory.rooms(), name).thing
    return [found for found in await call.inventory.peers() if found.room is room]


# Dumps


async def _dump_rooms(call: Call) -> None:
    name = call.argument(0)
    rooms = await call.inventory.rooms()
    for found in rooms if name is None or call.all else [choose("room", rooms, name)]:
        await call.put(overview.room_dump(found.thing))
        await call.turns.spend(1 + len(found.thing.peers))


async def _dump_peers(call: Call) -> None:
    name = call.argument(0)
    peers = await call.inventory.peers()
    for found in peers if name is None or call.all else [choose("peer", peers, name)]:
        if found.id in found.room.state.peers:
            await call.put(overview.peer_dump(found.room, found.thing))
            await call.turns.spend()


async def _dump_workers(call: Call) -> None:
    hosts = call.registry.context.hosts
    reports = await Reports.ask(hosts)
    for host in hosts:
        rooms = [found.thing for found in await call.inventory.rooms()]
        await call.put(dumps.worker_dump(host, rooms, reports))


async def _dump_router(call: Call) -> None:
    for found in await _chosen_rooms(call):
        await call.put(await dumps.router_dump(found.thing, call.turns))


async def _dump_transport(call: Call) -> None:
    chosen = await _chosen_transports(call)
    reports = await Reports.of_rooms(found.room for found in chosen)
    for found in chosen:
        producers, consumers = _streams(found)
        await call.put(dumps.transport_dump(found.thing, producers, consumers, reports))
        await call.turns.spend(1 + len(producers) + len(consumers) // 4)


async def _dump_producer(call: Call) -> None:
    chosen = await _chosen_producers(call)
    reports = await Reports.of_rooms(found.room for found in chosen)
    for found in chosen:
        await call.put(dumps.producer_dump(found.thing, reports))
        await call.turns.spend()


async def _dump_consumer(call: Call) -> None:
    chosen = await _chosen_consumers(call)
    reports = await Reports.of_rooms(found.room for found in chosen)
    for found in chosen:
        await call.put(dumps.consumer_dump(found.thing, reports))
        await call.turns.spend()


# Statistics


async def _stats_room(call: Call) -> None:
    """An item for each peer of a room."""
    chosen = await _chosen_rooms(call)
    call.form = "objects"
    reports = await Reports.of_rooms(found.room for found in chosen)
    now = trio.current_time()
    for found in chosen:
        room = found.thing
        for peer in list(room.peers.values()):
            state = room.state.peers.get(peer.id)
            if state is None:
                continue
            producers = [room.producers[producer_id] for producer_id in state.producers]
            consumers = [room.consumers[each.id] for each in state.consumers.values()]
            item = {
                "roomId": room.id,
                "id": peer.id,
                "nickname": state.nickname,
                "transports": [
                    entry
                    for transport in list(peer.transports.values())
                    for entry in stats.transport_stats(
                        transport,
                        [each for each in producers if each.transport is transport],
                        [each for each in consumers if each.transport is transport],
                        reports,
                        now,
                    )
                ],
                "producers": [_named(each, reports, now) for each in producers],
                "consumers": [_named(each, reports, now) for each in consumers],
            }
            await call.put(item)
            await call.turns.spend(1 + len(producers) + len(consumers))


def _named(stream: LiveProducer | LiveConsumer, reports: Reports, now: float) -> object:
    if isinstance(stream, LiveProducer):
        return {"id": stream.state.id, "stats": stats.producer_stats(stream, reports, now)}
    return {"id": stream.state.id, "stats": stats.consumer_stats(stream, reports, now)}


async def _stats_transport(call: Call) -> None:
    chosen = await _chosen_transports(call)
    reports = await Reports.of_rooms(found.room for found in chosen)
    for found in chosen:
        producers, consumers = _streams(found)
        now = trio.current_time()
        await call.put(stats.transport_stats(found.thing, producers, consumers, reports, now))
        await call.turns.spend(1 + len(producers) + len(consumers) // 4)


async def _stats_producer(call: Call) -> None:
    chosen = await _chosen_producers(call)
    reports = await Reports.of_rooms(found.room for found in chosen)
    for found in chosen:
        await call.put(stats.producer_stats(found.thing, reports, trio.current_time()))
        await call.turns.spend()


async def _stats_consumer(call: Call) -> None:
    chosen = await _chosen_consumers(call)
    reports = await Reports.of_rooms(found.room for found in chosen)
    for found in chosen:
        await call.put(stats.consumer_stats(found.thing, reports, trio.current_time()))
        await call.turns.spend()


async def _chosen_rooms(call: Call) -> list[Found[LiveRoom]]:
    rooms = await call.inventory.rooms()
    return _all(call, rooms) if call.all else [choose("room", rooms, call.argument(0))]


async def _chosen_transports(call: Call) -> list[Found[Transport]]:
    transports = await call.inventory.transports()
    if call.all:
        return _all(call, transports)
    return [choose("transport", transports, call.argument(0))]


async def _chosen_producers(call: Call) -> list[Found[LiveProducer]]:
    producers = await call.inventory.producers()
    if call.all:
        return _all(call, producers)
    return [choose("producer", producers, call.argument(0))]


async def _chosen_consumers(call: Call) -> list[Found[LiveConsumer]]:
    consumers = await call.inventory.consumers()
    if call.all:
        return _all(call, consumers)
    return [choose("consumer", consumers, call.argument(0))]


def _all(call: Call, things: list[Found]) -> list[Found]:  # type: ignore[type-arg]
    call.form = "objects"
    return things


def _streams(found: Found[Transport]) -> tuple[list[LiveProducer], list[LiveConsumer]]:
    """The producers and consumers of a transport."""
    peer = found.room.peers.get(found.peer_id)
    if peer is None:
        return [], []
    room, transport = found.room, found.thing
    return room.streams.own_producers(peer, transport), room.streams.own_consumers(peer, transport)


# Changes


async def _kick(call: Call) -> None:
    if not call.arguments:
        raise UsageError(f"usage: {COMMANDS['kick'].usage}")
    found = choose("peer", await call.inventory.peers(), call.argument(0))
    await call.put(verbs.kick(found.room, found.id, " ".join(call.arguments[1:])))


async def _close(call: Call) -> None:
    if not call.arguments:
        raise UsageError(f"usage: {COMMANDS['close'].usage}")
    found = choose("room", await call.inventory.rooms(), call.argument(0))
    await call.put(verbs.close(found.thing))


def _on_object(
    name: str, short: str, run: Callable[[Call], Awaitable[None]], kind: ObjectKind, what: str
) -> Command:
    """A command that shows one object: the one whose id begins so, else the latest, or all."""
    return Command(
        name,
        run,
        what,
        short=short,
        arguments=f"[{kind.upper()}|all]",
        most_arguments=1,
        takes=kind,
    )


_TABLE = (
    Command("help", _help, "the commands", "table", "h", "[COMMAND]", 1),
    Command("usage", _usage, "CPU time, memory and files of the server", "counts", "u"),
    Command("stats", _stats, "the numbers of rooms and peers", "counts"),
    Command("rooms", _rooms, "all rooms", "table"),
    Command("peers", _peers, "the peers of a room, or all", "table", "", "[ROOM]", 1, "room"),
    Command(
        "watch",
        _watch,
        "a live table of the peers' media; ends with q",
        "table",
        "w",
        "[ROOM|all] [SECONDS] [TIMES]",
        3,
        "room",
    ),
    Command(
        "dumpRooms", _dump_rooms, "state of a room, or of all", "objects", "", "[ROOM]", 1, "room"
    ),
    Command(
        "dumpPeers", _dump_peers, "state of a peer, or of all", "objects", "", "[PEER]", 1, "peer"
    ),
    Command("dumpWorkers", _dump_workers, "the engines and their counters", "objects", "dw"),
    _on_object("dumpRouter", "dr", _dump_router, "room", "what is connected in a room"),
    _on_object("dumpTransport", "dt", _dump_transport, "transport", "a transport"),
    _on_object("dumpProducer", "dp", _dump_producer, "producer", "a producer"),
    _on_object("dumpConsumer", "dc", _dump_consumer, "consumer", "a consumer"),
    _on_object("statsRoom", "sr", _stats_room, "room", "figures of a room's peers"),
    _on_object("statsTransport", "st", _stats_transport, "transport", "figures of a transport"),
    _on_object("statsProducer", "sp", _stats_producer, "producer", "figures of a producer"),
    _on_object("statsConsumer", "sc", _stats_consumer, "consumer", "figures of a consumer"),
    Command(
        "kick",
        _kick,
        "remove a peer; it is told",
        "text",
        "",
        "PEER [REASON]",
        100,
        "peer",
        changes=True,
    ),
    Command(
        "close",
        _close,
        "close a room; its peers are told",
        "text",
        "",
        "ROOM",
        1,
        "room",
        changes=True,
    ),
    Command(
        "explain",
        operations.explain,
        "why a viewer gets what it gets, in words",
        "sentences",
        "e",
        "[CONSUMER|PEER]",
        1,
        "consumer",
    ),
    Command(
        "trace",
        operations.trace_transport,
        "the packets of a transport without SRTP, as a pcapng file or to standard output",
        "file",
        "",
        "[TRANSPORT] [SECONDS] [MB]",
        3,
        "transport",
        changes=True,
    ),
    Command("health", operations.health, "whether the server is well, or why not", "text"),
    Command(
        "upgrade",
        operations.upgrade,
        "have a new process take over, of the version that is installed now; calls go on",
        "objects",
        changes_bare=True,
    ),
    Command(
        "drain",
        operations.drain,
        "make no new rooms, and end with the last one; off: take it back",
        "text",
        "",
        "[SECONDS|off]",
        1,
        changes=True,
        changes_bare=True,
    ),
    Command(
        "log",
        operations.log_level,
        "the levels of the log; with a level: set it, for a part or for all; reset: take it back",
        "counts",
        "logLevel",
        "[LEVEL|reset] [PART]",
        2,
        changes=True,
    ),
    Command(
        "logTags",
        operations.log_tags,
        "the tags of mediasoup's log that are logged in full, and no others",
        "counts",
        "",
        "[TAG …]",
        100,
        changes=True,
    ),
    Command(
        "terminal",
        _terminal,
        "a Python prompt inside the server, if console.terminal is on",
        "text",
        "t",
        "[SOURCE]",
        1,
        changes=True,
        logs_arguments=False,
    ),
    Command("commands", _commands, "", "objects", hidden=True),
    Command("ids", _ids, "", "text", most_arguments=2, hidden=True),
)

COMMANDS: Mapping[str, Command] = {
    name: command for command in _TABLE for name in (command.name, command.short) if name
}
"""All commands, by long and short name."""
