"""An Engine.IO session as a state machine without I/O and clock: time is passed in.

The transport that carries the packets is part of the state:

    POLLING ──websocket opened──▶ PROBING ──2probe──▶ PROBED ──5──▶ WEBSOCKET
       ▲                             │                   │
       └──────websocket lost, or not upgraded in time────┘

    any of these ──close()──▶ CLOSING ──flushed, lost, or timeout──▶ CLOSED ◀──fail()── any

While a websocket is being probed, polling still carries the session. ``close`` sends the outbox
first, ``fail`` does not. A client whose probe was answered polls no more. If the session is closed
at that point, the websocket carries the outbox and the goodbye.

The owner calls ``receive`` for each packet and ``tick`` at ``deadline``, and sends what ``take``
returns on the current transport. It looks at ``state`` after each of these calls.

Heartbeat: in revision 4 the server sends a ping every ``ping_interval``, and the pong must come
within ``ping_timeout``. In revision 3 the client sends pings, and the next one must come within the
sum of both.

Source: engine.io-protocol, revisions 3 and 4.
"""

import enum
import json
import math
from typing import Final

from meet_trio.socketio.errors import ProtocolError, Reason
from meet_trio.socketio.packet import EncodedPacket, Packet, PacketMemory, PacketType
from meet_trio.socketio.settings import Revision, Settings


class State(enum.Enum):
    POLLING = enum.auto()
    PROBING = enum.auto()
    PROBED = enum.auto()
    WEBSOCKET = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Input(enum.Enum):
    """What changes the state."""

    WEBSOCKET_OPENED = enum.auto()
    PROBE = enum.auto()
    UPGRADE = enum.auto()
    PROBE_ENDED = enum.auto()
    CLOSE = enum.auto()
    FAIL = enum.auto()


_END: Final = {Input.CLOSE: State.CLOSING, Input.FAIL: State.CLOSED}
_NEXT: Final[dict[State, dict[Input, State]]] = {
    State.POLLING: {Input.WEBSOCKET_OPENED: State.PROBING, **_END},
    State.PROBING: {Input.PROBE: State.PROBED, Input.PROBE_ENDED: State.POLLING, **_END},
    State.PROBED: {Input.UPGRADE: State.WEBSOCKET, Input.PROBE_ENDED: State.POLLING, **_END},
    State.WEBSOCKET: _END,
    State.CLOSING: {
        Input.UPGRADE: State.CLOSING,
        Input.PROBE_ENDED: State.CLOSING,
        Input.CLOSE: State.CLOSING,
        Input.FAIL: State.CLOSED,
    },
    State.CLOSED: {Input.CLOSE: State.CLOSED, Input.FAIL: State.CLOSED},
}

_PING_MOMENTS: Final = 100  # within ``ping_interval``
_TAKE_SIZE: Final = 65536  # bytes that ``take`` returns at once, roughly


OutboxEntry = tuple[EncodedPacket, object]
"""A packet in the outbox, and the application's event, if any, that ends with this packet and can
be sent again.
"""


