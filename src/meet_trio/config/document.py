"""The page about all settings, as Markdown.

``python -m meet_trio.config.document > docs/settings.md`` makes it anew after a change of settings;
a test holds that it is current.
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

Times are in seconds. `conf/meet-trio.toml` is an example of a file.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD.rstrip()
    for table, text in TABLES.items():
        yield f"\n## [{table}]\n"
        yield text
        yield "\n| key | variable, flag | what it is | values | default |\n|---|---|---|---|---|"
        for entry in entries():
            about = entry.about
            if entry.table == table:
                yield (
                    f"| `{entry.name}` | `{about.env}` `{about.flag}` | {about.help} "
                    f"| {about.kind.wanted.rstrip(',')} | {entry.default_text} |"
                )


if __name__ == "__main__":
    sys.stdout.write(markdown())
