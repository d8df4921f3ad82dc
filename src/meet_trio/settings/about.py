"""The description of a setting, which the field of a record carries as metadata.

A setting is a field of a frozen attrs record that lies in the package that heeds it, in a
``settings.py`` that imports nothing heavy. The field gives type and default; ``about`` gives key,
values, help and environment variable. ``config`` assembles the records of all packages,
and everything that reads or shows settings walks their fields, so a setting is written down once.
A field without ``about`` is no setting: tests turn it, operators do not.

The records of ``socketio`` and ``engine`` know nothing of this vocabulary. A table from field name
to ``about`` describes them from the outside.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from meet_trio.settings.kinds import Kind

_METADATA = "meet_trio.setting"

Metadata = Mapping[str, Any]


@attrs.frozen
class About:
    """``key`` is ``table.name`` as in TOML. ``default_text`` says in words what a default is that
    depends on other settings. ``operator``: one of those that ``--help`` shows; the others are
    bounds, which ``--help-all`` shows.
    """

    key: str
    kind: Kind
    help: str
    env: str
    flag: str
    default_text: str | None
    operator: bool
    planned: bool


def about(
    key: str,
    kind: Kind,
    help: str,
    *,
    env: str | None = None,
    flag: str | None = None,
    default: str | None = None,
    operator: bool = False,
    planned: bool = False,
) -> Metadata:
    """Metadata of a field, see ``About``. The variable is ``MEET_TRIO_TABLE_NAME`` and the flag
    ``--table-name`` unless given. ``planned``: the setting is accepted and has no effect yet, and
    the help says so.
    """
    found = About(
        key=key,
        kind=kind,
        help=f"{help} (no effect yet)" if planned else help,
        env=env or "MEET_TRIO_" + key.replace(".", "_").upper(),
        flag=flag or "--" + key.replace(".", "-").replace("_", "-"),
        default_text=default,
        operator=operator,
        planned=planned,
    )
    return {_METADATA: {"": found}}


def about_rate(*, per_second: Metadata, burst: Metadata) -> Metadata:
    """Metadata of a field that holds a ``Rate``: each of its two numbers is a setting."""
    halves = {"per_second": per_second, "burst": burst}
    return {_METADATA: {name: half[_METADATA][""] for name, half in halves.items()}}


def abouts(metadata: Metadata) -> Mapping[str, About]:
    """The settings of a field: one named "" if the field is a setting, one for each number of a
    ``Rate``, none if the field is no setting.
    """
    found: Mapping[str, About] = metadata.get(_METADATA, {})
    return found
