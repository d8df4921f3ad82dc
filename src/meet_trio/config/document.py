"""The page about all settings, as Markdown.

``python -m meet_trio.config.document > docs/settings.md`` after a change of ``records``; a test
holds that the page is current.
"""

import sys
from collections.abc import Iterator

import attrs

from meet_trio.config.load import entries
from meet_trio.config.records import Settings

_HEAD = """\
# Settings

This page is made from `src/meet_trio/config/records.py`.

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
    table = list(entries())
    for group in attrs.fields(Settings):
        yield f"\n## [{group.name}]\n"
        yield (group.type.__doc__ or "").strip()
        yield "\n| key | variable, flag | what it is | values | default |\n|---|---|---|---|---|"
        for entry in table:
            name = entry.key.removeprefix(f"{group.name}.")
            if name != entry.key:
                yield (
                    f"| `{name}` | `{entry.env}` `{entry.flag}` | {entry.about.help} "
                    f"| {entry.about.kind.wanted.rstrip(',')} | {entry.default_text} |"
                )


if __name__ == "__main__":
    sys.stdout.write(markdown())
