"""Other settings for a server that runs: which of them it can take."""

from collections.abc import Sequence

import attrs

from meet_trio.config.settings import Settings
from meet_trio.config.table import Entry, entries


@attrs.frozen
class Change:
    """``settings`` are those that a running server can take. ``taken`` and ``left`` are keys:
    settings that are other than before, and settings that would be if the server was restarted.
    """

    settings: Settings
    taken: Sequence[str]
    left: Sequence[str]


def change(present: Settings, wanted: Settings) -> Change:
    """What becomes of ``present`` if as much as possible is taken from ``wanted``."""
    settings, taken, left = present, [], []
    for entry in entries():
        value = _value(wanted, entry)
        if value == _value(present, entry):
            continue
        if entry.about.reload:
            settings = _with_value(settings, entry, value)
            taken.append(entry.key)
        else:
            left.append(entry.key)
    return Change(settings, taken, left)


def _value(settings: Settings, entry: Entry) -> object:
    value = getattr(getattr(settings, entry.record), entry.field)
    return getattr(value, entry.number) if entry.number else value


def _with_value(settings: Settings, entry: Entry, value: object) -> Settings:
    record = getattr(settings, entry.record)
    if entry.number:
        value = attrs.evolve(getattr(record, entry.field), **{entry.number: value})
    return attrs.evolve(settings, **{entry.record: attrs.evolve(record, **{entry.field: value})})
