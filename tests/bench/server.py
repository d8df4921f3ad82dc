"""Measures the cost of the server from another process: ``PYTHONPATH=tests python
tests/bench/server.py``.

It prints API calls per second, round trips of signaling per second (``ping`` and its
acknowledgement) with some peers connected, and the server's CPU time for each. Client and server
share the machine, so on few cores the client's cost limits the rates. The server's CPU time per
operation does not depend on the client. What idle peers cost is in ``idle``.
"""

import argparse
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import trio
from checkouts import open_daemon
from cpu_time import cpu_time
from support.api import MeetApi
from support.daemon import Daemon, api_of
from support.peers import CAPABILITIES

from meet_trio.bench.light_peer import LightPeer, open_light_peer

SECONDS = 3.0
CONNECTIONS = 16
ROOM = 50
FLAGS = (
    "--limits-requests-per-second", "1000000", "--limits-request-burst", "1000000",
    "--limits-rooms", "1000000", "--limits-peers-per-room", "1000000",
)  # fmt: skip


async def measure(
    daemon: Daemon, name: str, workers: Sequence[Callable[[], Awaitable[None]]]
) -> None:
    """Run the workers at the same time, each in a loop, and print the rate and the CPU time."""
    done = 0

    async def work(worker: Callable[[], Awaitable[None]]) -> None:
        nonlocal done
        while True:
            await worker()
            done += 1

    pid = daemon.process.pid
    start, used, own = time.monotonic(), cpu_time(pid), time.process_time()
    with trio.move_on_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for worker in workers:
                nursery.start_soon(work, worker)
    seconds = time.monotonic() - start
    server, client = (
        1e6 * (cpu_time(pid) - used) / done,
        1e6 * (time.process_time() - own) / done,
    )
    print(
        f"{name:<44} {done / seconds:>8.0f} /s, server {server:>6.0f} µs, client {client:>5.0f} µs",
        flush=True,
    )


# The API


class Caller:
    """One kept connection."""

    def __init__(self, stream: trio.SocketStream, request: bytes) -> None:
        self._stream = stream
        self._request = request

    async def call(self) -> None:
        await self._stream.send_all(self._request)
        answer = bytearray()
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += await self._receive()
        assert answer.startswith(b"HTTP/1.1 200 "), bytes(answer)
        length = int(bytes(answer[:end]).lower().partition(b"content-length: ")[2].split(b"\r")[0])
        while len(answer) < end + 4 + length:
            answer += await self._receive()

    async def _receive(self) -> bytes:
        data = await self._stream.receive_some()
        assert data, "the server has closed the connection"
        return bytes(data)


async def bench_api(daemon: Daemon, api: MeetApi) -> None:
    room_id = await api.create_room()
    head = f"Host: localhost\r\nX-Auth-Token: {api.token}\r\nContent-Type: application/json\r\n"
    for name, line, body in [
        ("GET ping", f"GET {api.prefix}/ping", ""),
        ("POST sessions", f"POST {api.prefix}/sessions", "{}"),
        ("POST sessions/ID/connection", f"POST {api.prefix}/sessions/{room_id}/connection", "{}"),
    ]:
        request = f"{line} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        async with contextlib.AsyncExitStack() as stack:
            callers = []
            for _ in range(CONNECTIONS):
                stream = await trio.open_tcp_stream("127.0.0.1", api.port)
                await stack.enter_async_context(stream)
                callers.append(Caller(stream, request).call)
            await measure(daemon, f"{name}, {CONNECTIONS} connections", callers)


# Signaling


@contextlib.asynccontextmanager
async def crowd(api: MeetApi, count: int) -> AsyncIterator[list[LightPeer]]:
    """``count`` joined peers in rooms of ``ROOM``."""
    urls: list[str] = []
    while len(urls) < count:
        room_id = await api.create_room()
        size = min(ROOM, count - len(urls))
        urls += [await api.create_peer(room_id, 3) for _ in range(size)]
    peers: list[LightPeer] = []
    over = trio.Event()

    async def live(url: str) -> None:
        async with open_light_peer(url) as peer:
            await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
            peers.append(peer)
            await over.wait()
            await peer.say("41")
            await peer.closed.wait()

    async with trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(live, url)
        while len(peers) < count:
            await trio.sleep(0.01)
        yield peers
        over.set()


async def bench_signaling(daemon: Daemon, api: MeetApi, count: int) -> None:
    async with crowd(api, count) as peers:

        def pinger(peer: LightPeer) -> Callable[[], Awaitable[None]]:
            async def ping() -> None:
                await peer.request("ping")

            return ping

        await measure(daemon, f"ping and its answer, one of {count} peers", [pinger(peers[0])])
        if count > 1:
            await measure(
                daemon, f"ping and its answer, all of {count} peers", list(map(pinger, peers))
            )


def with_daemon(bench: Callable[[Daemon, MeetApi], Awaitable[None]]) -> None:
    with open_daemon(*FLAGS, "--process-log-level", "warning") as daemon:
        trio.run(bench, daemon, api_of(daemon))


def main() -> None:
    argparse.ArgumentParser(description="What calls and signaling cost.").parse_args()
    with_daemon(bench_api)
    for count in (1, 100, 1000):
        with_daemon(lambda daemon, api, count=count: bench_signaling(daemon, api, count))  # type: ignore[misc]


if __name__ == "__main__":
    main()
