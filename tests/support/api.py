"""The HTTP API (``/meetmedia/api``) as Kolab 4 uses it, over one short connection for each call."""

import json
import ssl
from typing import Any

import attrs
import h11
import trio


class ApiError(Exception):
    """The server answered with a status other than 2xx."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body[:200]!r}")
        self.status = status
        self.body = body


@attrs.frozen
class MeetApi:
    """The server's address and its ``AUTH_TOKEN``; ``ssl_context`` makes it https."""

    host: str
    port: int
    token: str
    ssl_context: ssl.SSLContext | None = None
    prefix: str = "/meetmedia/api"

    async def create_room(self) -> str:
        """Create a room; returns its id."""
        room_id: str = (await self.call("POST", "/sessions", {}))["id"]
        return room_id

    async def create_peer(self, room_id: str, role: int) -> str:
        """Invite a peer; returns its token URL for the room."""
        answer = await self.call("POST", f"/sessions/{room_id}/connection", {"role": role})
        url: str = answer["token"]
        return url

    async def rooms(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.call("GET", "/sessions")
        return found

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the API; returns the decoded answer. Raises ApiError."""
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
        answer = await self.fetch(method, self.prefix + path, headers, data)
        return json.loads(answer)

    async def fetch(
        self, method: str, target: str, headers: dict[str, str], body: bytes = b""
    ) -> bytes:
        """Send any request to the server; returns the answer's body. Raises ApiError."""
        stream: trio.abc.Stream
        if self.ssl_context is None:
            stream = await trio.open_tcp_stream(self.host, self.port)
        else:
            stream = await trio.open_ssl_over_tcp_stream(
                self.host, self.port, ssl_context=self.ssl_context, https_compatible=True
            )
        async with stream:
            connection = h11.Connection(h11.CLIENT)
            all_headers = {
                "Host": f"{self.host}:{self.port}",
                "Connection": "close",
                "Content-Length": str(len(body)),
                **headers,
            }
            for event in (
                h11.Request(method=method, target=target, headers=list(all_headers.items())),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                await stream.send_all(connection.send(event) or b"")
            status, answer = 0, b""
            while True:
                received = connection.next_event()
                if received is h11.NEED_DATA:
                    connection.receive_data(bytes(await stream.receive_some()))
                elif isinstance(received, h11.Response):
                    status = received.status_code
                elif isinstance(received, h11.Data):
                    answer += received.data
                elif isinstance(received, h11.EndOfMessage):
                    break
        if not 200 <= status < 300:
            raise ApiError(status, answer)
        return answer
