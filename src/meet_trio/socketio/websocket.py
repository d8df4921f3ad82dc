"""The server's side of a websocket (RFC 6455) on any Trio byte stream, behind the opening handshake
(``opening``).

It is trio-websocket with three additions: sends have a deadline, the closing handshake works while
the task is cancelled, and no task and no queue is between a frame and the code that takes it.

trio-websocket starts a task that reads, and has a queue for messages. Here ``deliver`` runs the
code of that task itself, and a message goes from there to its taker: a task that waits takes 4 kB,
and each message by the queue three more steps of tasks. The closing handshake needs a reader once
more if ``deliver`` was cancelled, and starts one. Frames are read by ``frames``.

``BoundedStream`` gives each send a deadline. After a send that was not finished, it refuses all
further ones: the client would read them as part of the incomplete frame. ``BoundedStream`` also
paces reading, by bytes and by frames, because trio-websocket answers a ping before the code above
it sees anything.

No extension is negotiated, so permessage-deflate is left out. A message above the limit closes the
websocket with 1009. Engine.IO's packets are read and written in ``over_websocket``.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Never, Protocol, cast, runtime_checkable

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection
from wsproto import WSConnection
from wsproto.connection import ConnectionState
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from meet_trio.socketio.allowance import Allowance, FrameCounter
from meet_trio.socketio.delivery import TLS_RECORD_SIZE, DeliveryTracker
from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.frames import FrameProtocol

_SLICE = 4 * TLS_RECORD_SIZE  # bytes that the stream below gets at once

logger = logging.getLogger("meet_trio.socketio.websocket")


class WebSocketGone(Exception):
    """The client has closed the websocket, is lost, or has broken the protocol.

    ``clean`` means that the client closed it with a closing handshake.
    """

    def __init__(self, *, clean: bool) -> None:
        super().__init__()
        self.clean = clean


@runtime_checkable
class ImmediateStream(Protocol):
    """A stream that can write without waiting."""

    @property
    def sends_now(self) -> bool:
        """False: not this one, because of what it is made of."""
        ...

    def send_now(self, data: bytes) -> int:
        """Write what can be written at once. Returns the number of bytes. An error of the stream
        counts as 0 bytes: the next ``send_all`` raises it.
        """
        ...


class BoundedStream(trio.abc.Stream):
    """``stream`` with a deadline for each send, read no faster than ``allowance`` permits.

    ``send_timeout`` is in seconds. ``delivery`` knows which messages were not acknowledged.
    What ``send_now`` has not written is sent before anything else.
    """

    __slots__ = (
        "_frames",
        "_immediate",
        "_rest",
        "_send_lock",
        "_send_timeout",
        "_send_unfinished",
        "_stream",
        "_unread",
        "allowance",
        "delivery",
        "has_read",
        "waits",
    )

    def __init__(
        self,
        stream: trio.abc.Stream,
        send_timeout: float,
        allowance: Allowance,
        unread: bytes = b"",
    ) -> None:
        self.delivery = DeliveryTracker(stream)
        self.allowance = allowance
        self.has_read = False  # set by each read
        self.waits = False  # a task waits for bytes, and has none in hand
        self._frames = FrameCounter()
        self._stream = stream
        self._send_timeout = send_timeout
        self._immediate = (
            stream if isinstance(stream, ImmediateStream) and stream.sends_now else None
        )
        self._unread = unread
        self._rest = b""  # of the last ``send_now``
        self._send_unfinished = False
        self._send_lock = trio.Lock()

    @property
    def sends_now(self) -> bool:
        return self._immediate is not None

    @property
    def is_flushed(self) -> bool:
        """Whether ``send_now`` has left nothing."""
        return not self._rest

    @property
    def at_rest(self) -> bool:
        """Whether a task waits for bytes, and nothing waits to be sent."""
        return self.waits and not (
            self._rest or self._send_unfinished or self._unread or self._send_lock.locked()
        )

    @property
    def is_free(self) -> bool:
        """Whether ``send_now`` may be called: nobody else is sending."""
        return not (
            self._immediate is None
            or self._rest
            or self._send_unfinished
            or self._send_lock.locked()
        )

    def send_now(self, data: bytes, messages: Sequence[tuple[object, int]]) -> bool:
        """``send_messages`` of what can be sent without waiting. Returns whether that is all. If it
        is not, a ``send_messages`` must follow, of nothing more or of more.
        """
        assert self._immediate is not None
        self.delivery.write(len(data), messages)
        self._rest = data[self._immediate.send_now(data) :]
        return not self._rest

    def unwritten(self) -> Sequence[object]:
        """The messages that the stream has not taken whole. While a send is under way these are all
        that were not acknowledged.
        """
        if self._rest or self._send_unfinished:
            return self.delivery.unreceived()
        return self.delivery.waiting

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.send_messages((data,), ())

    async def send_messages(
        self,
        parts: Sequence[bytes | bytearray | memoryview],
        messages: Sequence[tuple[object, int]],
    ) -> None:
        """``send_all`` of ``parts``, which carry ``messages``, each with the offset of its end.

        The stream gets them slice by slice. So a client that does not read causes no copy of all
        parts, and TLS encrypts one slice at most before other tasks run. A slice consists of whole
        TLS records, so ``delivery`` computes the same positions as for one write.
        """
        async with self._send_lock:
            if self._send_unfinished:
                raise trio.BrokenResourceError("an earlier send was not finished")
            self._send_unfinished = True
            self.delivery.write(sum(map(len, parts)), messages)
            rest, self._rest = self._rest, b""
            with trio.move_on_after(self._send_timeout):
                for data in _slices((rest, *parts)):
                    await self._stream.send_all(data)
                self._send_unfinished = False
            if self._send_unfinished:
                raise trio.BrokenResourceError("the client has stopped reading")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b""
        else:
            self.waits = True
            try:
                data = bytes(await self._stream.receive_some(max_bytes))
            finally:
                self.waits = False
        self.has_read = True
        try:
            frames = self._frames.feed_untrusted(data)
        except ProtocolError as error:
            raise trio.BrokenResourceError(str(error)) from None
        if (pause := self.allowance.take(len(data), frames, trio.current_time())) > 0:
            await trio.sleep(pause)
        return data

    async def drain(self) -> None:
        """Read and drop everything up to the end, no faster than ``allowance`` permits."""
        while data := await self._stream.receive_some(65536):
            if (pause := self.allowance.take(len(data), 0, trio.current_time())) > 0:
                await trio.sleep(pause)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


class WebSocket:
    """One websocket, behind its opening handshake. Always call ``close`` in the end."""

    __slots__ = (
        "_close_timeout",
        "_closed",
        "_connection",
        "_reader",
        "_stream",
        "reader_scope",
    )

    def __init__(self, stream: BoundedStream, close_timeout: float) -> None:
        self.reader_scope = trio.CancelScope()
        """Cancelling it ends ``deliver``."""
        self._stream = stream
        self._close_timeout = close_timeout
        self._closed: trio.Event | None = None  # set at the end of ``close``, once it has begun
        self._reader: trio.Event | None = None  # set at the end of the reading, if there is one
        self._connection = WebSocketConnection(
            stream,
            cast(WSConnection, FrameProtocol()),
            max_message_size=stream.allowance.max_payload,
        )
        self._connection._connection_proposal = None  # the handshake is over

    async def deliver(self, take: Callable[[str | bytes], Awaitable[None]]) -> Never:
        """Read, and await ``take`` with each message. Raises WebSocketGone in the end, or what
        ``take`` raises.
        """
        await self._read(take)
        state = self._connection._wsproto.state  # only a close frame of the client leads to these
        raise WebSocketGone(clean=state in (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED))

    def set_allowance(self, allowance: Allowance) -> None:
        """Read as much, and as fast, as ``allowance`` permits from now on."""
        self._stream.allowance = allowance
        # trio-websocket has no public way to change the limit of an existing connection.
        self._connection._max_message_size = allowance.max_payload

    async def send(self, frames: Sequence[bytes], events: Sequence[tuple[object, int]]) -> None:
        """Send frames in this order and in one write, since a write costs more than the rest of
        sending a message. ``events`` are those that ``unreceived`` returns if they are not
        received, each with the offset of the end of its frame. Raises WebSocketGone, also after
        ``send_timeout``.
        """
        self._stream.delivery.waiting = [event for event, _ in events]
        # trio-websocket writes one message at a time, so the frames go to the stream directly. The
        # control frames of trio-websocket go before or after them.
        if self._connection.closed is not None:
            raise WebSocketGone(clean=False)
        try:
            await self._stream.send_messages(frames, events)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise WebSocketGone(clean=False) from None

    @property
    def sends_now(self) -> bool:
        """Whether ``send_now`` can be used on this stream."""
        return self._stream.sends_now

    @property
    def is_free(self) -> bool:
        """Whether ``send_now`` may be called now."""
        return self._stream.is_free and self._connection.closed is None

    def send_now(self, frames: Sequence[bytes], events: Sequence[tuple[object, int]]) -> bool:
        """``send`` of what can be written without waiting. Returns whether that is all; otherwise
        ``flush`` must follow.
        """
        return self._stream.send_now(b"".join(frames), events)

    @property
    def is_flushed(self) -> bool:
        """Whether ``send_now`` has left nothing."""
        return self._stream.is_flushed

    async def flush(self) -> None:
        """Send what ``send_now`` has left. Raises like ``send``."""
        await self.send((), ())

    def unreceived(self) -> list[object]:
        """The events that were sent and that the client cannot have received, see
        ``DeliveryTracker``. After ``close``, those at the time of closing.
        """
        return self._stream.delivery.unreceived()

    @property
    def untaken(self) -> bytes | None:
        """The bytes that were read and that no message was made of, if the websocket is at rest.
        None: a message has begun, or is being taken, or something waits to be sent.
        """
        connection, stream = self._connection, self._stream
        frames = cast(FrameProtocol, connection._wsproto)
        if not stream.at_rest or self._closed is not None:
            return None
        return None if connection._message_parts else frames.untaken

    def unwritten(self) -> Sequence[object]:
        """Those of ``unreceived`` that the kernel has not taken whole."""
        return self._stream.unwritten()

    async def close(self) -> None:
        """Do the closing handshake within ``close_timeout``, then end the stream and the reading.

        Does all of this even when cancelled. Idempotent: a further call waits for the first, which
        another task may be in the middle of.
        """
        if self._closed is not None:
            with trio.CancelScope(shield=True):
                await self._closed.wait()
            return
        self._closed = trio.Event()
        try:
            self._stream.delivery.close()
            with trio.move_on_after(self._close_timeout, shield=True):
                await self._close_handshake()
        finally:
            self.reader_scope.cancel()
            self._closed.set()
            await trio.aclose_forcefully(self._stream)

    async def _close_handshake(self) -> None:
        connection = self._connection
        too_big = (
            connection.closed is not None and connection.closed.code == CloseReason.MESSAGE_TOO_BIG
        )
        try:
            if connection.closed is None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read_until_closed)
                    # A close frame without a code, as Engine.IO's own server sends it.
                    await connection.aclose(CloseReason.NO_STATUS_RCVD)
                    nursery.cancel_scope.cancel()
            if too_big:
                # With unread bytes the kernel would reset the connection, and the client would not
                # read the close frame.
                self.reader_scope.cancel()
                if self._reader is not None:
                    await self._reader.wait()
                await self._stream.drain()
        except* (LocalProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
            logger.debug("the client was gone before the closing handshake")

    async def _read(self, take: Callable[[str | bytes], Awaitable[None]]) -> None:
        """Have trio-websocket read, in this task, until the end or ``reader_scope`` is
        cancelled.
        """
        connection, self._reader = self._connection, trio.Event()
        self._set_queue(_Handover(self._stream, take, self._queue_closed))
        try:
            with self.reader_scope:
                await connection._reader_task()
        except (LocalProtocolError, ConnectionClosed):
            # trio-websocket answers some frames without a look at its state, e.g. a ping in the
            # closing handshake. It answers malformed frames although the client may be gone.
            logger.debug("the reading ended early", exc_info=True)
        finally:
            self._set_queue(_Handover(self._stream, _drop, _nothing))
            self._reader.set()
            self._reader = None

    async def _read_until_closed(self) -> None:
        """Read up to the client's close frame if ``deliver`` does not."""
        if self._reader is not None:
            await self._reader.wait()
        connection = self._connection
        # A frame that trio-websocket cannot answer any more, e.g. a ping, ends one reading.
        while connection._reader_running and not connection._close_handshake.is_set():
            self.reader_scope = trio.CancelScope()  # the one before may be cancelled
            await self._read(_drop)

    def _set_queue(self, queue: "_Handover") -> None:
        self._connection._send_channel = cast("trio.MemorySendChannel[str | bytes]", queue)
        self._connection._recv_channel = cast("trio.MemoryReceiveChannel[str | bytes]", queue)

    def _queue_closed(self) -> None:
        closed = self._connection.closed
        if closed is not None and closed.code == CloseReason.MESSAGE_TOO_BIG:
            self.reader_scope.cancel()  # nothing more is read but to ``drain``


