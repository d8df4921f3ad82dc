"""The settings of the log."""

from typing import Literal

import attrs

from meet_trio.settings import kinds
from meet_trio.settings.about import about
from meet_trio.settings.kinds import one_of, or_none, whole

Level = Literal["debug", "info", "warning", "error"]


@attrs.frozen(kw_only=True)
class LogSettings:
    """``debug`` has patterns of parts, see ``levels.LogLevels``."""

    level: Level = attrs.field(
        default="info",
        metadata=about(
            "process.log_level",
            one_of("debug", "info", "warning", "error"),
            "least level that is logged",
            operator=True,
            reload=True,
        ),
    )
    format: Literal["console", "json"] = attrs.field(
        default="console",
        metadata=about(
            "process.log_format",
            one_of("console", "json"),
            "lines of the log for people, or one JSON object a line for programs",
            operator=True,
        ),
    )
    debug: str | None = attrs.field(
        default=None,
        metadata=about(
            "process.debug",
            or_none(kinds.TEXT),
            "patterns of loggers that are logged in full: kolabmeet-server*, or meet_trio.PART.*",
            env="DEBUG",
            operator=True,
            reload=True,
            example="meet_trio.live.*",
        ),
    )
    repeats: int = attrs.field(
        default=20,
        metadata=about(
            "process.log_repeats",
            whole(1, 1_000_000),
            "lines of the log that say the same at once; further ones come at one per second, "
            "with the number of those left out; half as many about one peer, ten times as many "
            "about all peers",
        ),
    )
