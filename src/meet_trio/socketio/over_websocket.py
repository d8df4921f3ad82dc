"""The websocket transport: carries the packets of a connection, from its start or after an upgrade.

An upgrade begins with a probe on the new websocket while polling still carries the session. The
client sends ``2probe`` and the server answers ``3probe``. The client then waits for its poll to
return and sends ``5``. From then on the websocket carries all packets.

``websocket`` has the RFC 6455 side, ``session`` the states of an upgrade.
"""

import logging
from functools import partial

import trio

from meet_trio.socketio.connection import EngineIOConnection
from meet_trio.socketio.errors import ProtocolError, Reason
from meet_trio.socketio.frames import data_frame
from meet_trio.socketio.packet import Packet, decode_frame_untrusted, encode_frame
from meet_trio.socketio.session import OutboxEntry, State
from meet_trio.socketio.websocket import Frame, WebSocket, WebSocketGone

logger = logging.getLogger("meet_trio.socketio.over_websocket")


async def carry(connection: EngineIOConnection, websocket: WebSocket) -> None:
    """Carry packets over an accepted websocket until the session is closed or the websocket is
    gone.

    Both are true in the end, unless the task is cancelled.
    """
    connection.carrier = websocket
    websocket.set_allowance(connection.allowance)
    if websocket.sends_now:
        connection.write_now = partial(_write_now, connection, websocket)
    try:
        with connection.until_closed():
            async with trio.open_nursery() as nursery:
                writer = _Writer(connection, websocket, nursery)
                connection.start_writer = writer.start
                try:
                    writer.start()  # for what waits already
                    await websocket.deliver(partial(_take, connection))
                finally:
                    connection.start_writer = None
    except* WebSocketGone as gone:
        clean = all(isinstance(one, WebSocketGone) and one.clean for one in gone.exceptions)
        connection.fail(Reason.TRANSPORT_CLOSE if clean else Reason.TRANSPORT_ERROR)
    finally:
        connection.write_now = None
        connection.closed.set()
    await websocket.close()


async def say_goodbye(connection: EngineIOConnection, websocket: WebSocket) -> None:
    """Must follow ``carry``. If ``carry`` was cancelled, send what waits and close.

    Works while cancelled, and takes at most ``close_timeout``.
    """
    connection.start_close(Reason.SERVER)
    try:
        with trio.move_on_after(connection.settings.close_timeout, shield=True):
            while entries := connection.session.take():
                await websocket.send(*(_encode(connection, entry) for entry in entries))
    except WebSocketGone:
        pass
    finally:
        connection.fail(Reason.SERVER)
        await websocket.close()


async def upgrade(connection: EngineIOConnection, websocket: WebSocket) -> None:
    """Probe an accepted websocket of a client that polls, then ``carry``. After a failed probe the
    session stays on polling.
    """
    if not connection.session.start_probe():
        return  # a websocket is already there
    try:
        with connection.until_closed(), trio.move_on_after(connection.settings.upgrade_timeout):
            while connection.session.is_upgrading:
                packet = _decode(connection, await websocket.receive())
                answer = connection.session.receive_probe(packet)
                connection.changed()
                if answer is not None:
                    await websocket.send(_frame(connection, answer))
    except (WebSocketGone, ProtocolError):
        pass
    finally:
        connection.session.end_probe()
        connection.changed()
    if not connection.session.on_polling:
        try:
            await carry(connection, websocket)
        finally:
            await say_goodbye(connection, websocket)


async def _take(connection: EngineIOConnection, frame: str | bytes) -> None:
    try:
        await connection.feed(_decode(connection, frame))
    except ProtocolError:
        connection.fail(Reason.PARSE_ERROR)


def _write_now(connection: EngineIOConnection, websocket: WebSocket) -> None:
    """Send what waits without a task: waking one costs more than all the rest of sending a message.
    ``_write`` sends what the stream does not take at once.
    """
    session = connection.session
    try:
        if session.state is State.WEBSOCKET and websocket.is_free:
            sent = websocket.send_now([_encode(connection, entry) for entry in session.take()])
            if sent and not session.has_packets:
                return
        connection.wake()
    except Exception:
        logger.exception("writing to a websocket failed")
        connection.fail(Reason.TRANSPORT_ERROR)


class _Writer:
    """Starts ``_write`` when it is needed, which is seldom if ``_write_now`` does most of the work:
    a task that waits takes 3 kB.
    """

    def __init__(
        self, connection: EngineIOConnection, websocket: WebSocket, nursery: trio.Nursery
    ) -> None:
        self._connection = connection
        self._websocket = websocket
        self._nursery = nursery
        self._running = False

    def start(self) -> None:
        """Have everything sent that waits. Idempotent."""
        if not self._running:
            self._running = True
            self._nursery.start_soon(self._run)

    async def _run(self) -> None:
        try:
            await _write(self._connection, self._websocket)
        finally:
            self._running = False


async def _write(connection: EngineIOConnection, websocket: WebSocket) -> None:
    """Send what waits. Returns when nothing does."""
    session = connection.session
    while session.state is not State.CLOSED:
        # If the task is woken and cancelled at the same time, say_goodbye sends what waits.
        await trio.lowlevel.checkpoint_if_cancelled()
        if not websocket.is_flushed:
            await websocket.flush()
        elif session.has_packets:
            await connection.write_turns.acquire()
            if entries := session.take():
                await websocket.send(*(_encode(connection, entry) for entry in entries))
        elif session.state is State.CLOSING:
            await websocket.close()
            return
        else:
            return


def _decode(connection: EngineIOConnection, frame: str | bytes) -> Packet:
    return decode_frame_untrusted(frame, connection.session.revision)


def _encode(connection: EngineIOConnection, entry: OutboxEntry) -> Frame:
    packet, event = entry
    if packet.binary:
        return _frame(connection, packet.packet(), event)
    return packet.frame, event


def _frame(connection: EngineIOConnection, packet: Packet, event: object = None) -> Frame:
    payload = encode_frame(packet, connection.session.revision, b64=connection.b64)
    if isinstance(payload, str):
        return data_frame(payload.encode(), text=True), event
    return data_frame(payload, text=False), event
