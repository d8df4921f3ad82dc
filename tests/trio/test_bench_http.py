"""The load generator's HTTP client, against servers of a few lines."""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from support.certificates import make_certificate

from meet_trio.bench.api import open_api
from meet_trio.bench.errors import BenchError
from meet_trio.bench.http import HttpAnswer, HttpClient, HttpError, open_http

Handler = Callable[[trio.abc.Stream, bytes], Awaitable[bool]]
"""Takes one request with its body; false: the connection ends."""


class Server:
    """``connections`` counts those that came; ``requests`` has what came."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections = 0
        self.requests: list[bytes] = []
        self.url = ""

    async def run(self, tls: ssl.SSLContext | None, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/meetmedia/api"

        async def serve(tcp: trio.SocketStream) -> None:
            stream = trio.SSLStream(tcp, tls, server_side=True) if tls else tcp
            await self._serve(stream)

        task_status.started()
        await trio.serve_listeners(serve, listeners)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        held = b""
        async with stream:
            while True:
                while b"\r\n\r\n" not in held:
                    try:
                        data = await stream.receive_some()
                    except trio.BrokenResourceError:
                        return
                    if not data:
                        return
                    held += data
                head, _, held = held.partition(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                while len(held) < size:
                    held += await stream.receive_some()
                request, held = head + b"\r\n\r\n" + held[:size], held[size:]
                self.requests.append(request)
                if not await self.handler(stream, request):
                    return


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"


async def started(nursery: trio.Nursery, handler: Handler) -> Server:
    server = Server(handler)
    await nursery.start(server.run, None)
    return server


def client_of(server: Server, token: str = "t") -> HttpClient:
    return HttpClient(server.url, {"X-Auth-Token": token}, ssl.create_default_context())


def answering(answer: bytes, *, stays: bool = True) -> Handler:
    async def handle(stream: trio.abc.Stream, _: bytes) -> bool:
        await stream.send_all(answer)
        return stays

    return handle


async def test_one_connection_is_kept(nursery: trio.Nursery) -> None:
    server = await started(nursery, answering(OK))
    client = client_of(server)
    for _ in range(3):
        assert await client.call("POST", "sessions", {"role": 1}) == HttpAnswer(200, b"{}")
    assert server.connections == 1
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /meetmedia/api/sessions HTTP/1.1\r\n")
    assert b"x-auth-token: t" in head.lower()
    assert body == b'{"role": 1}'
    await client.close()


async def test_calls_at_one_time_have_a_limit(nursery: trio.Nursery) -> None:
    """Each has a connection, and the others wait for one of these."""
    free = trio.Event()

    async def wait(stream: trio.abc.Stream, _: bytes) -> bool:
        await free.wait()
        await stream.send_all(OK)
        return True

    server = await started(nursery, wait)
    client = client_of(server)
    async with trio.open_nursery() as calls:
        for _ in range(120):
            calls.start_soon(client.call, "GET", "ping")
        with trio.fail_after(10):
            while len(server.requests) < 50:
                await trio.sleep(0.01)
        free.set()
    assert len(server.requests) == 120
    assert server.connections == 50
    await client.close()


async def test_an_answer_in_chunks(nursery: trio.Nursery) -> None:
    server = await started(nursery, answering(CHUNKED))
    client = client_of(server)
    for _ in range(2):
        assert await client.call("GET", "lag") == HttpAnswer(404, b"{}")
    assert server.connections == 1
    await client.close()


async def test_a_connection_that_the_server_has_closed_is_replaced(nursery: trio.Nursery) -> None:
    server = await started(nursery, answering(OK, stays=False))
    client = client_of(server)
    for _ in range(3):
        assert (await client.call("GET", "ping")).status == 200
    assert server.connections == 3
    await client.close()


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"]
)
async def test_no_answer_is_an_error(nursery: trio.Nursery, answer: bytes) -> None:
    server = await started(nursery, answering(answer, stays=False))
    with trio.fail_after(5), pytest.raises(HttpError, match=r"\w"):
        await client_of(server).call("GET", "ping")


async def test_a_silent_server_is_an_error(nursery: trio.Nursery) -> None:
    server = await started(nursery, answering(b""))
    client = client_of(server)
    client.timeout = 0.05
    with trio.fail_after(5), pytest.raises(HttpError, match=r"none in 0\.05 s"):
        await client.call("GET", "ping")


async def test_an_answer_without_end_is_an_error(nursery: trio.Nursery) -> None:
    async def pour(stream: trio.abc.Stream, _: bytes) -> bool:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            try:
                await stream.send_all(bytes(1_000_000))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return False

    server = await started(nursery, pour)
    with trio.fail_after(10), pytest.raises(HttpError, match="too long"):
        await client_of(server).call("GET", "ping")


async def test_certificates_are_looked_at(nursery: trio.Nursery, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    server = Server(answering(OK))
    await nursery.start(server.run, tls)
    with pytest.raises(HttpError, match="certificate"):
        async with open_http(server.url, {}, ssl.create_default_context()) as client:
            await client.call("GET", "ping")
    trusting = ssl.create_default_context(cafile=certificate)
    trusting.check_hostname = False
    async with open_http(server.url, {}, trusting) as client:
        assert (await client.call("GET", "ping")).status == 200


async def test_what_an_api_answers(nursery: trio.Nursery) -> None:
    """Statuses become words."""
    for answer, words in (
        (CHUNKED, "there is no API here"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "refuses the token"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nfull", "503 full"),
    ):
        server = await started(nursery, answering(answer))
        async with open_api(f"{server.url}/", "t", ssl.create_default_context()) as api:
            with pytest.raises(BenchError, match=words):
                await api.ping()
    server = await started(nursery, answering(CHUNKED))
    async with open_api(server.url, "t", ssl.create_default_context()) as api:
        assert await api.lag() is None
    server = await started(nursery, answering(OK))
    async with open_api(server.url, "t", ssl.create_default_context()) as api:
        with pytest.raises(BenchError, match="lag: the answer is another one"):
            await api.lag()
    nursery.cancel_scope.cancel()
