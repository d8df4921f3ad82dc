"""A server's websocket on any Trio byte stream: trio-websocket with bounded sends, a bounded
handshake and a goodbye that works when cancelled.

trio-websocket reads in a task of its own. That task is shielded here and ended by ``close``, so
that a closing handshake can still be done in a ``finally`` while everything around is being
cancelled. ``BoundedStream`` gives every send a deadline, and after a send that was given up
half-way lets nothing follow: the other side would read it as part of the torn frame. It also paces
what is read, by bytes and frames: trio-websocket answers a ping before anybody else hears of it.

No extension is negotiated (no permessage-deflate). A message above the limit closes with 1009.
"""

import logging
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import cast

import attrs
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
from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.ledger import RECORD, Ledger

_SLICE = 4 * RECORD  # what the stream below is given at once

logger = logging.getLogger("meet_trio.socketio.websocket")


class WebSocketGone(Exception):
    """The client has closed it, is lost, or has broken the protocol. ``clean``: closed by the
    client with a closing handshake.
    """

    def __init__(self, *, clean: bool) -> None:
        super().__init__()
        self.clean = clean


class BoundedStream(trio.abc.Stream):
    """``stream``, with ``send_timeout`` seconds for each ``send_all``, and read no faster than
    ``allowance`` has it. ``ledger`` knows what became of the messages.
    """

    def __init__(self, stream: trio.abc.Stream, send_timeout: float, allowance: Allowance) -> None:
        self.ledger = Ledger(stream)
        self.allowance = allowance
        self._frames = FrameCounter()
        self._stream = stream
        self._send_timeout = send_timeout
        self._torn = False
        self._one_at_a_time = trio.Lock()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.send_messages((data,), ())

    async def send_messages(
        self,
        parts: Sequence[bytes | bytearray | memoryview],
        messages: Sequence[tuple[object, int]],
    ) -> None:
        """``send_all`` of what carries these messages, each with the offset of its end.

        The stream gets it slice by slice: a client that does not read holds no copy of the whole,
        and TLS encrypts no more than that without a pause. Slices are of whole records, so that
        the ledger's reckoning is that of one write.
        """
        async with self._one_at_a_time:
            if self._torn:
                raise trio.BrokenResourceError("an earlier send was given up")
            self._torn = True
            self.ledger.write(sum(map(len, parts)), messages)
            with trio.move_on_after(self._send_timeout):
                for data in _slices(parts):
                    await self._stream.send_all(data)
                self._torn = False
            if self._torn:
                raise trio.BrokenResourceError("the client has stopped reading")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        try:
            frames = self._frames.feed_untrusted(data)
        except ProtocolError as error:
            raise trio.BrokenResourceError(str(error)) from None
        if (pause := self.allowance.take(len(data), frames, trio.current_time())) > 0:
            await trio.sleep(pause)
        return data

    async def drain(self) -> None:
        """Read to the end, and look at nothing, but no faster."""
        while data := await self._stream.receive_some(65536):
            if (pause := self.allowance.take(len(data), 0, trio.current_time())) > 0:
                await trio.sleep(pause)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@attrs.frozen
class Frame:
    """A data frame to be sent. ``event`` is what it is known by to ``WebSocket.unreceived``."""

    text: bool
    payload: bytes
    event: object = None


