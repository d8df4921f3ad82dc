"""The table of all settings, made from the records in ``Settings``. ``build`` makes the records
from values.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from meet_trio.config.settings import DESCRIPTION, Settings
from meet_trio.settings.about import About, abouts

TABLES = {
    "http": "The one listener for HTTP and websockets.",
    "signaling": "Sockets of clients, and requests over them.",
    "rooms": "Lives of rooms.",
    "media": "RTP, ICE and DTLS.",
    "limits": "How much clients can make the server keep; far above what people do.",
    "turn": "The TURN relay that clients are told of.",
    "webhook": "Where events of rooms are posted.",
    "metrics": "Figures for Prometheus; off unless one of these is set.",
    "quality": "The record that is kept of each call.",
    "demo": "For trying it out: anybody who reaches the page may open rooms.",
    "health": "When the health check of the API says that the server is not well.",
    "drain": "Emptying the server, so that it can end without throwing anybody out.",
    "console": "The operator's console, see [the console](console.md).",
    "admin": "The page for operators, see [the admin page](admin.md); off without a token.",
    "state": "What is kept for the next process, see [restart](restart.md).",
    "process": "The process itself.",
    "upgrade": "Taking over by another process, see [restart](restart.md#an-upgrade).",
}
"""The tables of the TOML file, in the order in which help and docs show them."""


@attrs.frozen
class Entry:
    """One setting. ``record`` is the field of ``Settings``, and ``field`` the field of that record.
    ``number`` is the field of a ``Rate``, or "" if the setting is no part of one.
    """

    record: str
    field: str
    number: str
    about: About
    default: object

    @property
    def key(self) -> str:
        return self.about.key

    @property
    def table(self) -> str:
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        return self.key.partition(".")[2]

    @property
    def default_text(self) -> str:
        if self.about.default_text is not None:
            return self.about.default_text
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return "none" if self.default is None else str(self.default)


def entries() -> tuple[Entry, ...]:
    """All settings, by table."""
    tables = list(TABLES)
    return tuple(sorted(_entries(), key=lambda entry: tables.index(entry.table)))


def _entries() -> Iterator[Entry]:
    for part in attrs.fields(Settings):
        defaults = _defaults(part)
        own = {field.name: field.metadata for field in attrs.fields(_type(part))}
        for name, metadata in part.metadata.get(DESCRIPTION, own).items():
            for number, about in abouts(metadata).items():
                default = getattr(defaults[name], number) if number else defaults[name]
                yield Entry(part.name, name, number, about, default)


def _type(part: "attrs.Attribute[Any]") -> type[Any]:
    assert part.type is not None
    return part.type


def _defaults(part: "attrs.Attribute[Any]") -> dict[str, Any]:
    """The defaults of one record, by field. A required field has ``attrs.NOTHING``."""
    if part.default is attrs.NOTHING:
        return {field.name: field.default for field in attrs.fields(_type(part))}
    return {field.name: getattr(part.default, field.name) for field in attrs.fields(_type(part))}


def build(values: Mapping[str, object]) -> Settings:
    """The settings with these values, by key (``http.port``), and with defaults for the others.
    ``http.auth_token`` has no default. Raises KeyError for an unknown key.
    """
    table = {entry.key: entry for entry in entries()}
    records = {part.name: _defaults(part) for part in attrs.fields(Settings)}
    for key, value in values.items():
        entry = table[key]
        fields = records[entry.record]
        if entry.number:
            fields[entry.field] = attrs.evolve(fields[entry.field], **{entry.number: value})
        else:
            fields[entry.field] = value
    return Settings(
        **{
            part.name: _type(part)(
                **{n: v for n, v in records[part.name].items() if v is not attrs.NOTHING}
            )
            for part in attrs.fields(Settings)
        }
    )
