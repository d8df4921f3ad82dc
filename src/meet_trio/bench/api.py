"""The HTTP API of the measured server, as Kolab uses it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import attrs
import httpx

from meet_trio.bench.errors import BenchError
from meet_trio.lag import Snapshot

_TIMEOUT = 20.0  # seconds


@attrs.frozen
class Admission:
    """A peer's id and where it connects."""

    peer: str
    url: str


@attrs.define(eq=False)
class Api:
    """One kept connection, or a few."""

    client: httpx.AsyncClient
    url: str

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
        if response.status_code == 404:
            return None
        try:
            told = self._good(response, "GET", "lag").json()
            held = told["held"]
            return Snapshot(told["seconds"], tuple(held["counts"]), tuple(held["seconds"]))
        except (ValueError, KeyError, TypeError):
            raise BenchError(f"{self.url}/lag: the answer is another one") from None

    async def _json(self, method: str, path: str, body: object = None) -> Any:
        response = await self._call(method, path, body)
        try:
            return response.json()
        except ValueError:
            raise BenchError(f"{self.url}/{path}: the answer is no JSON") from None

    async def _call(self, method: str, path: str, body: object = None) -> httpx.Response:
        return self._good(await self._request(method, path, body), method, path)

    async def _request(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            return await self.client.request(method, f"{self.url}/{path}", json=body)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise BenchError(f"{self.url}: no answer: {reason}") from None

    def _good(self, response: httpx.Response, method: str, path: str) -> httpx.Response:
        if response.status_code == 403:
            raise BenchError(f"{self.url}: the server refuses the token (403)")
        if response.status_code == 404 and path == "ping":
            raise BenchError(f"{self.url}: there is no API here (404); is the path right?")
        if not response.is_success:
            text = response.text[:200]
            raise BenchError(f"{method} {self.url}/{path}: {response.status_code} {text}")
        return response


@contextlib.asynccontextmanager
async def open_api(url: str, token: str, *, verify: bool) -> AsyncIterator[Api]:
    """The API at a URL such as ``https://meet.example/meetmedia/api``."""
    async with httpx.AsyncClient(
        headers={"X-Auth-Token": token}, timeout=_TIMEOUT, trust_env=False, verify=verify
    ) as client:
        yield Api(client, url.rstrip("/"))
