"""The flags of the commands that read the server's settings."""

import argparse
from collections.abc import Callable
from pathlib import Path

from meet_trio.config import CONFIG_VARIABLE, Entry, entries


def add_settings(parser: argparse.ArgumentParser, shown: Callable[[Entry], bool]) -> None:
    """The file and all settings; ``shown``: those that the help tells of."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"TOML file of settings (env {CONFIG_VARIABLE})"
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for entry in entries():
        if entry.table not in groups:
            groups[entry.table] = parser.add_argument_group(f"[{entry.table}]")
        _add_flag(groups[entry.table], entry, shown=shown(entry))


def _add_flag(group: argparse._ArgumentGroup, entry: Entry, *, shown: bool) -> None:
    text = f"{entry.about.help} (env {entry.about.env}; default: {entry.default_text})"
    text = text.replace("%", "%%") if shown else argparse.SUPPRESS
    if entry.about.kind.switch:
        group.add_argument(
            entry.about.flag,
            dest=entry.key,
            default=None,
            action=argparse.BooleanOptionalAction,
            help=text,
        )
    else:
        name = entry.key.rpartition("_")[2].rpartition(".")[2].upper()
        group.add_argument(entry.about.flag, dest=entry.key, metavar=name, help=text)
