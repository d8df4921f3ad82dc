"""Stock Socket.IO clients, each in a process of its own, and a TCP forwarder that can be cut.

``open_client`` starts one of ``CLIENTS``. They all take the same commands and print the same lines,
which ``socketio_clients/client.mjs`` describes; ``wait`` takes the lines one by one.
"""

import contextlib
import functools
import json
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import trio
from support.news import News

FOLDER = Path(__file__).parent / "socketio_clients"
NODE = str(Path(sys.executable).parent / "node")
CLIENTS = {
    "socket.io-client-4": (NODE, str(FOLDER / "client.mjs"), "4"),
    "socket.io-client-2": (NODE, str(FOLDER / "client.mjs"), "2"),
    "python-socketio": (sys.executable, str(FOLDER / "client.py")),
}
WSCAT = (NODE, str(FOLDER / "node_modules/wscat/bin/wscat"))

Line = dict[str, Any]


@attrs.define(eq=False)
class Client:
    """A running client. ``said`` holds the lines that no ``wait`` has taken yet."""

    process: trio.Process
    said: list[Line] = attrs.field(factory=list)
    ended: bool = False
    _news: News = attrs.field(factory=News)

    async def tell(self, **command: object) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(json.dumps(command).encode() + b"\n")

    async def call(self, *args: object) -> list[Any]:
        """The arguments of the acknowledgement."""
        await self.tell(call=args)
        answer: list[Any] = (await self.wait("ack"))["args"]
        return answer

    async def request(self, method: str, **data: object) -> list[Any]:
        return await self.call("request", {"method": method, "data": data})

    async def wait(self, on: str, **fields: object) -> Line:
        """Take the first line that has these fields; wait for it if none has come."""
        wanted = {"on": on, **fields}
        while True:
            for line in self.said:
                if wanted.items() <= line.items():
                    self.said.remove(line)
                    return line
            assert not self.ended, f"ended without {wanted}; said {self.said}"
            await self._news.wait()

    async def event(self, name: str) -> list[Any]:
        args: list[Any] = (await self.wait("event", name=name))["args"]
        return args

    async def notice(self) -> tuple[str, Any]:
        """Method and data of the next notification of a room."""
        (message,) = await self.event("notification")
        return message["method"], message.get("data")

    async def read(self) -> None:
        async for line in Lines(self.process):
            self.said.append(json.loads(line))
            self._news.tell()
        self.ended = True
        self._news.tell()


@attrs.define(eq=False)
class Lines:
    """Lines of the process's output, to its end."""

    process: trio.Process
    _rest: bytes = b""

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> str:
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            chunk = await self.process.stdout.receive_some()
            if not chunk:
                raise StopAsyncIteration
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()


@contextlib.asynccontextmanager
async def open_process(*command: str) -> AsyncIterator[trio.Process]:
    """The process ends with the scope. Its standard error goes to that of the test."""
    run = functools.partial(
        trio.run_process,
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        check=False,
    )
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(run)
        assert process.stdin is not None
        assert process.stdout is not None
        async with process.stdin, process.stdout:
            yield process
            nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def open_client(
    name: str, url: str, path: str, transports: list[str] | None = None
) -> AsyncIterator[Client]:
    """``url`` includes the query; its path is the namespace. ``transports`` None is the client's
    default: polling and then the upgrade.
    """
    options: dict[str, object] = {"path": path}
    if transports is not None:
        options["transports"] = transports
    async with open_process(*CLIENTS[name], url, json.dumps(options)) as process:
        async with trio.open_nursery() as nursery:
            client = Client(process)
            nursery.start_soon(client.read)
            yield client
            nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class Way:
    """Forwards TCP to another port. ``cut`` resets all connections, new ones included, until
    ``mend``.
    """

    to_port: int
    port: int = 0
    _broken: bool = False
    _there: set[trio.CancelScope] = attrs.field(factory=set)

    def cut(self) -> None:
        self._broken = True
        for scope in self._there:
            scope.cancel()

    def mend(self) -> None:
        self._broken = False

    async def serve(self, near: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            far = await trio.open_tcp_stream("127.0.0.1", self.to_port)
            with trio.CancelScope() as scope:
                self._there.add(scope)
                if self._broken:
                    scope.cancel()
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._carry, near, far)
                        nursery.start_soon(self._carry, far, near)
                finally:
                    self._there.remove(scope)
                    for stream in (near, far):
                        if scope.cancel_called:  # without the reset it would be an orderly end
                            reset = struct.pack("ii", 1, 0)
                            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                        stream.socket.close()

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            async for chunk in source:
                await sink.send_all(chunk)
            await sink.send_eof()


@contextlib.asynccontextmanager
async def open_way(to_port: int) -> AsyncIterator[Way]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    way = Way(to_port, listeners[0].socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, way.serve, listeners)
        yield way
        nursery.cancel_scope.cancel()
