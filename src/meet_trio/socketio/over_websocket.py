"""The websocket transport: carries the packets of a connection, from its start or after an upgrade.

An upgrade begins with a probe on the new websocket while polling still carries the session. The
client sends ``2probe`` and the server answers ``3probe``. The client then waits for its poll to
return and sends ``5``. From then on the websocket carries all packets.

The task that serves the websocket reads it. What is to be sent is written without a task if the
stream can do that, in a turn of the loop that many connections share (``write_turns``). Else, and
for what the stream did not take, a task is started that ends when nothing waits.

``websocket`` has the RFC 6455 side, ``session`` the states of an upgrade.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Sequence

import trio

from meet_trio.socketio.allowance import Allowance
from meet_trio.socketio.connection import EngineIOConnection
from meet_trio.socketio.errors import ProtocolError, Reason
from meet_trio.socketio.frames import data_frame
from meet_trio.socketio.packet import Packet, decode_frame_untrusted, encode_frame
from meet_trio.socketio.session import OutboxEntry, State
from meet_trio.socketio.websocket import WebSocket, WebSocketGone

logger = logging.getLogger("meet_trio.socketio.over_websocket")


async def carry(
    connection: EngineIOConnection, websocket: WebSocket, nursery: trio.Nursery
) -> None:
    """Carry packets over a websocket until the session is closed or the websocket is gone. Tasks
    that write live in ``nursery``.

    Both are true in the end, unless the task is cancelled.
    """
    carriage = _Carriage(connection, websocket, nursery)
    carriage.begin()
    try:
        await _read(connection, websocket, carriage.take)
    except WebSocketGone as gone:
        carriage.lost(gone)
    finally:
        carriage.end()
    await websocket.close()


async def say_goodbye(connection: EngineIOConnection, websocket: WebSocket) -> None:
    """Must follow ``carry``. If ``carry`` was cancelled, send what waits and close.

    Works while cancelled, and takes at most ``close_timeout``.
    """
    connection.start_close(Reason.SERVER)
    try:
        with trio.move_on_after(connection.settings.close_timeout, shield=True):
            while entries := connection.session.take():
                await websocket.send(*_frames(connection, entries))
    except WebSocketGone:
        pass
    finally:
        connection.fail(Reason.SERVER)
        await websocket.close()


async def upgrade(connection: EngineIOConnection, websocket: WebSocket) -> None:
    """Probe a websocket of a client that polls, then carry the packets like ``carry``, goodbye
    included. After a failed probe the session stays on polling.
    """
    session = connection.session
    if not session.start_probe():
        return  # a websocket is already there
    try:
        async with trio.open_nursery() as nursery:
            carriage = _Carriage(connection, websocket, nursery)
            with trio.move_on_after(connection.settings.upgrade_timeout) as probing:

                async def take(frame: str | bytes) -> None:
                    if not session.is_upgrading:
                        await carriage.take(frame)
                        return
                    await _probe(connection, websocket, frame)
                    if not session.on_polling:
                        probing.deadline = math.inf
                        carriage.begin()

                try:
                    await _read(connection, websocket, take)
                except WebSocketGone as gone:
                    carriage.lost(gone)
                finally:
                    carriage.end()
    finally:
        session.end_probe()
        connection.changed()
        if not session.on_polling:
            await say_goodbye(connection, websocket)


async def _probe(connection: EngineIOConnection, websocket: WebSocket, frame: str | bytes) -> None:
    """Take a message of a websocket that is being probed. Raises WebSocketGone."""
    try:
        answer = connection.session.receive_probe(_decode(connection, frame))
    except ProtocolError:
        raise WebSocketGone(clean=False) from None
    connection.changed()
    if answer is not None:
        await websocket.send([_frame(connection, answer)], [])


async def _read(
    connection: EngineIOConnection,
    websocket: WebSocket,
    take: Callable[[str | bytes], Awaitable[None]],
) -> None:
    """``websocket.deliver``, which also ends when the session is closed."""
    connection.reader_scope = websocket.reader_scope
    if connection.session.state is State.CLOSED:
        websocket.reader_scope.cancel()
    try:
        await websocket.deliver(take)
    finally:
        connection.reader_scope = None


class _Carriage:
    """Carries the packets of a connection between ``begin`` and ``end``. Called, it writes what
    waits without a task.
    """

    __slots__ = (
        "_carries",
        "_connection",
        "_nursery",
        "_sends_now",
        "_websocket",
        "_writer_scope",
    )

    def __init__(
        self, connection: EngineIOConnection, websocket: WebSocket, nursery: trio.Nursery
    ) -> None:
        self._connection = connection
        self._websocket = websocket
        self._nursery = nursery
        self._carries = False
        self._sends_now = websocket.sends_now
        self._writer_scope: trio.CancelScope | None = None  # of the task that writes, if any

    def begin(self) -> None:
        connection = self._connection
        self._carries = True
        connection.carrier, connection.carried = self, self._websocket
        self.set_allowance(connection.allowance)
        if connection.session.has_packets or not connection.is_open:
            self.send_soon()

    def end(self) -> None:
        if self._carries:
            self._carries = False
            self._connection.carrier = None
            self._connection.closed.set()

    def lost(self, gone: WebSocketGone) -> None:
        """The websocket is gone, and with it the session if it is carried here."""
        if self._carries:
            reason = Reason.TRANSPORT_CLOSE if gone.clean else Reason.TRANSPORT_ERROR
            self._connection.fail(reason)

    async def take(self, frame: str | bytes) -> None:
        connection = self._connection
        try:
            await connection.feed(_decode(connection, frame))
        except ProtocolError:
            connection.fail(Reason.PARSE_ERROR)

    def set_allowance(self, allowance: Allowance) -> None:
        self._websocket.set_allowance(allowance)

    def send_soon(self) -> None:
        connection = self._connection
        state = connection.session.state
        if state is State.WEBSOCKET and self._sends_now:
            connection.write_turns.call(self)
        elif state is not State.CLOSED:
            self._start_writer()
        elif self._writer_scope is not None:
            self._writer_scope.cancel()

    def __call__(self) -> None:
        """Send what waits without a task: waking one costs more than all the rest of sending a
        message. ``_write`` sends what the stream does not take at once.
        """
        connection, websocket = self._connection, self._websocket
        session = connection.session
        if not self._carries:
            return
        try:
            if session.state is State.WEBSOCKET and websocket.is_free:
                sent = websocket.send_now(*_frames(connection, session.take()))
                if sent and not session.has_packets:
                    return
            self._start_writer()
        except Exception:
            logger.exception("writing to a websocket failed")
            connection.fail(Reason.TRANSPORT_ERROR)

    def _start_writer(self) -> None:
        if self._writer_scope is None:
            self._writer_scope = trio.CancelScope()
            self._nursery.start_soon(self._run_writer, self._writer_scope)

    async def _run_writer(self, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await self._write()
        except WebSocketGone as gone:
            self.lost(gone)
        finally:
            self._writer_scope = None

    async def _write(self) -> None:
        """Send what waits. Returns when nothing does."""
        connection, websocket = self._connection, self._websocket
        session = connection.session
        while session.state is not State.CLOSED:
            # If the task is woken and cancelled at the same time, say_goodbye sends what waits.
            await trio.lowlevel.checkpoint_if_cancelled()
            if not websocket.is_flushed:
                await websocket.flush()
            elif session.has_packets:
                await connection.write_turns.acquire()
                if entries := session.take():
                    await websocket.send(*_frames(connection, entries))
            elif session.state is State.CLOSING:
                await websocket.close()
                return
            else:
                return


def _decode(connection: EngineIOConnection, frame: str | bytes) -> Packet:
    return decode_frame_untrusted(frame, connection.session.revision)


def _frames(
    connection: EngineIOConnection, entries: Sequence[OutboxEntry]
) -> tuple[list[bytes], list[tuple[object, int]]]:
    """The frames of packets, and their events, each with the offset of the end of its frame."""
    frames: list[bytes] = []
    events: list[tuple[object, int]] = []
    end = 0
    for packet, event in entries:
        frame = packet.frame if not packet.binary else _frame(connection, packet.packet())
        frames.append(frame)
        end += len(frame)
        if event is not None:
            events.append((event, end))
    return frames, events


def _frame(connection: EngineIOConnection, packet: Packet) -> bytes:
    payload = encode_frame(packet, connection.session.revision, b64=connection.b64)
    if isinstance(payload, str):
        return data_frame(payload.encode(), text=True)
    return data_frame(payload, text=False)
