"""The page of documentation about all settings, as Markdown.

``python -m meet_trio.config.document > docs/settings.md`` writes it. A test fails if the page is
not current.
"""

import sys
from collections.abc import Iterator

from meet_trio.config.table import TABLES, entries

_HEAD = """\
# Settings

This page is made from the settings records of the packages in `src/meet_trio`.

A setting has three names: a key of the TOML file (`port` in the table `[http]`), an environment
variable, and a flag of `meet-trio serve`. The environment is read first, then the file (`--config
FILE` or the variable `MEET_TRIO_CONFIG`), then the flags; what comes later wins. An unknown name or
a value that cannot be used ends the start with a message that names it. An environment variable
that is set but empty counts as not set.

A setting with *yes* in the column *reload* can change while the server runs: change it in the file
and send SIGHUP ([how](operation.md#reload)). The others need a restart.

Times are in seconds. `conf/meet-trio.toml` and `conf/meet-trio.env` are examples of a file and of
an environment.
"""

_OPERATOR = "## Settings of an operator\n\n`meet-trio serve --help` shows these.\n"

_BOUNDS = """\
## Bounds

Sizes, counts, rates and deadlines that bound what clients can make the server do and keep. The
defaults stand far above what people do. `meet-trio serve --help-all` shows these too.
"""

_COLUMNS = (
    "| key | variable, flag | meaning | values | default | reload |\n|---|---|---|---|---|---|"
)


def markdown() -> str:
    """The whole page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    yield _OPERATOR
    for table, text in TABLES.items():
        yield f"### [{table}]\n\n{text}\n"
        yield from _rows(table, operator=True)
    yield _BOUNDS
    for table in dict.fromkeys(e.table for e in entries() if not e.about.operator):
        yield f"### [{table}]\n"
        yield from _rows(table, operator=False)


def _rows(table: str, *, operator: bool) -> Iterator[str]:
    yield _COLUMNS
    for entry in entries():
        about = entry.about
        if entry.table == table and about.operator is operator:
            yield (
                f"| `{entry.name}` | `{about.env}` `{about.flag}` | {about.help} "
                f"| {about.kind.wanted.rstrip(',')} | {entry.default_text} "
                f"| {'yes' if about.reload else ''} |"
            )
    yield ""


if __name__ == "__main__":
    sys.stdout.write(markdown())