class WebSocket:
    """``open`` it, then ``path`` and ``headers`` are the client's; ``accept`` or ``reject``; in the
    end always ``close``.
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
        self._reader = trio.CancelScope(shield=True)
        self._reader_over = trio.Event()
        self._opening = trio.CancelScope()
        self._request: WebSocketRequest
        self._connection: WebSocketConnection | None = None

    async def open(self, nursery: trio.Nursery, deadline: float) -> bool:
        """Read the opening handshake; False if none has come by then. The reading task lives in
        ``nursery`` until ``close``.
        """
        reading = cast(trio.Nursery, _ReaderNursery(nursery, self._read))
        self._opening.deadline = deadline
        with self._opening:
            self._request = await wrap_server_stream(
                reading, self._stream, max_message_size=self._stream.allowance.max_payload
            )
        return not self._opening.cancelled_caught

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
        """Raises WebSocketGone."""
        try:
            self._connection = await self._request.accept()
        except (ConnectionClosed, LocalProtocolError):
            raise WebSocketGone(clean=False) from None

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

    def read_by(self, allowance: Allowance) -> None:
        """From now on, this says how much is read and how fast."""
        self._stream.allowance = allowance
        # there is no other way to change it once the connection is made
        self._accepted()._max_message_size = allowance.max_payload

    async def send(self, *frames: Frame) -> None:
        """Send in this order, in one write: most of what a message costs is the write. Raises
        WebSocketGone, also after ``send_timeout``.
        """
        self._stream.ledger.waiting = [f.event for f in frames if f.event is not None]
        # trio-websocket writes one message at a time; what it says itself may come in between
        if self._accepted().closed is not None:
            raise WebSocketGone(clean=False)
        parts: list[bytes] = []
        messages: list[tuple[object, int]] = []
        end = 0
        for frame in frames:
            head = _head(frame)
            parts += (head, frame.payload)
            end += len(head) + len(frame.payload)
            if frame.event is not None:
                messages.append((frame.event, end))
        try:
            await self._stream.send_messages(parts, messages)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise WebSocketGone(clean=False) from None

    def unreceived(self) -> list[object]:
        """Events that were sent and that the client cannot have got, see ``ledger``; of a websocket
        that is closed, those at its end.
        """
        return self._stream.ledger.unreceived()

    async def close(self) -> None:
        """The closing handshake, within ``close_timeout``, then the end of the stream and of the
        reading task.

        Does all of that also when cancelled. Idempotent.
        """
        self._stream.ledger.close()
        try:
            with trio.move_on_after(self._close_timeout, shield=True):
                if self._connection is not None:
                    await self._say_goodbye(self._connection)
        finally:
            self._reader.cancel()
            await trio.aclose_forcefully(self._stream)

    async def _say_goodbye(self, connection: WebSocketConnection) -> None:
        too_big = (
            connection.closed is not None and connection.closed.code == CloseReason.MESSAGE_TOO_BIG
        )
        try:
            await connection.aclose(
                CloseReason.NO_STATUS_RCVD
            )  # empty, as Engine.IO's own server does
            if too_big:
                # Unread bytes would make the kernel reset the connection, and the client lose the
                # reason
                self._reader.cancel()
                await self._reader_over.wait()
                await self._stream.drain()
        except (LocalProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
            logger.debug("the client was gone before the closing handshake")

    def _accepted(self) -> WebSocketConnection:
        if self._connection is None:
            raise RuntimeError("accept() comes first")
        return self._connection

    async def _read(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._reader:
                await task()
        except (LocalProtocolError, ConnectionClosed, UnicodeDecodeError):
            # trio-websocket answers some frames without looking at the state, e.g. a ping in the
            # closing handshake, and malformed ones without expecting the client to be gone;
            # wsproto reads some headers as ASCII
            logger.debug("the reading task ended early", exc_info=True)
        finally:
            self._reader_over.set()
            self._opening.cancel()  # no opening handshake will come any more


def _head(frame: Frame) -> bytes:
    """What comes before the payload: a whole, unmasked data frame (RFC 6455 §5.2)."""
    first, size = 0x81 if frame.text else 0x82, len(frame.payload)
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return struct.pack("!BBH", first, 126, size)
    return struct.pack("!BBQ", first, 127, size)


def _slices(parts: Sequence[bytes | bytearray | memoryview]) -> Iterator[bytearray]:
    """The same bytes, ``_SLICE`` at a time."""
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


class _ReaderNursery:
    """What ``wrap_server_stream`` needs of a nursery: starts the reading task inside ``run``."""

    def __init__(
        self,
        nursery: trio.Nursery,
        run: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
    ) -> None:
        self._nursery = nursery
        self._run = run

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, task)
