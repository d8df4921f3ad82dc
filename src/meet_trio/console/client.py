"""The client's end of a console's connection.

It uses a blocking socket and no event loop: a command is a question and its answer, and there is
nothing to do meanwhile. prompt_toolkit, which needs asyncio, has the main thread while a line is
typed, and completes in a thread of its own with a second connection. So neither has to know of the
other's loop.

Ctrl-C cancels the command that runs. A second one ends the client.
"""

import itertools
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from meet_trio.console.wire import VERSION, MalformedLine, decode_untrusted, encode

_GREETING_TIMEOUT = 5.0


class NoServer(Exception):
    """No server answers, or it has ended."""


class CommandFailed(Exception):
    """``usage``: the command or its arguments were wrong."""

    def __init__(self, why: str, usage: bool) -> None:
        super().__init__(why)
        self.usage = usage


@attrs.define(eq=False)
class Client:
    """A connection to a server."""

    _socket: socket.socket
    _received: bytearray = attrs.field(factory=bytearray)
    _ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    @classmethod
    def connect(cls, paths: Sequence[Path], timeout: float | None = None) -> "Client":
        """Connect to the first path that a server answers at. Raises NoServer. ``timeout`` is for
        each answer later on.
        """
        reasons = []
        for path in paths:
            connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connecting.settimeout(_GREETING_TIMEOUT)
                connecting.connect(str(path))
                client = cls(connecting)
                client._check_greeting(client._receive())
            except (OSError, NoServer) as error:
                connecting.close()
                reason = error.strerror if isinstance(error, OSError) else str(error)
                reasons.append(f"{path}: {reason or error}")
                continue
            connecting.settimeout(timeout)
            return client
        raise NoServer("no server answers: " + "; ".join(reasons))

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, command: str, arguments: Sequence[str], take: Callable[[str, Any], None]) -> None:
        """Run a command. ``take`` gets the form and each item. Raises CommandFailed, NoServer."""
        number = next(self._ids)
        self._send({"id": number, "command": command, "arguments": list(arguments)})
        form = "objects"
        cancelled = False
        while True:
            try:
                message = self._receive()
            except KeyboardInterrupt:
                if cancelled:
                    raise
                cancelled = True
                self._send({"id": number, "cancel": True})
                continue
            if message.get("id") not in (number, None):
                continue
            if "error" in message:
                if "id" not in message:
                    raise NoServer(str(message["error"]))
                raise CommandFailed(str(message["error"]), bool(message.get("usage")))
            if "form" in message:
                form = str(message["form"])
            elif "item" in message:
                take(form, message["item"])
            elif message.get("done"):
                return

    def items(self, command: str, *arguments: str) -> tuple[str, list[Any]]:
        """The form and all items of a command."""
        found: list[Any] = []
        forms = ["objects"]

        def take(form: str, item: Any) -> None:
            forms.append(form)
            found.append(item)

        self.ask(command, arguments, take)
        return forms[-1], found

    def _check_greeting(self, greeting: dict[str, Any]) -> None:
        if "error" in greeting:
            raise NoServer(str(greeting["error"]))
        if greeting.get("server") != "meet-trio" or greeting.get("protocol") != VERSION:
            version = greeting.get("version", "unknown")
            raise NoServer(f"its version ({version}) speaks another protocol")

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.sendall(encode(message))
        except OSError:
            raise NoServer("the server has ended") from None

    def _receive(self) -> dict[str, Any]:
        while (end := self._received.find(b"\n")) < 0:
            try:
                chunk = self._socket.recv(65536)
            except TimeoutError:
                raise NoServer("the server does not answer") from None
            except OSError:
                chunk = b""
            if not chunk:
                raise NoServer("the server has ended")
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            return decode_untrusted(line)
        except MalformedLine:
            raise NoServer("what answers there is no console") from None
