"""The settings of what operators see."""

from pathlib import Path

import attrs

from meet_trio.settings import kinds
from meet_trio.settings.about import about
from meet_trio.settings.kinds import or_none, seconds


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
        ),
    )
    log: bool = attrs.field(
        default=False,
        metadata=about(
            "quality.log",
            kinds.SWITCH,
            "log those records, as the part meet_trio.quality",
            operator=True,
        ),
    )
    webhook: bool = attrs.field(
        default=False,
        metadata=about(
            "quality.webhook",
            kinds.SWITCH,
            "add the meeting's record to the webhook that says that its room has closed",
        ),
    )
    interval: float = attrs.field(
        default=10.0,
        metadata=about(
            "quality.interval", seconds(1, 3600), "time between two looks at the engines' figures"
        ),
    )
    max_waiting: int = 2000
    """Records that wait for a slow disk; later ones are lost."""

    @property
    def enabled(self) -> bool:
        return self.file is not None or self.log or self.webhook
