"""A small HTTP client on kept connections, which costs little: one thread makes the calls of
hundreds of joins.
"""

import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import attrs
import h11
import trio

_AT_ONCE = 50  # connections; more calls wait
_READ = 65_536  # bytes
_MOST_BYTES = 10_000_000  # of an answer
_ENDED = OSError, trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError


class HttpError(Exception):
    """There was no answer."""


@attrs.frozen
class HttpAnswer:
    status: int
    body: bytes


@attrs.frozen(eq=False)
class _Connection:
    stream: trio.abc.Stream
    http: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.CLIENT))

    async def call(self, head: h11.Request, body: bytes) -> HttpAnswer:
        http = self.http
        sent = http.send(head) or b""
        await self.stream.send_all(
            sent + (http.send(h11.Data(body)) or b"") + (http.send(h11.EndOfMessage()) or b"")
        )
        status, answer = 0, bytearray()
        while True:
            match http.next_event():
                case h11.Response(status_code=status):
                    pass
                case h11.Data(data=data):
                    answer += data
                    if len(answer) > _MOST_BYTES:
                        raise HttpError("the answer is too long")
                case h11.EndOfMessage():
                    return HttpAnswer(status, bytes(answer))
                case h11.NEED_DATA:
                    http.receive_data(bytes(await self.stream.receive_some(_READ)))
                case h11.ConnectionClosed() | h11.PAUSED:
                    raise HttpError("the connection has ended")


@attrs.define(eq=False)
class HttpClient:
    """``headers`` go with each request."""

    url: str
    """Of all paths, without a slash at its end."""
    headers: dict[str, str]
    context: ssl.SSLContext
    timeout: float = 20.0
    """Seconds, for a call."""
    _idle: list[_Connection] = attrs.field(factory=list)
    _limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(_AT_ONCE))

    async def call(self, method: str, path: str, body: object = None) -> HttpAnswer:
        """Raises HttpError."""
        data = b"" if body is None else json.dumps(body).encode()
        parts = urlsplit(self.url)
        headers = [
            ("Host", parts.netloc.rpartition("@")[2]),
            *self.headers.items(),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(data))),
        ]
        head = h11.Request(method=method, target=f"{parts.path}/{path}", headers=headers)
        try:
            async with self._limiter:
                with trio.fail_after(self.timeout):
                    return await self._call(head, data)
        except trio.TooSlowError:
            raise HttpError(f"none in {self.timeout:g} s") from None
        except _ENDED as error:
            known = error.__cause__ if isinstance(error, trio.BrokenResourceError) else error
            raise HttpError(str(known or "the connection has ended")) from None

    async def _call(self, head: h11.Request, data: bytes) -> HttpAnswer:
        while self._idle:
            # the server may have closed a connection that nobody used
            with contextlib.suppress(HttpError, *_ENDED):
                return await self._call_by(self._idle.pop(), head, data)
        return await self._call_by(await self._open(), head, data)

    async def _call_by(self, connection: _Connection, head: h11.Request, data: bytes) -> HttpAnswer:
        try:
            response = await connection.call(head, data)
        except BaseException:
            await trio.aclose_forcefully(connection.stream)
            raise
        if connection.http.our_state is h11.DONE and connection.http.their_state is h11.DONE:
            connection.http.start_next_cycle()
            self._idle.append(connection)
        else:
            await trio.aclose_forcefully(connection.stream)
        return response

    async def _open(self) -> _Connection:
        parts = urlsplit(self.url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        tcp = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
        if not secure:
            return _Connection(tcp)
        return _Connection(
            trio.SSLStream(tcp, self.context, server_hostname=host, https_compatible=True)
        )

    async def close(self) -> None:
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop().stream)


@contextlib.asynccontextmanager
async def open_http(
    url: str, headers: dict[str, str], context: ssl.SSLContext
) -> AsyncIterator[HttpClient]:
    """A client for the time of the ``async with``."""
    client = HttpClient(url, headers, context)
    try:
        yield client
    finally:
        with trio.CancelScope(shield=True):
            await client.close()