class Session:
    """One client's session. ``reason`` tells why it ends; None while it is open."""

    __slots__ = (
        "_close_deadline",
        "_memory",
        "_on_polling",
        "_outbox",
        "_outbox_bytes",
        "_overflowed",
        "_ping_at",
        "_probed",
        "_settings",
        "_silence_deadline",
        "reason",
        "revision",
        "sid",
        "state",
    )

    def __init__(
        self,
        sid: str,
        revision: Revision,
        settings: Settings,
        memory: PacketMemory,
        *,
        websocket: bool,
        now: float,
    ) -> None:
        self.sid = sid
        self.revision: Final[Revision] = revision
        self.state = State.WEBSOCKET if websocket else State.POLLING
        self.reason: Reason | None = None
        self._settings = settings
        self._on_polling = not websocket
        self._probed = False  # the probe was answered; stays True in CLOSING
        self._memory = memory
        self._outbox: list[OutboxEntry] = []  # mostly empty, and an empty deque takes 600 bytes
        self._outbox_bytes = 0
        self._overflowed = False
        self._ping_at = self._next_ping(now) if revision == 4 else math.inf
        self._silence_deadline = self._silence_deadline_from(now) if revision == 3 else math.inf
        self._close_deadline = math.inf
        opening = {
            "sid": sid,
            "upgrades": [] if websocket else ["websocket"],
            "pingInterval": round(settings.ping_interval * 1000),
            "pingTimeout": round(settings.ping_timeout * 1000),
            "maxPayload": settings.max_payload,
        }
        self._put(
            EncodedPacket(Packet(PacketType.OPEN, json.dumps(opening, separators=(",", ":"))))
        )

    def go_on(self, ping_at: float, silence_deadline: float) -> None:
        """Another process has opened the session. Comes before anything is sent."""
        self._outbox.clear()
        self._outbox_bytes = 0
        self._ping_at, self._silence_deadline = ping_at, silence_deadline

    @property
    def heartbeat(self) -> tuple[float, float]:
        """When the next ping is due, and when a silent client is given up."""
        return self._ping_at, self._silence_deadline

    @property
    def is_open(self) -> bool:
        return self.state not in (State.CLOSING, State.CLOSED)

    @property
    def on_polling(self) -> bool:
        """Whether polling carries the packets, including those of a goodbye."""
        return self._on_polling

    @property
    def deadline(self) -> float:
        """The time at which ``tick`` must be called; infinite once closed."""
        if self.state is State.CLOSED:
            return math.inf
        if self.state is State.CLOSING:
            return self._close_deadline
        return min(self._ping_at, self._silence_deadline)

    def receive(self, packet: Packet, now: float) -> str | bytes | None:
        """Take a packet that came on the current transport. Returns the data of a message, else
        None.

        Raises ProtocolError; the owner then calls ``fail``.
        """
        if not self.is_open:
            if packet.type is PacketType.CLOSE:
                self.fail(Reason.TRANSPORT_CLOSE)
            return None
        match packet.type, self.revision:
            case PacketType.MESSAGE, _:
                return packet.data
            case PacketType.PONG, 4:
                self._silence_deadline = math.inf
                self._ping_at = self._next_ping(now)
            case PacketType.PING, 3:
                self._silence_deadline = self._silence_deadline_from(now)
                self._put(EncodedPacket(Packet(PacketType.PONG)))
            case PacketType.CLOSE, _:
                self.fail(Reason.TRANSPORT_CLOSE)
            case ((PacketType.PING | PacketType.PONG), _):
                raise ProtocolError("a heartbeat in the wrong direction")
            case ((PacketType.OPEN | PacketType.UPGRADE), _):
                raise ProtocolError(f"unexpected {packet.type.name}")
        return None

    def tick(self, now: float) -> None:
        """Do what is due: send a ping, or give up on a silent client or on a goodbye."""
        if self.state is State.CLOSING and now >= self._close_deadline:
            self.fail(Reason.TRANSPORT_CLOSE)
        if not self.is_open:
            return
        if now >= self._silence_deadline:
            self.fail(Reason.PING_TIMEOUT)
            return
        if now >= self._ping_at:
            self._ping_at = math.inf
            self._silence_deadline = now + self._settings.ping_timeout
            self._put(EncodedPacket(Packet(PacketType.PING)))

    def send(self, packet: EncodedPacket, event: object = None) -> None:
        """Put a message into the outbox. A full outbox ends the session.

        A session that is closing ignores the message. A closed one keeps it if it has an
        ``event``, so that ``unsent`` returns the event.
        """
        state = self.state
        if (
            state is State.WEBSOCKET
            or self.is_open
            or (event is not None and state is State.CLOSED)
        ):
            self._put(packet, event)

    def take(self) -> list[OutboxEntry]:
        """The packets to send now on the current transport, oldest first: roughly as much as one
        write should carry. The rest stays in the outbox at no cost.

        CLOSE comes last and in a payload of its own, since socket.io-client 4 acts on it before it
        reads the messages of the same payload.
        """
        if self.state is State.CLOSED:
            return []
        count = size = 0
        for packet, _ in self._outbox:
            if size >= _TAKE_SIZE:
                break
            count += 1
            size += packet.size
        entries = self._outbox[:count]
        del self._outbox[:count]
        self._outbox_bytes -= size
        if self.state is State.CLOSING and self._on_polling and not entries:
            entries.append((EncodedPacket(Packet(PacketType.CLOSE)), None))
        elif self.state is State.PROBED and not entries:
            # The client waits for its poll to return before it upgrades.
            entries.append((EncodedPacket(Packet(PacketType.NOOP)), None))
        return entries

    @property
    def unsent(self) -> list[object] | None:
        """The events that ``take`` has not returned; None if the outbox overflowed."""
        if self._overflowed:
            return None
        return [event for _, event in self._outbox if event is not None]

    @property
    def outbox_bytes(self) -> int:
        """The size of the messages that wait for ``take``."""
        return self._outbox_bytes

    @property
    def has_packets(self) -> bool:
        """Whether ``take`` would return a packet."""
        return self.state is not State.CLOSED and bool(
            self._outbox
            or (self.state is State.CLOSING and self._on_polling)
            or self.state is State.PROBED
        )

    @property
    def is_upgrading(self) -> bool:
        """Whether ``receive_probe`` takes packets."""
        return self.state is State.PROBING or (self._probed and self.state is not State.CLOSED)

    def start_probe(self) -> bool:
        """A websocket was opened with this session's id. Returns False if there already is one."""
        if Input.WEBSOCKET_OPENED not in _NEXT[self.state]:
            return False
        self._change(Input.WEBSOCKET_OPENED)
        return True

    def receive_probe(self, packet: Packet) -> Packet | None:
        """Take a packet that came on the websocket being probed. Returns the answer, if any, to
        send there. Raises ProtocolError.
        """
        if packet == Packet(PacketType.PING, "probe") and self.state is State.PROBING:
            self._change(Input.PROBE)
            self._probed = True
            return Packet(PacketType.PONG, "probe")
        if packet.type is PacketType.UPGRADE and self._probed:
            self._change(Input.UPGRADE)
            self._probed = False
            self._on_polling = False
            return None
        raise ProtocolError("unexpected packet while probing")

    def end_probe(self) -> None:
        """The probe is over. Without an upgrade the session stays on polling."""
        self._probed = False
        if Input.PROBE_ENDED in _NEXT[self.state]:
            self._change(Input.PROBE_ENDED)

    def close(self, reason: Reason, now: float) -> None:
        """Start to close: the outbox is still sent, within ``close_timeout``."""
        if self.is_open:
            self.reason = reason
            self._close_deadline = now + self._settings.close_timeout
        self._change(Input.CLOSE)

    def fail(self, reason: Reason) -> None:
        """Close at once; nothing more is sent."""
        self.reason = self.reason or reason
        self._outbox = [entry for entry in self._outbox if entry[1] is not None]
        self._change(Input.FAIL)

    def overflow(self) -> None:
        """``fail`` because too much waits, and drop all of it."""
        self._overflowed = True
        self._outbox.clear()
        self._outbox_bytes = 0
        self.fail(Reason.OVERFLOW)

    def _next_ping(self, now: float) -> float:
        """Up to a hundredth early: many sessions have one moment, so the loop wakes less often."""
        grid = self._settings.ping_interval / _PING_MOMENTS
        return now + self._settings.ping_interval - now % grid

    def _silence_deadline_from(self, now: float) -> float:
        return now + self._settings.ping_interval + self._settings.ping_timeout

    def _put(self, packet: EncodedPacket, event: object = None) -> None:
        if self._overflowed:
            return
        packet.count_in(self._memory)
        self._outbox.append((packet, event))
        self._outbox_bytes += packet.size
        if (
            len(self._outbox) > self._settings.max_outbox_packets
            or self._outbox_bytes > self._settings.max_outbox_bytes
        ):
            self.overflow()

    def _change(self, event: Input) -> None:
        self.state = _NEXT[self.state][event]
