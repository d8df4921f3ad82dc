"""Engines that refuse commands on request.

``Faults.door`` stands between a host and its fake engine. Once armed, it refuses one command by its
place in the order, or all commands from there on: it raises, and the engine does not get the
command. Objects whose removal was refused are still there, so ``settle`` removes them, as the end
of their transport would.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.live_fakes import FakeEngine

COMMANDS = frozenset(
    {
        "add_transport",
        "add_plain_transport",
        "connect_plain_transport",
        "restart_ice",
        "set_max_incoming_bitrate",
        "set_max_outgoing_bitrate",
        "set_srtp",
        "send_dtls",
        "trace_transport",
        "remove_transport",
        "add_producer",
        "add_mirror",
        "relay_producer",
        "stop_relaying",
        "set_producer_paused",
        "watch_audio_level",
        "remove_producer",
        "add_consumer",
        "set_consumer_paused",
        "set_preferred_layers",
        "set_consumer_priority",
        "request_consumer_keyframe",
        "remove_consumer",
        "request_stats",
        "resume_transport",
        "resume_producer",
        "resume_consumer",
        "begin",
        "hold",
    }
)


class Refused(ValueError):
    """Raised like the engine's shell raises it: before anything has happened."""


class Faults:
    """``given`` counts commands since ``arm``, of all engines; ``refused`` has their names."""

    def __init__(self) -> None:
        self.given = 0
        self.refused: list[str] = []
        self._at: int | None = None
        self._lasting = False
        self._owed: list[Callable[[], object]] = []

    def door(self, engine: "FakeEngine") -> "Door":
        return Door(self, engine)

    def arm(self, at: int, *, lasting: bool = False) -> None:
        """Refuse command ``at``, counted from now; with ``lasting`` also all later ones."""
        self.given, self._at, self._lasting = 0, at, lasting

    def settle(self) -> None:
        """Stop refusing, and carry out the refused removals."""
        self._at = None
        owed, self._owed = self._owed, []
        for removal in owed:
            removal()

    def take(self, name: str, command: Callable[..., object], *args: object, **how: object) -> None:
        if self._at is not None:
            place, self.given = self.given, self.given + 1
            if place == self._at or (self._lasting and place > self._at):
                self.refused.append(name)
                if name.startswith("remove_") or name == "stop_relaying":
                    self._owed.append(partial(command, *args, **how))
                raise Refused(name)
        command(*args, **how)


class Door:
    """Passes everything on to the engine, and may refuse its commands."""

    def __init__(self, faults: Faults, engine: "FakeEngine") -> None:
        self._faults = faults
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        found = getattr(self._engine, name)
        return partial(self._faults.take, name, found) if name in COMMANDS else found
