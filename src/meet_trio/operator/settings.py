"""The settings of the operator's tools."""

import contextlib
from pathlib import Path

import attrs

from meet_trio.settings import addresses, kinds
from meet_trio.settings.about import about
from meet_trio.settings.kinds import Kind, number, or_none, seconds, whole

_LAGS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # bounds of ``lag.BOUNDS``: exact there


def _lag(raw: object) -> object:
    with contextlib.suppress(ValueError):
        if (found := number(0, 10)(raw)) in _LAGS:
            return found
    raise ValueError


@attrs.frozen(kw_only=True)
class HealthSettings:
    """From when on the server calls itself unhealthy. None: never for this reason."""

    engine_wait: float = attrs.field(
        default=3.0,
        metadata=about(
            "health.engine_wait",
            seconds(1, 10),
            "unhealthy if a media engine has taken no commands for this time",
            reload=True,
        ),
    )
    engine_busy: float = attrs.field(
        default=0.9,
        metadata=about(
            "health.engine_busy",
            number(0.1, 1),
            "unhealthy if a media engine works for more than this share of five seconds",
            reload=True,
        ),
    )
    loop_lag: float = attrs.field(
        default=0.5,
        metadata=about(
            "health.loop_lag",
            Kind("one of " + ", ".join(f"{lag:g}" for lag in _LAGS), _lag),
            "unhealthy if tasks wait longer than this for their turn, in seconds",
            reload=True,
        ),
    )
    loop_lag_share: float = attrs.field(
        default=0.1,
        metadata=about(
            "health.loop_lag_share",
            number(0.001, 1),
            "the share of the last ten seconds in which they wait so long",
            reload=True,
        ),
    )
    webhooks_waiting: int | None = attrs.field(
        default=1000,
        metadata=about(
            "health.webhooks_waiting",
            or_none(whole(1, 10**7)),
            "unhealthy if more webhooks wait",
            reload=True,
        ),
    )
    webhook_age: float | None = attrs.field(
        default=300.0,
        metadata=about(
            "health.webhook_age",
            or_none(seconds(1, 86400)),
            "unhealthy if a webhook has waited longer; one is tried for up to three minutes",
            reload=True,
        ),
    )
    webhooks_lost: int | None = attrs.field(
        default=3,
        metadata=about(
            "health.webhooks_lost",
            or_none(whole(1, 10**6)),
            "unhealthy if so many webhooks in a row were given up",
            reload=True,
        ),
    )


@attrs.frozen(kw_only=True)
class DrainSettings:
    """How the server empties itself."""

    timeout: float = attrs.field(
        default=0.0,
        metadata=about(
            "drain.timeout",
            seconds(0, 7 * 86400),
            "rooms that are left so long after the beginning of a drain are closed; 0: never",
            operator=True,
            reload=True,
        ),
    )


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
            example="0123456789abcdef0123456789abcdef",
            reload=True,
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
            example="127.0.0.1:9464",
        ),
    )

    @property
    def served(self) -> bool:
        return self.token is not None or self.listen is not None


@attrs.frozen(kw_only=True)
class QualitySettings:
    """The record that is kept of each call, see ``quality``. By default there is none."""

    file: Path | None = attrs.field(
        default=None,
        metadata=about(
            "quality.file",
            or_none(kinds.NEW_FILE),
            "file that a JSON line about each peer and meeting is added to",
            operator=True,
            example="/var/log/meet-trio/quality.jsonl",
            reload=True,
        ),
    )
    log: bool = attrs.field(
        default=False,
        metadata=about(
            "quality.log",
            kinds.SWITCH,
            "log those records, as the part meet_trio.quality",
            operator=True,
            reload=True,
        ),
    )
    webhook: bool = attrs.field(
        default=False,
        metadata=about(
            "quality.webhook",
            kinds.SWITCH,
            "add the meeting's record to the webhook that says that its room has closed",
            reload=True,
        ),
    )
    interval: float = attrs.field(
        default=10.0,
        metadata=about(
            "quality.interval",
            seconds(1, 3600),
            "time between two looks at the engines' figures",
            reload=True,
        ),
    )
    max_waiting: int = 2000
    """Records that wait for a slow disk; later ones are lost."""

    @property
    def enabled(self) -> bool:
        return self.file is not None or self.log or self.webhook
