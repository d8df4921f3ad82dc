"""The server's side of the console: connections, and one running command for each.

    connection ── reader     lines of the client; starts commands, cancels the one that runs
               ├─ writer     whole messages, one at a time
               └─ command    the one that runs

A message waits until the writer has written the one before. So a console that does not read stops
its command, and after ``write_timeout`` it is closed; it holds one message and blocks nobody. The
work of a command is done in short turns of the loop (``turns``, ``call.Call.put``).

A fault in a command is logged and answered. It ends neither the console nor the server. Commands
that change something are logged with the process and user that asked.
"""

import logging
import socket
import struct
from collections.abc import Sequence
from typing import Any

import attrs
import trio

from meet_trio import __version__
from meet_trio.console.call import Call, Credentials, ServerView, UsageError
from meet_trio.console.commands import COMMANDS, Command
from meet_trio.console.settings import ConsoleSettings
from meet_trio.console.wire import VERSION, MalformedLine, decode_untrusted, encode
from meet_trio.errors import RequestError

logger = logging.getLogger("meet_trio.console")

_MOST_ARGUMENTS = 100
_LAST_COMMAND = 10.0  # seconds that a command goes on after its client has sent all


class _LineTooLong(Exception):
    pass


@attrs.define(eq=False)
class Console:
    """All consoles of one server."""

    view: ServerView
    settings: ConsoleSettings
    connections: int = 0

    async def serve(
        self,
        listening: socket.socket,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve consoles that connect to ``listening``, until cancelled."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening.dup()))
        async with listener:
            task_status.started()
            await trio.serve_listeners(self._serve_one, [listener])

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                if self.connections >= self.settings.max_connections:
                    await self._refuse(stream)
                    return
                self.connections += 1
                try:
                    await _Connection(self, stream).run()
                finally:
                    self.connections -= 1
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has gone
        except* Exception:
            logger.exception("a console failed")

    async def _refuse(self, stream: trio.SocketStream) -> None:
        most = self.settings.max_connections
        message = {"error": f"{most} consoles are open already (console.max_connections)"}
        with trio.move_on_after(self.settings.write_timeout):
            await stream.send_all(encode(message))


@attrs.define(eq=False)
class _Connection:
    """One console."""

    console: Console
    stream: trio.SocketStream
    credentials: Credentials = attrs.field(init=False)
    namespace: dict[str, Any] = attrs.field(factory=dict)
    _received: bytearray = attrs.field(factory=bytearray)
    _running_id: object = None
    _running: trio.CancelScope | None = None
    _idle: trio.Event = attrs.field(factory=trio.Event)
    _out: trio.MemorySendChannel[Sequence[bytes]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        size = struct.calcsize("3i")
        found = self.stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, uid, _ = struct.unpack("3i", found)
        self.credentials = Credentials(pid, uid)

    async def run(self) -> None:
        """Serve the console until its client closes it, or it is closed."""
        self._out, messages = trio.open_memory_channel[Sequence[bytes]](0)
        async with messages, trio.open_nursery() as nursery:
            nursery.start_soon(self._write, messages, nursery.cancel_scope)
            greeting = {"server": "meet-trio", "version": __version__, "protocol": VERSION}
            await self._send_message(greeting)
            try:
                await self._read(nursery)
            except (_LineTooLong, MalformedLine) as error:
                await self._send_message({"error": str(error)})
            else:
                if self._running is not None:  # a client that sends all, then reads the answer
                    with trio.move_on_after(_LAST_COMMAND):
                        await self._idle.wait()
            if self._running is not None:
                self._running.cancel()
            self._out.close()  # the writer ends after its last message, and ends the rest

    async def _read(self, nursery: trio.Nursery) -> None:
        while (line := await self._next_line()) is not None:
            message = decode_untrusted(line)
            if message.get("cancel"):
                if self._running is not None and message.get("id") == self._running_id:
                    self._running.cancel()
            elif self._running is not None:
                error = "one command at a time; cancel the other one first"
                await self._send_message({"id": message.get("id"), "error": error, "usage": True})
            else:
                self._running, self._running_id = trio.CancelScope(), message.get("id")
                self._idle = trio.Event()
                nursery.start_soon(self._run_command, message, self._running)

    async def _next_line(self) -> bytes | None:
        """The next line that is not blank, None after the last one. Raises _LineTooLong."""
        most = self.console.settings.max_line
        while True:
            end = self._received.find(b"\n")
            if (len(self._received) if end < 0 else end) > most:
                raise _LineTooLong(f"a line has at most {most} bytes (console.max_line)")
            if end >= 0:
                line = bytes(self._received[:end])
                del self._received[: end + 1]
                if line.strip():
                    return line
            elif chunk := await self.stream.receive_some(4096):
                self._received += chunk
            else:
                return None

    async def _run_command(self, message: dict[str, Any], scope: trio.CancelScope) -> None:
        end: dict[str, Any]
        with scope:
            end = await self._answer(message)
        if scope.cancelled_caught:
            end = {"error": "cancelled", "usage": False}
        await self._send_message({"id": message.get("id"), **end})
        self._running = None
        self._idle.set()

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Run a command and return how it ended."""
        try:
            command, arguments = _parse_untrusted(message)
            call = Call(
                arguments,
                self.console.view,
                self.credentials,
                self.namespace,
                command.form,
                self._send,
                message.get("id"),
            )
            if command.changes_bare or (command.changes and arguments):
                self._log_change(command, arguments)
            await command.run(call)
            await call.begin()
        except UsageError as error:
            return {"error": str(error), "usage": True}
        except RequestError as error:
            return {"error": str(error), "usage": False}
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise
        except Exception:
            logger.exception("console: %s failed", message.get("command"))
            return {"error": "this is a fault of the server; its log says more", "usage": False}
        return {"done": True}

    def _log_change(self, command: Command, arguments: Sequence[str]) -> None:
        """What is typed at the Python prompt is not logged: it may have secrets in it."""
        shown = arguments if command.logs_arguments else ["…"]
        logger.info(
            "console: user %d, process %d: %s",
            self.credentials.uid,
            self.credentials.pid,
            " ".join([command.name, *shown]),
        )

    # Writing

    async def _send_message(self, message: dict[str, Any]) -> None:
        await self._send([encode(message)])

    async def _send(self, parts: Sequence[bytes]) -> None:
        await self._out.send(parts)

    async def _write(
        self, messages: trio.MemoryReceiveChannel[Sequence[bytes]], whole: trio.CancelScope
    ) -> None:
        """Write messages. A message is written whole, or the connection ends."""
        timeout = self.console.settings.write_timeout
        try:
            async for parts in messages:
                for part in parts:
                    with trio.move_on_after(timeout) as slow:
                        await self.stream.send_all(part)
                    if slow.cancelled_caught:
                        logger.info(
                            "console: process %d reads nothing: closed", self.credentials.pid
                        )
                        return
        finally:
            whole.cancel()


def _parse_untrusted(message: dict[str, Any]) -> tuple[Command, Sequence[str]]:
    name, arguments = message.get("command"), message.get("arguments", [])
    if not isinstance(name, str):
        raise UsageError("command: expected a text")
    if (
        not isinstance(arguments, list)
        or len(arguments) > _MOST_ARGUMENTS
        or not all(isinstance(argument, str) for argument in arguments)
    ):
        raise UsageError(f"arguments: expected a list of at most {_MOST_ARGUMENTS} texts")
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(f"there is no command {name[:80]!r}; help lists them")
    if len(arguments) > command.most_arguments:
        raise UsageError(f"usage: {command.usage}")
    return command, arguments
