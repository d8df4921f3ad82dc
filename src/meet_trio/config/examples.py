"""The example files of settings in ``conf``: each has all settings of an operator, commented out.

``python -m meet_trio.config.examples toml > conf/meet-trio.toml`` and ``python -m
meet_trio.config.examples env > conf/meet-trio.env`` write them. A test fails if they are not
current. A setting whose default is nothing needs ``example`` in its ``about``.
"""

import json
import sys
import textwrap
from collections.abc import Callable, Iterator

from meet_trio.config.table import TABLES, Entry, entries

_WHAT = """\
# Each setting of an operator stands here, commented out: with its default, or with an example if
# there is no default. docs/settings.md and `meet-trio serve --help-all` list the bounds too. Times
# are in seconds.
"""
_TOML_HEAD = f"""\
# Settings of meet-trio: `meet-trio serve --config FILE`. Only http.auth_token must be set.
#
{_WHAT}"""
_ENV_HEAD = f"""\
# Settings of meet-trio, for EnvironmentFile= of systemd and env_file of compose files. Only
# AUTH_TOKEN must be set.
#
{_WHAT}"""


def toml() -> str:
    """The example of a TOML file."""
    return "\n".join(
        _lines(_TOML_HEAD, "[{}]  # {}", lambda e: f"{e.name} = {json.dumps(_value(e))}")
    )


def env() -> str:
    """The example of a file of environment variables."""
    return "\n".join(_lines(_ENV_HEAD, "## {}: {}", lambda e: f"{e.about.env}={_text(_value(e))}"))


def _lines(head: str, table_form: str, assignment: Callable[[Entry], str]) -> Iterator[str]:
    yield head
    for table, text in TABLES.items():
        shown = [entry for entry in entries() if entry.table == table and entry.about.operator]
        if shown:
            yield f"{table_form.format(table, text)}\n"
        for entry in shown:
            about = f"{entry.about.help} (default: {entry.default_text})"
            yield textwrap.fill(about, 100, initial_indent="# ", subsequent_indent="# ")
            yield f"#{assignment(entry)}\n"


def _value(entry: Entry) -> object:
    """A value of the setting, as in TOML."""
    value = entry.default if entry.about.example is None else entry.about.example
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return int(value) if value == int(value) else value
    if isinstance(value, tuple | list) and value:
        return list(map(str, value))
    raise ValueError(f"{entry.key}: the default is no example; give about() an example")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(value) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    sys.stdout.write({"toml": toml, "env": env}[sys.argv[1]]())
