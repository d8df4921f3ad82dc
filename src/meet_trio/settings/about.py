"""The description of a setting, which is the metadata of a field.

A setting is a field of a frozen attrs record in the package that uses it. The record is in a
``settings.py`` that does not import the rest of its package. The field has the type and the
default; ``about`` adds the key, the accepted values, the help and the environment variable.
``config`` assembles the records of all packages. All code that reads or shows settings iterates
over their fields, so each setting is described in one place. A field without ``about`` is no
setting: tests may change it, operators may not.

The records of ``socketio`` and ``engine`` do not use this file. For them another file has a table
from field names to ``about``.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from meet_trio.settings.kinds import Kind

_METADATA = "meet_trio.setting"

Metadata = Mapping[str, Any]


@attrs.frozen
class About:
    """``key`` is ``table.name`` as in TOML. ``default_text`` describes a default that depends on
    other settings. ``operator``: ``--help`` shows the setting, and the example files have it. The
    others are bounds, which only ``--help-all`` shows. ``reload``: the setting can change while the
    server runs. ``example``: the value in the example files, as in TOML, in place of the default.
    """

    key: str
    kind: Kind
    help: str
    env: str
    flag: str
    default_text: str | None
    operator: bool
    reload: bool
    example: object


def about(
    key: str,
    kind: Kind,
    help: str,
    *,
    env: str | None = None,
    flag: str | None = None,
    default: str | None = None,
    operator: bool = False,
    reload: bool = False,
    example: object = None,
) -> Metadata:
    """The metadata of a field, see ``About``. Without ``env`` the variable is
    ``MEET_TRIO_TABLE_NAME``, and without ``flag`` the flag is ``--table-name``.
    """
    found = About(
        key=key,
        kind=kind,
        help=help,
        env=env or "MEET_TRIO_" + key.replace(".", "_").upper(),
        flag=flag or "--" + key.replace(".", "-").replace("_", "-"),
        default_text=default,
        operator=operator,
        reload=reload,
        example=example,
    )
    return {_METADATA: {"": found}}


def about_rate(*, per_second: Metadata, burst: Metadata) -> Metadata:
    """The metadata of a field that holds a ``Rate``. Each of its two numbers is a setting."""
    halves = {"per_second": per_second, "burst": burst}
    return {_METADATA: {name: half[_METADATA][""] for name, half in halves.items()}}


def abouts(metadata: Metadata) -> Mapping[str, About]:
    """The settings of a field, by the field of a ``Rate`` that they set, or by "" if the field
    itself is the setting. Empty if the field is no setting.
    """
    found: Mapping[str, About] = metadata.get(_METADATA, {})
    return found