async def _drop(message: str | bytes) -> None:
    """No message is taken during the closing handshake."""


def _nothing() -> None:
    """Nothing reads, so nothing is to be ended."""


def _slices(parts: Sequence[bytes | bytearray | memoryview]) -> Iterator[bytearray]:
    """The bytes of ``parts``, in pieces of ``_SLICE`` bytes."""
    filled = bytearray()
    for part in parts:
        view, at = memoryview(part), 0
        while at < len(view):
            taken = view[at : at + _SLICE - len(filled)]
            filled += taken
            at += len(taken)
            if len(filled) == _SLICE:
                yield filled
                filled = bytearray()
    if filled:
        yield filled


class _Handover:
    """Both ends of trio-websocket's queue, as far as it uses them. ``take`` gets what is sent.

    Other tasks run between two messages of one read.
    """

    __slots__ = (
        "_closed",
        "_stream",
        "_take",
    )

    def __init__(
        self,
        stream: BoundedStream,
        take: Callable[[str | bytes], Awaitable[None]],
        closed: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._take = take
        self._closed = closed

    async def __aenter__(self) -> "_Handover":
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def send(self, message: str | bytes) -> None:
        if not self._stream.has_read:
            await trio.lowlevel.checkpoint()
        self._stream.has_read = False
        await self._take(message)

    async def aclose(self) -> None:
        self._closed()
