"""Commands that change the server, and those that find out about one call: the log, the drain,
``explain`` and ``trace``.
"""

import base64

from meet_trio.console.call import Call, Levels, UsageError
from meet_trio.errors import MeetError, RequestError
from meet_trio.logs.levels import TAGS
from meet_trio.media.engines import EngineError
from meet_trio.operator import verbs
from meet_trio.operator.inventory import choose
from meet_trio.operator.trace import DEFAULT_BYTES, DEFAULT_SECONDS, trace

_LEVELS = ("debug", "info", "warning", "error")
_ORIGINS = ("meet_trio", "kolabmeet-server")
_CHUNK = 24 * 1024  # bytes of a trace in one item
_MEGABYTE = 1_000_000


# The log


async def log_level(call: Call) -> None:
    level, part = call.argument(0), call.argument(1)
    levels = _levels(call)
    try:
        if level == "reset":
            levels.reset(_part(part))
        elif level is not None:
            if level not in _LEVELS:
                raise UsageError(f"levels: {', '.join(_LEVELS)}, or reset")
            levels.set(level, _part(part))
    except ValueError as error:
        raise RequestError(str(error)) from None
    await call.put(_described(levels))


async def log_tags(call: Call) -> None:
    """The tags are those of mediasoup's log; each stands for parts of this server."""
    levels = _levels(call)
    unknown = [tag for tag in call.arguments if tag not in TAGS]
    if unknown:
        raise UsageError(f"{unknown[0][:80]!r} is no tag; tags: {', '.join(TAGS)}")
    if call.arguments:
        levels.reset()
        for part in sorted({part for tag in call.arguments for part in TAGS[tag]}):
            levels.set("debug", part)
    await call.put(_described(levels))


def _levels(call: Call) -> Levels:
    if call.server.levels is None:
        raise RequestError("the log was set up by another program")
    return call.server.levels


def _part(name: str | None) -> str | None:
    """``live.room`` is a part of this server, as ``meet_trio.live.room`` and the original's
    ``kolabmeet-server:room`` are.
    """
    if name is None or name.startswith(_ORIGINS) or name.startswith("*"):
        return name
    return f"meet_trio.{name}"


def _described(levels: Levels) -> dict[str, object]:
    found = levels.describe()
    return {"level": found["level"], **found["parts"]}


# The drain


async def health(call: Call) -> None:
    for reason in call.server.reasons() or ["healthy"]:
        await call.put(reason)


async def drain(call: Call) -> None:
    word = call.argument(0)
    if word == "off":
        await call.put(verbs.undrain(call.server.drain))
        return
    timeout = None if word is None else _number(word, "SECONDS", 0, 7 * 86400)
    await call.put(verbs.drain(call.server.drain, timeout))


async def upgrade(call: Call) -> None:
    """If it goes well, the connection ends, and another process answers the next one."""
    if call.server.upgrade is None:
        raise RequestError("this server cannot be upgraded")
    try:
        await call.server.upgrade(call.put)
    except MeetError as error:
        raise RequestError(str(error)) from None


# One call


async def explain(call: Call) -> None:
    """A consumer or a peer, whichever has the id."""
    consumers, peers = await call.inventory.consumers(), await call.inventory.peers()
    name = call.argument(0)
    if name is None or any(found.id.startswith(name) for found in consumers):
        consumer = choose("consumer", consumers, name)
        explained = await verbs.explain(consumer.room, consumer.thing)
    else:
        peer = choose("peer", peers, name)
        explained = await verbs.explain(peer.room, peer.thing)
    await call.put(explained.to_json())


async def trace_transport(call: Call) -> None:
    """Pieces of a pcapng stream as base64 (RFC 4648 §4), then what was written."""
    found = choose("transport", await call.inventory.transports(), call.argument(0))
    seconds = _number(call.argument(1) or str(DEFAULT_SECONDS), "SECONDS", 0.1, 3600)
    megabytes = call.argument(2)
    size = (
        DEFAULT_BYTES if megabytes is None else int(_number(megabytes, "MB", 0.1, 256) * _MEGABYTE)
    )
    peer = found.room.peers.get(found.peer_id)
    if peer is None:
        raise RequestError("the peer of that transport has left")

    async def write(block: bytes) -> None:
        for at in range(0, len(block), _CHUNK):
            await call.put(base64.b64encode(block[at : at + _CHUNK]).decode())

    who = f"user {call.credentials.uid}, process {call.credentials.pid}"
    try:
        done = await trace(
            found.room, peer, found.thing, write, by=who, max_bytes=size, max_seconds=seconds
        )
    except EngineError as error:
        raise RequestError(str(error)) from None
    await call.put(
        f"{done.packets} packets, {done.lost} lost, {done.written} bytes; it ended: {done.why}"
    )


def _number(text: str, name: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UsageError(f"{name}: {text[:80]!r} is no number from {least:g} to {most:g}")
    return value
