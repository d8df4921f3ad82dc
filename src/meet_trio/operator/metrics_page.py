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
from prometheus_client.samples import Sample
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from meet_trio.edge.authenticator import shows_bearer
from meet_trio.live.shared_answer import SharedAnswer

PATH = "/metrics"


@attrs.frozen
class _One(Collector):
    """One metric, as the encoders want it."""

    metric: Metric

    def collect(self) -> Sequence[Metric]:
        return [self.metric]


@attrs.define(eq=False)
class _Format:
    """One of the two formats. ``end`` closes a text.

    Most numbers are those of the last time: nothing was dropped, nobody came. Writing a metric
    costs several times as much as comparing it, so the text of each is kept.
    """

    media_type: str
    encode: Callable[[Collector], bytes]
    end: bytes = b""
    answer: SharedAnswer[bytes] = attrs.field(factory=SharedAnswer)
    _written: dict[str, tuple[list[Sample], bytes]] = attrs.field(factory=dict)

    def write(self, metric: Metric) -> bytes:
        samples, text = self._written.get(metric.name, (None, b""))
        if samples != metric.samples:
            text = self.encode(_One(metric)).removesuffix(self.end)
            self._written[metric.name] = metric.samples, text
        return text


def _plain() -> _Format:
    return _Format(CONTENT_TYPE_PLAIN_0_0_4, generate_latest)


def _openmetrics() -> _Format:
    return _Format(openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest, b"# EOF\n")


@attrs.define(eq=False)
class MetricsPage:
    """``gather`` returns the groups of metrics."""

    gather: Callable[[], Awaitable[Sequence[Sequence[Metric]]]]
    _plain: _Format = attrs.field(factory=_plain)
    _open: _Format = attrs.field(factory=_openmetrics)

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
        wanted = self._open if "application/openmetrics-text" in accepted else self._plain
        text = await wanted.answer.get(partial(self._write, wanted))
        return Response(text, media_type=wanted.media_type)

    async def _write(self, wanted: _Format) -> bytes:
        parts = []
        for group in await self.gather():
            parts += [wanted.write(metric) for metric in group]
            await trio.lowlevel.checkpoint()  # lets other tasks run
        return b"".join([*parts, wanted.end])
