"""What an engine tells of one transport while that is traced, until its reader takes it."""

from collections import deque
from collections.abc import Collection

import attrs
import trio

from meet_trio.engine import (
    ConsumerScore,
    DtlsDatagram,
    EngineEvent,
    IceConnected,
    IceMoved,
    IceSilent,
    LayerChanged,
    PacketsTraced,
    PlainConnected,
)

MOST_TAPS = 4  # transports of an engine that are traced at once
TAP_EVENTS = 256  # that wait for a slow reader
TAP_BYTES = 4 * 1024 * 1024  # of packets that wait for it

TappedEvent = (
    IceConnected
    | IceMoved
    | IceSilent
    | PlainConnected
    | DtlsDatagram
    | PacketsTraced
    | LayerChanged
    | ConsumerScore
)


@attrs.define(eq=False)
class Tap:
    """What an engine tells of one transport while it is traced: its packets and events, and the
    events of ``consumers``, which are numbers.

    What finds no room is lost. ``lost`` counts such packets, ``events_lost`` the other events.
    """

    transport: int
    consumers: Collection[int] = frozenset()
    lost: int = 0
    events_lost: int = 0
    _waiting: deque[TappedEvent] = attrs.field(factory=deque)
    _bytes: int = 0
    _over: bool = False
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def put(self, event: EngineEvent) -> None:
        """Keep the event if it is about this transport or its consumers."""
        match event:
            case PacketsTraced() if event.transport == self.transport:
                if len(self._waiting) >= TAP_EVENTS or self._bytes >= TAP_BYTES:
                    self.lost += sum(1 for _ in event)
                    return
                self._bytes += len(event.records)
            case IceConnected() | IceMoved() | IceSilent() | PlainConnected() | DtlsDatagram():
                if event.transport != self.transport:
                    return
            case LayerChanged() | ConsumerScore():
                if event.consumer not in self.consumers:
                    return
            case _:
                return
        if len(self._waiting) >= TAP_EVENTS:
            self.events_lost += 1
            return
        self._waiting.append(event)
        self._changed.set()

    def end(self) -> None:
        """The transport or its engine has ended: nothing more will come."""
        self._over = True
        self._changed.set()

    async def take(self) -> TappedEvent | None:
        """The oldest event, as soon as there is one. None: it was the last. There may be only one
        reader.
        """
        while True:
            await trio.lowlevel.checkpoint()
            if self._waiting:
                event = self._waiting.popleft()
                if isinstance(event, PacketsTraced):
                    self._bytes -= len(event.records)
                return event
            if self._over:
                return None
            self._changed = trio.Event()
            await self._changed.wait()
