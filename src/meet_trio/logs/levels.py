"""Which records are written: a level for this server, and levels of single parts, which may change
while it runs.

A part is a logger and all loggers below it: ``meet_trio.live`` has ``meet_trio.live.room``. A
pattern with ``*`` stands for several. The names of the original server work too:
``kolabmeet-server:live`` is ``meet_trio.live``. If several patterns match, the last one decides.
Libraries are logged from warnings on unless a pattern matches.

The level is set at each logger, so a record that is not wanted is not made. A logger that is made
later makes all records that any pattern wants, and ``shows`` leaves out the others.
"""

import fnmatch
import logging
import re
from collections.abc import Iterator, Mapping

import attrs

from meet_trio.logs.settings import Level, LogSettings

_OURS, _ORIGINAL = "meet_trio", "kolabmeet-server"
_LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_OF_LIBRARIES = logging.WARNING

TAGS: Mapping[str, tuple[str, ...]] = {
    "info": ("meet_trio.media.engines",),
    "ice": ("meet_trio.media.transport", "meet_trio.media.plain"),
    "dtls": ("meet_trio.media.dtls", "meet_trio.media.transport"),
    "srtp": ("meet_trio.media.transport",),
    "rtp": ("meet_trio.live.room", "meet_trio.engine"),
    "rtcp": ("meet_trio.live.room", "meet_trio.engine"),
    "rtx": ("meet_trio.live.room", "meet_trio.engine"),
    "bwe": ("meet_trio.live.room",),
    "score": ("meet_trio.live.room",),
    "simulcast": ("meet_trio.live.room",),
    "svc": ("meet_trio.live.room",),
    "message": ("meet_trio.socketio",),
}
"""The parts that log what mediasoup logs under a tag, for the original's ``logTags``."""


@attrs.define(eq=False)
class LogLevels:
    """The levels in force. They begin as ``settings`` say."""

    settings: LogSettings
    _level: Level = attrs.field(init=False)
    _rules: dict[str, Level | None] = attrs.field(init=False)
    """The levels of patterns; None: as without a rule."""
    _known: dict[str, int] = attrs.field(factory=dict, init=False)
    """The least level that is shown, by logger. Its loggers are those that the code has."""

    def __attrs_post_init__(self) -> None:
        self.configure(self.settings)

    def configure(self, settings: LogSettings) -> None:
        """Begin again with these settings: levels that were set while running are forgotten."""
        self.settings = settings
        self._level = settings.level
        self._rules = dict(_rules_of(settings.debug or ""))
        self._apply()

    def set(self, level: str, part: str | None = None) -> None:
        """Show records of ``part`` from ``level`` on, or of the whole server without ``part``.
        Raises ValueError for an unknown level, or if no part has that name.
        """
        if level not in _LEVELS:
            raise ValueError(f"{level}: one of {', '.join(_LEVELS)} is wanted")
        if part is None:
            self._level = level  # type: ignore[assignment]
        else:
            if not any(_matches(name, part) for name in _loggers()):
                raise ValueError(f"{part}: no part has that name")
            self._rules.pop(part, None)  # the newest is the last
            self._rules[part] = level  # type: ignore[assignment]
        self._apply()

    def reset(self, part: str | None = None) -> None:
        """Forget the level of ``part``, as it was written in ``set`` or in DEBUG. Without ``part``
        all is as the settings say. Raises ValueError if the part has no level of its own.
        """
        if part is None:
            self.configure(self.settings)
            return
        if part not in self._rules:
            raise ValueError(f"{part}: has no level of its own")
        del self._rules[part]
        self._apply()

    def describe(self) -> dict[str, object]:
        """``{"level": …, "parts": {pattern: level}}``. The level None is that of the server."""
        return {"level": self._level, "parts": dict(self._rules)}

    def shows(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be written. It is a filter of a handler."""
        least = self._known.get(record.name)
        if least is None:
            least = self._known[record.name] = self._least(record.name)
        return record.levelno >= least

    def _least(self, logger: str) -> int:
        default = _LEVELS[self._level] if _is_ours(logger) else _OF_LIBRARIES
        least = default
        for part, level in self._rules.items():
            if _matches(logger, part):
                least = default if level is None else _LEVELS[level]
        return least

    def _apply(self) -> None:
        self._known.clear()
        for name in _loggers():
            least = self._least(name)
            ruled = _is_ours(name) or least != _OF_LIBRARIES
            _set_level(logging.getLogger(name), least if ruled else logging.NOTSET)
        # for the loggers that are made later
        wanted = {part: _LEVELS[level] for part, level in self._rules.items() if level is not None}
        foreign = [
            level for part, level in wanted.items() if not part.startswith((_OURS, _ORIGINAL))
        ]
        _set_level(logging.getLogger(_OURS), min([_LEVELS[self._level], *wanted.values()]))
        _set_level(logging.getLogger(), min([_OF_LIBRARIES, *foreign]))


def _set_level(logger: logging.Logger, level: int) -> None:
    if logger.level != level:  # setting it empties the caches of all loggers
        logger.setLevel(level)


def _loggers() -> list[str]:
    return list(logging.Logger.manager.loggerDict)


def _is_ours(name: str) -> bool:
    return name == _OURS or name.startswith(f"{_OURS}.")


def _rules_of(text: str) -> Iterator[tuple[str, Level | None]]:
    """The rules of the variable DEBUG. Commas or blanks separate patterns, and a leading ``-``
    excludes.
    """
    words = [word for word in re.split(r"[\s,]+", text) if word]
    yield from ((word, "debug") for word in words if not word.startswith("-"))
    yield from ((word[1:], None) for word in words if word.startswith("-"))


def _matches(logger: str, part: str) -> bool:
    """Whether a logger belongs to a part."""
    names = [logger]
    if _is_ours(logger):
        below = logger.removeprefix(_OURS).removeprefix(".")
        names.append(f"{_ORIGINAL}:{below}" if below else _ORIGINAL)
    return any(
        fnmatch.fnmatchcase(name, pattern) for name in names for pattern in (part, f"{part}.*")
    )
