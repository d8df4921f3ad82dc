"""Other settings for the running server, in one turn of the loop, all or none.

A part of the server that takes other settings is a function of ``parts``: it gets the new
``Settings`` and puts its own record in place of the old one. It does not await and must not refuse.
What may be refused, the TLS files, is read before. If a part fails all the same, all of them get
the present settings back.

Connections, rooms and peers that exist keep what they began with, except where a part says
otherwise. So a reload ends no call.
"""

import ssl
from collections.abc import Callable
from functools import partial

import attrs
import trio

from meet_trio.config import Change, Settings, change
from meet_trio.edge.front_door import FrontDoor
from meet_trio.edge.listener import tls_context

Part = Callable[[Settings], None]


@attrs.define(eq=False)
class Reload:
    """``settings`` are those in force. ``door`` takes the certificate. ``checks`` raise ConfigError
    for files that cannot be used. They are called in a thread, before anything has changed.
    """

    settings: Settings
    door: FrontDoor
    parts: list[Part]
    checks: list[Part] = attrs.field(factory=list)
    _lock: trio.Lock = attrs.field(factory=trio.Lock)

    async def take(self, wanted: Settings) -> Change:
        """Put as much of ``wanted`` in force as a running server can take, and the TLS files as
        they are now. Raises ConfigError, and changes nothing, if a file cannot be used.
        """
        async with self._lock:
            found = change(self.settings, wanted)
            # A file may be on a slow disk.
            tls = await trio.to_thread.run_sync(
                partial(self._read, found.settings), abandon_on_cancel=True
            )
            present, present_tls = self.settings, self.door.tls
            try:
                self._apply(found.settings, tls)
            except Exception:
                self._apply(present, present_tls)
                raise
            return found

    def _read(self, settings: Settings) -> ssl.SSLContext | None:
        for check in self.checks:
            check(settings)
        return tls_context(settings.listener)

    def _apply(self, settings: Settings, tls: ssl.SSLContext | None) -> None:
        self.door.replace(settings.front_door, tls)
        for part in self.parts:
            part(settings)
        self.settings = settings
