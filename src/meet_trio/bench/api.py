"""The HTTP API of the measured server, as Kolab uses it."""

import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import attrs

from meet_trio.bench.errors import BenchError
from meet_trio.bench.http import HttpAnswer, HttpClient, HttpError, open_http
from meet_trio.lag import Snapshot


@attrs.frozen
class Admission:
    """A peer's id and where it connects."""

    peer: str
    url: str


@attrs.define(eq=False)
class Api:
    client: HttpClient

    async def ping(self) -> None:
        """Raises BenchError if there is no server, or the token is wrong."""
        await self._call("GET", "ping")

    async def create_room(self) -> str:
        return str((await self._json("POST", "sessions", {}))["id"])

    async def create_peer(self, room: str, role: int) -> Admission:
        answer = await self._json("POST", f"sessions/{room}/connection", {"role": role})
        return Admission(str(answer["id"]), str(answer["token"]))

    async def lag(self) -> Snapshot | None:
        """The turns of the server's event loop so far; None: this server does not tell."""
        response = await self._request("GET", "lag")
        if response.status == 404:
            return None
        try:
            told = json.loads(self._good(response, "GET", "lag").body)
            held = told["held"]
            return Snapshot(told["seconds"], tuple(held["counts"]), tuple(held["seconds"]))
        except (ValueError, KeyError, TypeError):
            raise BenchError(f"{self.client.url}/lag: the answer is another one") from None

    async def _json(self, method: str, path: str, body: object = None) -> Any:
        response = await self._call(method, path, body)
        try:
            return json.loads(response.body)
        except ValueError:
            raise BenchError(f"{self.client.url}/{path}: the answer is no JSON") from None

    async def _call(self, method: str, path: str, body: object = None) -> HttpAnswer:
        return self._good(await self._request(method, path, body), method, path)

    async def _request(self, method: str, path: str, body: object = None) -> HttpAnswer:
        try:
            return await self.client.call(method, path, body)
        except HttpError as error:
            raise BenchError(f"{self.client.url}: no answer: {error}") from None

    def _good(self, response: HttpAnswer, method: str, path: str) -> HttpAnswer:
        if response.status == 403:
            raise BenchError(f"{self.client.url}: the server refuses the token (403)")
        if response.status == 404 and path == "ping":
            raise BenchError(f"{self.client.url}: there is no API here (404); is the path right?")
        if not 200 <= response.status < 300:
            text = response.body[:200].decode(errors="replace")
            raise BenchError(f"{method} {self.client.url}/{path}: {response.status} {text}")
        return response


@contextlib.asynccontextmanager
async def open_api(url: str, token: str, context: ssl.SSLContext) -> AsyncIterator[Api]:
    """The API at a URL such as ``https://meet.example/meetmedia/api``."""
    async with open_http(url.rstrip("/"), {"X-Auth-Token": token}, context) as client:
        yield Api(client)
