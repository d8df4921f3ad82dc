"""Settings of an upgrade: how long its steps may take."""

import attrs

from meet_trio.settings.about import about
from meet_trio.settings.kinds import seconds


@attrs.frozen(kw_only=True)
class UpgradeSettings:
    """An upgrade that takes longer in a step is given up, and the server goes on. After
    ``settle_timeout`` it goes on all the same.
    """

    start_timeout: float = attrs.field(
        default=60.0,
        metadata=about(
            "upgrade.start_timeout",
            seconds(1, 600),
            "time in which the new process must be ready; the server runs as before meanwhile",
            reload=True,
        ),
    )
    settle_timeout: float = attrs.field(
        default=1.0,
        metadata=about(
            "upgrade.settle_timeout",
            seconds(0.01, 30),
            "time for the answers of requests that have begun, in which no others are read; "
            "connections that are not at rest then are closed",
            reload=True,
        ),
    )
    hold_timeout: float = attrs.field(
        default=1.0,
        metadata=about(
            "upgrade.hold_timeout",
            seconds(0.05, 10),
            "time in which the new process must have taken over, while media stands still",
            reload=True,
        ),
    )
