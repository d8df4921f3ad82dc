"""Settings of what an operator sees: metrics."""

import attrs

from meet_trio.settings import addresses, kinds
from meet_trio.settings.about import about
from meet_trio.settings.kinds import or_none


@attrs.frozen(kw_only=True)
class MetricsSettings:
    """Who may read the metrics, and where. Without a token and ``listen`` they are off.

    With ``token`` the main listener serves them to those who show it. ``listen`` is a listener of
    their own, which needs no token on loopback.
    """

    token: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(
            "metrics.token",
            or_none(kinds.TOKEN),
            "serve /metrics for Prometheus to those who send this token (Authorization: Bearer)",
            operator=True,
        ),
    )
    listen: tuple[str, int] | None = attrs.field(
        default=None,
        metadata=about(
            "metrics.listen",
            or_none(addresses.ENDPOINT),
            "serve /metrics at this address too, like 127.0.0.1:9464: without TLS, and on "
            "loopback without the token",
            operator=True,
        ),
    )

    @property
    def served(self) -> bool:
        return self.token is not None or self.listen is not None
