"""The site over ASGI, without a network, against a registry with fakes."""

import contextlib
from collections.abc import AsyncIterator

import attrs
import httpx
import trio
from starlette.types import Receive, Scope, Send
from support.live_fakes import World

from meet_trio.edge.http_api import HttpApi
from meet_trio.edge.settings import HttpApiSettings, WebhookSettings
from meet_trio.edge.site import build_site
from meet_trio.edge.tokens import ApiTokens
from meet_trio.edge.webhooks import Outbox
from meet_trio.lag import LoopLag
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.operator.health import Health
from meet_trio.operator.settings import HealthSettings

API = "/meetmedia/api"
AUTH = {"X-Auth-Token": "secret"}


@attrs.frozen
class Site:
    world: World
    api: HttpApi
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, **kwargs: object) -> httpx.Response:
        return await self.http.request(method, API + path, headers=AUTH, **kwargs)  # type: ignore[arg-type]

    async def create_room(self) -> str:
        answer = await self.call("POST", "/sessions")
        return str(answer.json()["id"])


async def no_polling(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("not a polling path")


@contextlib.asynccontextmanager
async def open_site(
    *, demo: bool = False, rooms: RoomSettings | None = None
) -> AsyncIterator[Site]:
    async with trio.open_nursery() as nursery:
        world = World(nursery, rooms or RoomSettings(), PeerSettings())
        await nursery.start(world.registry.run)
        settings = HttpApiSettings(auth_token="secret", max_body_bytes=10_000)
        token_base = "wss://meet.test:12443"
        lag = LoopLag()
        health = Health(HealthSettings(), world.registry, lag, Outbox(WebhookSettings()))
        api = HttpApi(
            world.registry,
            lag,
            ApiTokens(settings),
            health.reasons,
            settings,
            token_base,
            max_json_depth=64,
        )
        app = build_site(api, no_polling, frozenset(), page=demo, demo=demo)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://meet.test") as http:
            yield Site(world, api, http)
        nursery.cancel_scope.cancel()
