"""``GET /metrics``: the page that Prometheus reads.

Calls that come at once share one answer for each of the two formats, and the groups of metrics are
written in turns of the loop of their own. So many calls cost as much as two, and none holds the
loop for long.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import attrs
import trio
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from meet_trio.edge.authenticator import shows_bearer
from meet_trio.live.shared_answer import SharedAnswer

PATH = "/metrics"

_END = b"# EOF\n"  # of OpenMetrics


@attrs.frozen
class _Group(Collector):
    """One group of metrics, as the encoders want it."""

    metrics: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        return self.metrics


@attrs.define(eq=False)
class MetricsPage:
    """``gather`` returns the groups of metrics."""

    gather: Callable[[], Awaitable[Sequence[Sequence[Metric]]]]
    _plain: SharedAnswer[bytes] = attrs.field(factory=SharedAnswer)
    _open: SharedAnswer[bytes] = attrs.field(factory=SharedAnswer)

    def route(self, token: str | None) -> Route:
        """The page for those who send ``token``, or for all if it is None."""

        async def serve(request: Request) -> Response:
            if token is not None and not shows_bearer(request.headers.get("authorization"), token):
                return PlainTextResponse(
                    "metrics.token is wanted\n", 401, headers={"WWW-Authenticate": "Bearer"}
                )
            return await self._answer(request.headers.get("accept", ""))

        return Route(PATH, serve)

    async def _answer(self, accept: str) -> Response:
        # There is one version of each format, so the versions that the client names do not matter.
        # (``choose_encoder`` of prometheus_client raises for some of them.)
        accepted = {each.partition(";")[0].strip() for each in accept.split(",")}
        if "application/openmetrics-text" in accepted:
            text = await self._open.get(partial(self._write, openmetrics.generate_latest, _END))
            return Response(text, media_type=openmetrics.CONTENT_TYPE_LATEST)
        text = await self._plain.get(partial(self._write, generate_latest, b""))
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def _write(self, encode: Callable[[Collector], bytes], end: bytes) -> bytes:
        parts = []
        for group in await self.gather():
            parts.append(encode(_Group(group)).removesuffix(end))
            await trio.lowlevel.checkpoint()  # lets other tasks run
        return b"".join([*parts, end])
