"""Settings: frozen records, and ``load``, which fills them.

Without any setting the server starts in demo mode: on loopback, with a random API token. With any
setting it wants ``AUTH_TOKEN`` (or ``--demo``), so that a forgotten token never means an open API.

Only ``app`` and ``cli`` import this package; ``app`` hands plain values down to the rest.
"""

from meet_trio.config.load import CONFIG_VARIABLE, Entry, entries, is_loopback, load, warnings_about
from meet_trio.config.records import (
    DemoSettings,
    HttpSettings,
    LimitSettings,
    MediaSettings,
    ProcessSettings,
    RoomSettings,
    Settings,
    SignalingSettings,
    TurnSettings,
    WebhookSettings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "DemoSettings",
    "Entry",
    "HttpSettings",
    "LimitSettings",
    "MediaSettings",
    "ProcessSettings",
    "RoomSettings",
    "Settings",
    "SignalingSettings",
    "TurnSettings",
    "WebhookSettings",
    "entries",
    "is_loopback",
    "load",
    "warnings_about",
]
