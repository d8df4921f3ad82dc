"""Settings: the table of all of them, and ``load``, which reads them into ``Settings``.

Each setting is a field of a record in the package that uses it. This package assembles those
records. Without any setting the server starts in demo mode: on loopback, with a random API token.
With any setting it requires ``AUTH_TOKEN`` (or ``--demo``), so that a forgotten token never means
an open API.

Only ``app``, ``reload``, ``daemon`` and ``cli`` import this package. Each record is passed to the
package that defines it.
"""

from meet_trio.config.change import Change, change
from meet_trio.config.load import CONFIG_VARIABLE, is_loopback, load, warnings_about
from meet_trio.config.settings import ProcessSettings, Settings
from meet_trio.config.table import TABLES, Entry, build, entries

__all__ = [
    "CONFIG_VARIABLE",
    "TABLES",
    "Change",
    "Entry",
    "ProcessSettings",
    "Settings",
    "build",
    "change",
    "entries",
    "is_loopback",
    "load",
    "warnings_about",
]
