"""``GET /metrics``: the page that Prometheus reads.

Calls that come at once share one answer for each of the two formats, and the groups of metrics are
written in turns of the loop of their own. So many calls cost as much as two, and none holds the
loop for long.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import attrs
import trio
from starlette.responses import Response

from meet_trio.live.shared_answer import SharedAnswer
from meet_trio.operator.exposition import Format, Numbers, open_format, plain_format


@attrs.define(eq=False)
class _Answers:
    """The answers in one of the two formats."""

    format: Format
    shared: SharedAnswer[bytes] = attrs.field(factory=SharedAnswer)


@attrs.define(eq=False)
class MetricsPage:
    """``gather`` returns the groups of metrics."""

    gather: Callable[[], Awaitable[Iterable[Iterable[Numbers]]]]
    _plain: _Answers = attrs.field(factory=lambda: _Answers(plain_format()))
    _open: _Answers = attrs.field(factory=lambda: _Answers(open_format()))

    async def answer(self, accept: str) -> Response:
        """The answer to a request whose header ``Accept`` is this."""
        # There is one version of each format, so the versions that the client names do not matter.
        # (``choose_encoder`` of prometheus_client raises for some of them.)
        accepted = {each.partition(";")[0].strip() for each in accept.split(",")}
        wanted = self._open if "application/openmetrics-text" in accepted else self._plain
        text = await wanted.shared.get(partial(self._write, wanted.format))
        return Response(text, media_type=wanted.format.media_type)

    async def _write(self, wanted: Format) -> bytes:
        parts = []
        for group in await self.gather():
            parts += [wanted.write(metric) for metric in group]
            await trio.lowlevel.checkpoint()  # lets other tasks run
        return "".join([*parts, wanted.end]).encode()
