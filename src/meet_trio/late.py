"""The modules that a server loads late, if at all. A process that takes over from another loads
them at once: it has no time for them later.
"""

from collections.abc import Iterator

from meet_trio.config import Settings


def late_modules(settings: Settings, *, dtls: bool) -> Iterator[str]:
    """``dtls``: there are rooms, so DTLS will be wanted."""
    yield "meet_trio.parts"
    if dtls:
        yield "meet_trio.media.dtls_server"
        yield "meet_trio.media.association"
    if settings.webhook.url is not None:
        yield "httpx"
    if settings.metrics.listen is not None or settings.metrics.token is not None:
        yield "meet_trio.operator.metrics"
        yield "meet_trio.operator.metrics_page"
