"""The text of the metrics, in the two formats that Prometheus reads.

From one page to the next only numbers change. So prometheus_client writes each metric once, and
keeps the last word on names, escapes and the order of lines. Its text has a gap for each number,
which later pages fill. A metric with other labels than before is written anew.
"""

from collections.abc import Callable, Sequence

import attrs
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from meet_trio.operator.described import METRICS, MetricKind


@attrs.frozen
class Outline:
    """What all pages repeat of a metric: its name, the values of its labels, and the bounds of a
    histogram.
    """

    name: str
    rows: tuple[tuple[str, ...], ...]
    bounds: tuple[float, ...] = ()


@attrs.frozen
class Numbers:
    """A metric: for each row of its outline a number, or of a histogram the numbers of values up to
    each bound, the number of all values, and their sum.
    """

    outline: Outline
    numbers: Sequence[float]


def library_metric(metric: Numbers) -> Metric:
    """The metric as prometheus_client has it."""
    outline, numbers = metric.outline, metric.numbers
    about = METRICS[outline.name]
    if about.kind in (MetricKind.COUNTER, MetricKind.GAUGE):
        kind = CounterMetricFamily if about.kind is MetricKind.COUNTER else GaugeMetricFamily
        family = kind(about.family, about.help, labels=about.labels)
        for labels, number in zip(outline.rows, numbers, strict=True):
            family.add_metric(labels, number)
        return family
    is_of_events = about.kind is MetricKind.HISTOGRAM
    histogram = HistogramMetricFamily if is_of_events else GaugeHistogramMetricFamily
    found = histogram(about.family, about.help, labels=about.labels)
    names = [*(f"{bound:.12g}" for bound in outline.bounds), "+Inf"]
    size = len(names) + 1
    for place, labels in enumerate(outline.rows):
        *counts, total = numbers[place * size : (place + 1) * size]
        found.add_metric(labels, list(zip(names, counts, strict=True)), total)
    return found


@attrs.frozen
class _One(Collector):
    """One metric, as the encoders want it."""

    metric: Metric

    def collect(self) -> Sequence[Metric]:
        return [self.metric]


@attrs.frozen
class _Template:
    """The text of a metric with gaps for ``%``, and which number belongs into each gap."""

    text: str
    places: tuple[int, ...]

    def fill(self, numbers: Sequence[float]) -> str:
        written = [_written(number) for number in numbers]
        return self.text % tuple([written[place] for place in self.places])


def _written(number: float) -> str:
    text: str = floatToGoString(number)  # type: ignore[no-untyped-call]
    return text


@attrs.define(eq=False)
class Format:
    """One of the two formats. ``encode`` is prometheus_client's encoder, ``end`` closes a page.

    Most numbers are those of the last page: nothing was dropped, nobody came. So the last text of
    each metric is kept.
    """

    media_type: str
    encode: Callable[[Collector], bytes]
    end: str = ""
    _templates: dict[str, tuple[Outline, _Template]] = attrs.field(factory=dict)
    _written: dict[str, tuple[Numbers, str]] = attrs.field(factory=dict)

    def write(self, metric: Numbers) -> str:
        name = metric.outline.name
        known, text = self._written.get(name, (None, ""))
        if known != metric:
            text = self._template(metric).fill(metric.numbers)
            self._written[name] = metric, text
        return text

    def _template(self, metric: Numbers) -> _Template:
        outline, template = self._templates.get(metric.outline.name, (None, None))
        if template is None or outline != metric.outline:
            template = self._make_template(metric)
            self._templates[metric.outline.name] = metric.outline, template
        return template

    def _make_template(self, metric: Numbers) -> _Template:
        """Each number is its own place here, so the library's text says which number is where."""
        marked = Numbers(metric.outline, [float(place) for place in range(len(metric.numbers))])
        text = self.encode(_One(library_metric(marked))).decode().removesuffix(self.end)
        lines, places = [], []
        for line in text.splitlines(keepends=True):
            if line.startswith("#"):
                lines.append(line.replace("%", "%%"))
            else:
                before, _, number = line.rpartition(" ")
                lines.append(before.replace("%", "%%") + " %s\n")
                places.append(int(float(number)))
        return _Template("".join(lines), tuple(places))


def plain_format() -> Format:
    return Format(CONTENT_TYPE_PLAIN_0_0_4, generate_latest)


def open_format() -> Format:
    return Format(openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest, "# EOF\n")
