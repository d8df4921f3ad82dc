"""The server's side of a websocket (RFC 6455) on any Trio byte stream.

It is trio-websocket with three additions: sends have a deadline, the opening handshake has a
deadline, and the closing handshake works while the task is cancelled.

trio-websocket reads in a task of its own. Here that task is shielded and ended by ``close``, so a
``finally`` block can still do the closing handshake. ``deliver`` has it hand over the messages
itself: by trio-websocket's queue each of them would take three more steps of tasks.

``BoundedStream`` gives each send a deadline. After a send that was not finished, it refuses all
further ones: the client would read them as part of the incomplete frame. ``BoundedStream`` also
paces reading, by bytes and by frames, because trio-websocket answers a ping before the code above
it sees anything.

No extension is negotiated, so permessage-deflate is left out. A message above the limit closes the
websocket with 1009. Engine.IO's packets are read and written in ``over_websocket``.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Never, Protocol, cast, runtime_checkable

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    wrap_server_stream,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from meet_trio.socketio.allowance import Allowance, FrameCounter
from meet_trio.socketio.delivery import TLS_RECORD_SIZE, DeliveryTracker
from meet_trio.socketio.errors import ProtocolError

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

    def __init__(self, stream: trio.abc.Stream, send_timeout: float, allowance: Allowance) -> None:
        self.delivery = DeliveryTracker(stream)
        self.allowance = allowance
        self.has_read = False  # set by each read
        self._frames = FrameCounter()
        self._stream = stream
        self._send_timeout = send_timeout
        self._immediate = (
            stream if isinstance(stream, ImmediateStream) and stream.sends_now else None
        )
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
        data = bytes(await self._stream.receive_some(max_bytes))
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


Frame = tuple[bytes, object]
"""A data frame to be sent, and the event, if any, that ``WebSocket.unreceived`` returns if the
frame is not received.
"""


class WebSocket:
    """One websocket. Call ``open``, look at the client's ``path`` and ``headers``, and call
    ``accept`` or ``reject``. Always call ``close`` in the end.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        allowance: Allowance,
        *,
        send_timeout: float,
        close_timeout: float,
    ) -> None:
        self._stream = BoundedStream(stream, send_timeout, allowance)
        self._close_timeout = close_timeout
        self._reader_scope = trio.CancelScope(shield=True)
        self._reader_ended = trio.Event()
        self._opening_scope = trio.CancelScope()
        self._request: WebSocketRequest
        self._connection: WebSocketConnection | None = None

    async def open(self, nursery: trio.Nursery, deadline: float) -> bool:
        """Read the opening handshake. Returns False if none has come before ``deadline``.

        The reading task lives in ``nursery`` until ``close``.
        """
        reading = cast(trio.Nursery, _ReaderNursery(nursery, self._read))
        self._opening_scope.deadline = deadline
        with self._opening_scope:
            self._request = await wrap_server_stream(
                reading, self._stream, max_message_size=self._stream.allowance.max_payload
            )
        return not self._opening_scope.cancelled_caught

    @property
    def path(self) -> str:
        return str(self._request.path)

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; repeated fields joined with commas (RFC 9110 §5.3)."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._request.headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    async def accept(self) -> None:
        """Answer the opening handshake, which is forgotten then. Raises WebSocketGone."""
        try:
            self._connection = await self._request.accept()
        except (ConnectionClosed, LocalProtocolError):
            raise WebSocketGone(clean=False) from None
        finally:
            del self._request

    async def reject(self, status: int, body: bytes) -> None:
        """Answer the opening handshake with an HTTP error that carries JSON."""
        try:
            await self._request.reject(
                status, extra_headers=[(b"Content-Type", b"application/json")], body=body
            )
        except (ConnectionClosed, LocalProtocolError):
            logger.debug("the client was gone before it could be refused")

    async def receive(self) -> str | bytes:
        """The next message. Raises WebSocketGone."""
        connection = self._accepted()
        try:
            return await connection.get_message()
        except ConnectionClosed as closed:
            clean = closed.reason is not None and closed.reason.code not in (
                1006,
                CloseReason.MESSAGE_TOO_BIG,
            )
            raise WebSocketGone(clean=clean) from None

    async def deliver(self, take: Callable[[str | bytes], Awaitable[None]]) -> Never:
        """Await ``take`` with each message, until the task is cancelled. Raises WebSocketGone.

        ``take`` runs in the reading task, also while this task is being cancelled. It must raise
        nothing but Cancelled.
        """
        connection = self._accepted()
        queue = connection._send_channel
        with suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                await take(connection._recv_channel.receive_nowait())
        # The queue is empty, so nothing overtakes.
        handover = _Handover(self._stream, queue, take)
        connection._send_channel = cast("trio.MemorySendChannel[str | bytes]", handover)
        try:
            await self.receive()  # waits for the end
            raise AssertionError("a message went through the queue")
        finally:
            connection._send_channel = queue

    def set_allowance(self, allowance: Allowance) -> None:
        """Read as much, and as fast, as ``allowance`` permits from now on."""
        self._stream.allowance = allowance
        # trio-websocket has no public way to change the limit of an existing connection.
        self._accepted()._max_message_size = allowance.max_payload

    async def send(self, *frames: Frame) -> None:
        """Send frames in this order and in one write, since a write costs more than the rest of
        sending a message. Raises WebSocketGone, also after ``send_timeout``.
        """
        self._stream.delivery.waiting = [event for _, event in frames if event is not None]
        # trio-websocket writes one message at a time, so the frames go to the stream directly. The
        # control frames of trio-websocket go before or after them.
        if self._accepted().closed is not None:
            raise WebSocketGone(clean=False)
        try:
            await self._stream.send_messages(*_parts(frames))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise WebSocketGone(clean=False) from None

    @property
    def sends_now(self) -> bool:
        """Whether ``send_now`` can be used on this stream."""
        return self._stream.sends_now

    @property
    def is_free(self) -> bool:
        """Whether ``send_now`` may be called now."""
        connection = self._connection
        return connection is not None and self._stream.is_free and connection.closed is None

    def send_now(self, frames: Sequence[Frame]) -> bool:
        """``send`` of what can be written without waiting. Returns whether that is all; otherwise
        ``flush`` must follow.
        """
        parts, messages = _parts(frames)
        return self._stream.send_now(b"".join(parts), messages)

    @property
    def is_flushed(self) -> bool:
        """Whether ``send_now`` has left nothing."""
        return self._stream.is_flushed

    async def flush(self) -> None:
        """Send what ``send_now`` has left. Raises like ``send``."""
        await self.send()

    def unreceived(self) -> list[object]:
        """The events that were sent and that the client cannot have received, see
        ``DeliveryTracker``. After ``close``, those at the time of closing.
        """
        return self._stream.delivery.unreceived()

    async def close(self) -> None:
        """Do the closing handshake within ``close_timeout``, then end the stream and the reading
        task.

        Does all of this even when cancelled. Idempotent.
        """
        self._stream.delivery.close()
        try:
            with trio.move_on_after(self._close_timeout, shield=True):
                if self._connection is not None:
                    await self._close_handshake(self._connection)
        finally:
            self._reader_scope.cancel()
            await trio.aclose_forcefully(self._stream)

    async def _close_handshake(self, connection: WebSocketConnection) -> None:
        too_big = (
            connection.closed is not None and connection.closed.code == CloseReason.MESSAGE_TOO_BIG
        )
        try:
            # A close frame without a code, as Engine.IO's own server sends it.
            await connection.aclose(CloseReason.NO_STATUS_RCVD)
            if too_big:
                # With unread bytes the kernel would reset the connection, and the client would not
                # read the close frame.
                self._reader_scope.cancel()
                await self._reader_ended.wait()
                await self._stream.drain()
        except (LocalProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
            logger.debug("the client was gone before the closing handshake")

    def _accepted(self) -> WebSocketConnection:
        if self._connection is None:
            raise RuntimeError("accept() comes first")
        return self._connection

    async def _read(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._reader_scope:
                await task()
        except (LocalProtocolError, ConnectionClosed, UnicodeDecodeError):
            # trio-websocket answers some frames without a look at its state, e.g. a ping in the
            # closing handshake. It answers malformed frames although the client may be gone.
            # wsproto decodes some headers as ASCII.
            logger.debug("the reading task ended early", exc_info=True)
        finally:
            self._reader_ended.set()
            self._opening_scope.cancel()  # no opening handshake can come any more


def _parts(frames: Sequence[Frame]) -> tuple[list[bytes], list[tuple[object, int]]]:
    """The bytes of frames, and their events, each with the offset of its end."""
    parts: list[bytes] = []
    messages: list[tuple[object, int]] = []
    end = 0
    for octets, event in frames:
        parts.append(octets)
        end += len(octets)
        if event is not None:
            messages.append((event, end))
    return parts, messages


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
    """What trio-websocket uses of the sending end of its queue. ``take`` gets what is sent.

    Other tasks run between two messages of one read.
    """

    def __init__(
        self,
        stream: BoundedStream,
        queue: trio.MemorySendChannel[str | bytes],
        take: Callable[[str | bytes], Awaitable[None]],
    ) -> None:
        self._stream = stream
        self._take = take
        self.aclose = queue.aclose

    async def send(self, message: str | bytes) -> None:
        if not self._stream.has_read:
            await trio.lowlevel.checkpoint()
        self._stream.has_read = False
        await self._take(message)


class _ReaderNursery:
    """What ``wrap_server_stream`` uses of a nursery: it starts the reading task inside ``run``."""

    def __init__(
        self,
        nursery: trio.Nursery,
        run: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
    ) -> None:
        self._nursery = nursery
        self._run = run

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, task)
