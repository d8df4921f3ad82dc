"""An Engine.IO connection as Trio sees it: the session, who waits for it, and the task that keeps
its time.

A connection is fed by its transports (``websocket_task`` here, requests in ``polling``) and used by
one handler, which calls ``receive``, ``send`` and ``close``. Messages wait for the handler in a
short queue; when it is full the client is not read further. ``send`` never waits: it fills the
session's bounded outbox, which the transport empties.

The tasks of a connection end by themselves once the session is closed; the handler is told by
``Disconnected`` and ends as it likes.
"""

import math
from contextlib import suppress

import trio

from .errors import Disconnected, ProtocolError, Reason
from .packet import Packet, decode_frame_untrusted, encode_frame
from .session import Session, State
from .settings import Handshake, Settings
from .websocket import WebSocket, WebSocketGone

_QUEUE = 16


class Connection:
    """One Engine.IO session, alive."""

    def __init__(
        self, sid: str, handshake: Handshake, settings: Settings, *, websocket: bool
    ) -> None:
        self.id = sid
        self.handshake = handshake
        self.settings = settings
        # nothing is carried any more, except a goodbye if being cancelled
        self.closed = trio.Event()
        self._session = Session(
            sid, handshake.eio, settings, websocket=websocket, now=trio.current_time()
        )
        self._b64 = handshake.query.get("b64") not in (None, "", "0", "false")
        self._queue_in, self._queue_out = trio.open_memory_channel[str | bytes](_QUEUE)
        self._time = trio.CancelScope()
        self._transport = trio.CancelScope()
        self._writable = trio.Event()

    async def receive(self) -> str | bytes:
        """The next message of the client. Raises Disconnected, after all that came before the end
        has been received.
        """
        try:
            return await self._queue_out.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise Disconnected(self.reason) from None

    def send(self, *messages: str | bytes) -> None:
        """Send in this order with nothing in between. Never waits; a connection that has ended
        takes nothing.
        """
        for message in messages:
            self._session.send(message)
        self._after_change()

    async def close(self, reason: Reason = Reason.SERVER) -> None:
        """Send what waits, say goodbye, and return when the connection has ended: within
        ``close_timeout``.
        """
        self.start_close(reason)
        await self.closed.wait()

    def start_close(self, reason: Reason) -> None:
        """``close`` without waiting for it."""
        self._session.close(reason, trio.current_time())
        self._queue_in.close()
        self._after_change()

    def fail(self, reason: Reason) -> None:
        """End at once, unsent packets are dropped."""
        self._session.fail(reason)
        self._after_change()

    @property
    def reason(self) -> Reason:
        """Why it has ended; only then."""
        return self._session.reason or Reason.TRANSPORT_CLOSE

    @property
    def is_open(self) -> bool:
        return self._session.is_open

    async def keep_time(self) -> None:
        """Heartbeat and deadlines, until the session is closed."""
        while self._session.state is not State.CLOSED:
            with trio.CancelScope(deadline=self._session.deadline) as self._time:
                await trio.sleep_forever()
            if self._time.cancelled_caught:
                self._session.tick(trio.current_time())
                self._after_change()

    async def websocket_task(self, websocket: WebSocket) -> None:
        """Carry packets over an accepted websocket until the session is closed or the websocket
        gone.
        """
        with self._transport:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, websocket)
                    await self._read(websocket)
            except* WebSocketGone as gone:
                clean = all(isinstance(one, WebSocketGone) and one.clean for one in gone.exceptions)
                self.fail(Reason.TRANSPORT_CLOSE if clean else Reason.TRANSPORT_ERROR)
            finally:
                self.closed.set()

    async def flush(self, websocket: WebSocket) -> None:
        """Send what is left of a goodbye."""
        for packet in self._session.take():
            await websocket.send(self._frame(packet))

    async def _read(self, websocket: WebSocket) -> None:
        while True:
            frame = await websocket.receive()
            try:
                packet = decode_frame_untrusted(frame, self._session.revision)
                await self._receive(packet)
            except ProtocolError:
                self.fail(Reason.PARSE_ERROR)

    async def _write(self, websocket: WebSocket) -> None:
        while self._session.state is not State.CLOSED:
            for packet in self._session.take():
                await websocket.send(self._frame(packet))
            if self._session.state is State.CLOSING and not self._session.has_packets:
                await websocket.close()
                return
            self._writable = trio.Event()
            if not self._session.has_packets:
                await self._writable.wait()

    async def _receive(self, packet: Packet) -> None:
        message = self._session.receive(packet, trio.current_time())
        self._after_change()
        if message is not None:
            # an error: it ends, and nobody listens any more
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._queue_in.send(message)

    def _frame(self, packet: Packet) -> str | bytes:
        return encode_frame(packet, self._session.revision, b64=self._b64)

    def _after_change(self) -> None:
        self._writable.set()
        self._time.deadline = self._session.deadline
        if self._session.state is State.CLOSED:
            self._time.deadline = -math.inf
            self._queue_in.close()
            self._transport.cancel()
            self.closed.set()
