"""Fakes for everything around ``meet_trio.live``: engine, bridge, sockets.

They keep what they were asked, and refuse what the real ones refuse.
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import attrs
import trio
import trio.testing
from support import asyncapi
from support.engine_faults import Faults
from support.peers import PARTICIPANT

from meet_trio import ortc
from meet_trio.engine import (
    ConsumerSpec,
    Distribution,
    EngineEvent,
    Kept,
    ProducerSpec,
    Stats,
    Summary,
)
from meet_trio.json_text import JsonText
from meet_trio.live.handlers import handle_event
from meet_trio.live.keeper import Keeper
from meet_trio.live.peer import Notification
from meet_trio.live.registry import Registry
from meet_trio.live.room import LiveRoom, RoomContext
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.media.announced import AnnouncedAddresses
from meet_trio.media.association import CIPHER_SUITES, Association, Secrets
from meet_trio.media.dtls import DtlsOwner
from meet_trio.media.engines import EngineHost
from meet_trio.media.handshake import SrtpKeys
from meet_trio.media.plain import PlainPorts
from meet_trio.media.settings import PlainSettings, TransportSettings
from meet_trio.ortc import DtlsFingerprint
from meet_trio.room import Role, RoomLimits, Webhook
from meet_trio.socketio import Disconnected, EncodedEvent, Handshake, Reason
from meet_trio.socketio import Settings as SocketSettings

BACKLOG_BYTES = SocketSettings().max_outbox_bytes  # as the server has it


@attrs.define(eq=False)
class FakeStats(Stats):
    """The figures that a test gives."""

    transports: Mapping[str, Any] = attrs.field(factory=dict)
    consumers: Mapping[str, Any] = attrs.field(factory=dict)
    engine: Mapping[str, int] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[str]:
        return iter(("transports", "consumers", "engine"))

    def __getitem__(self, key: str) -> Mapping[str, Any]:
        return {"transports": self.transports, "consumers": self.consumers, "engine": self.engine}[
            key
        ]

    def sums_of(self, transport: int) -> Mapping[str, int]:
        own = Counter(self.transports.get(str(transport), {}))
        for consumer in self.consumers.values():
            if consumer["transport"] == transport:
                own.update({name: n for name, n in consumer.items() if name != "transport"})
        return own

    def summary(self) -> Summary:
        nothing = Distribution((1.0,), (0, 0), 0.0)
        return Summary(
            transports={("udp", True): len(self.transports)},
            producers={},
            active_streams={},
            consumers={("video", None): len(self.consumers)},
            paused_consumers={},
            estimate=nothing,
            round_trip=nothing,
            outgoing_loss=nothing,
        )


class FakeEngine:
    """The objects that an engine holds: removing a transport removes everything on it."""

    ip = "127.0.0.1"

    def __init__(self, port: int = 44444) -> None:
        self.port = port
        self.mirrors: set[int] = set()
        self.relays: set[tuple[int, int]] = set()
        self.transports: dict[int, tuple[str, str]] = {}
        self.srtp: dict[int, int] = {}
        self.plain: dict[int, tuple[int, int, tuple[str, ...]]] = {}
        self.plain_remotes: dict[int, tuple[str, int, int]] = {}
        self.producers: dict[int, int] = {}
        self.producer_paused: dict[int, bool] = {}
        self.levels_watched: set[int] = set()
        self.consumers: dict[int, tuple[int, int]] = {}
        self.consumer_paused: dict[int, bool] = {}
        self.preferred_layers: dict[int, tuple[int, int]] = {}
        self.priorities: dict[int, int] = {}
        self.keyframes: Counter[int] = Counter()  # requests of consumers
        self.max_outgoing: dict[int, int] = {}
        self.traced: set[int] = set()
        self.sends_until = 0
        self.resumed: dict[tuple[str, int], bytes] = {}
        self.holds: list[int] = []  # tokens since it has begun

    def begin(self) -> None:
        self.holds.clear()

    def hold(self, token: int) -> None:
        self.holds.append(token)

    def send_until(self, time: int) -> None:
        self.sends_until = time

    def resume_transport(self, transport: int, blob: bytes, exact: bool = True) -> None:
        assert transport in self.transports
        self.resumed["transport", transport] = blob

    def resume_producer(self, producer: int, blob: bytes, exact: bool = True) -> None:
        assert producer in self.producers or producer in self.mirrors
        self.resumed["producer", producer] = blob

    def resume_consumer(self, consumer: int, blob: bytes, exact: bool = True) -> None:
        assert consumer in self.consumers
        self.resumed["consumer", consumer] = blob

    def kept(self, index: int) -> Kept:
        """What it would leave in its region: for each object a blob that names it."""
        return Kept(
            index,
            {number: b"transport %d" % number for number in self.transports},
            {number: b"producer %d" % number for number in (*self.producers, *self.mirrors)},
            {number: b"consumer %d" % number for number in self.consumers},
            [],
        )

    def add_transport(self, transport: int, ufrag: str, password: str) -> None:
        assert transport not in self.transports
        self.transports[transport] = (ufrag, password)

    def add_plain_transport(
        self, transport: int, rtp_fd: int, rtcp_fd: int, allowed: Sequence[str], comedia: bool
    ) -> None:
        assert transport not in self.transports
        assert len(allowed) <= 16
        self.transports[transport] = ("plain", "comedia" if comedia else "")
        self.plain[transport] = (rtp_fd, rtcp_fd, tuple(allowed))

    def connect_plain_transport(self, transport: int, ip: str, port: int, rtcp_port: int) -> None:
        assert transport in self.plain
        self.plain_remotes[transport] = (ip, port, rtcp_port)

    def restart_ice(self, transport: int, ufrag: str, password: str) -> None:
        assert transport in self.transports
        self.transports[transport] = (ufrag, password)

    def set_max_incoming_bitrate(self, transport: int, bps: int) -> None:
        assert transport in self.transports

    def set_max_outgoing_bitrate(self, transport: int, bps: int) -> None:
        assert transport in self.transports
        self.max_outgoing[transport] = bps

    def set_srtp(self, transport: int, profile: int, tx: bytes, rx: bytes) -> None:
        assert transport in self.transports
        self.srtp[transport] = profile

    def send_dtls(self, transport: int, datagram: bytes) -> None:
        pass

    def trace_transport(self, transport: int, on: bool) -> None:
        if on:
            assert transport in self.transports
            self.traced.add(transport)
        else:
            self.traced.discard(transport)

    def remove_transport(self, transport: int) -> None:
        del self.transports[transport]
        self.traced.discard(transport)
        self.srtp.pop(transport, None)
        self.max_outgoing.pop(transport, None)
        self.plain_remotes.pop(transport, None)
        for fd in self.plain.pop(transport, ())[:2]:
            assert isinstance(fd, int)
            os.close(fd)
        for number in [n for n, t in self.producers.items() if t == transport]:
            self.remove_producer(number)
        for number in [n for n, (t, _) in self.consumers.items() if t == transport]:
            self.remove_consumer(number)

    def add_producer(self, producer: int, transport: int, spec: ProducerSpec) -> None:
        assert transport in self.transports
        assert producer not in self.producers
        self.producers[producer] = transport
        self.producer_paused[producer] = spec.paused

    def add_mirror(self, producer: int, spec: ProducerSpec) -> None:
        assert producer not in self.producers
        assert producer not in self.mirrors
        self.mirrors.add(producer)
        self.producer_paused[producer] = spec.paused

    def relay_producer(self, producer: int, to: "FakeEngine") -> None:
        assert producer in self.producers
        assert producer in to.mirrors
        self.relays.add((producer, to.port))

    def stop_relaying(self, producer: int, to: "FakeEngine") -> None:
        self.relays.discard((producer, to.port))

    def set_producer_paused(self, producer: int, paused: bool) -> None:
        if producer in self.producers or producer in self.mirrors:
            self.producer_paused[producer] = paused

    def watch_audio_level(self, producer: int) -> None:
        if producer in self.producers:
            self.levels_watched.add(producer)

    def remove_producer(self, producer: int) -> None:
        self.producers.pop(producer, None)
        self.levels_watched.discard(producer)
        self.mirrors.discard(producer)
        self.producer_paused.pop(producer, None)
        self.relays = {relay for relay in self.relays if relay[0] != producer}

    def add_consumer(
        self, consumer: int, transport: int, producer: int, spec: ConsumerSpec
    ) -> None:
        assert transport in self.transports
        assert producer in self.producers or producer in self.mirrors
        assert consumer not in self.consumers
        self.consumers[consumer] = (transport, producer)
        self.consumer_paused[consumer] = spec.paused

    def set_consumer_paused(self, consumer: int, paused: bool) -> None:
        if consumer in self.consumers:
            self.consumer_paused[consumer] = paused

    def set_preferred_layers(self, consumer: int, spatial: int, temporal: int = 7) -> None:
        if consumer in self.consumers:
            self.preferred_layers[consumer] = (spatial, temporal)

    def set_consumer_priority(self, consumer: int, priority: int) -> None:
        assert 1 <= priority <= 255
        if consumer in self.consumers:
            self.priorities[consumer] = priority

    def request_consumer_keyframe(self, consumer: int) -> None:
        if consumer in self.consumers:
            self.keyframes[consumer] += 1

    def remove_consumer(self, consumer: int) -> None:
        self.consumers.pop(consumer, None)
        self.preferred_layers.pop(consumer, None)
        self.priorities.pop(consumer, None)
        del self.keyframes[consumer]
        self.consumer_paused.pop(consumer, None)

    def request_stats(self, token: int) -> None:
        pass  # a dead engine: nothing comes back

    def is_empty(self) -> bool:
        producers = self.producers or self.mirrors or self.relays or self.producer_paused
        producers = producers or self.levels_watched or self.traced
        return not (self.transports or producers or self.consumers or self.srtp)


@attrs.define(eq=False)
class FakeDtlsSession:
    """``complete`` ends the handshake, ``say_goodbye`` the session, as a client does that has
    connected. Before ``start`` and after ``close`` nothing is heard.
    """

    owner: DtlsOwner
    association: Association | None = None
    fingerprints: Sequence[DtlsFingerprint] = ()
    running: bool = False

    def start(self, fingerprints: Sequence[DtlsFingerprint]) -> None:
        assert not self.fingerprints
        assert fingerprints
        self.fingerprints = fingerprints
        self.running = True

    def feed(self, datagram: bytes) -> None:
        pass

    def close(self, *, tell: bool = True) -> None:
        self.running = False

    def complete(self) -> None:
        if self.running:
            self.association = ASSOCIATION
            try:
                self.owner.dtls_connected(SrtpKeys(7, bytes(28), bytes(28)))
            except Exception as error:
                self.owner.dtls_ended(error)

    def say_goodbye(self) -> None:
        if self.running:
            self.owner.dtls_ended(None)


ASSOCIATION = Association(
    b"flight", b"goodbye", Secrets(CIPHER_SUITES[0], bytes(48), bytes(32), bytes(32))
)


class FakeBridge:
    fingerprints = (DtlsFingerprint("sha-256", "AA:BB"),)

    def __init__(self) -> None:
        self.sessions: list[FakeDtlsSession] = []
        self.wanted = False
        self.load = trio.Event()
        self.load.set()

    def want(self) -> None:
        self.wanted = True

    async def loaded(self) -> None:
        await self.load.wait()

    def open_session(
        self, owner: DtlsOwner, association: Association | None = None
    ) -> FakeDtlsSession:
        session = FakeDtlsSession(owner, association, running=association is not None)
        self.sessions.append(session)
        return session


@attrs.define(eq=False)
class FakeEvent:
    """A request of the client; ``answer`` is the arguments of its acknowledgement."""

    name: str
    args: tuple[object, ...]
    socket: "FakeSocket"
    answer: list[object] | None = None

    def ack(self, *args: object) -> None:
        args = tuple([json.loads(arg.text) if isinstance(arg, JsonText) else arg for arg in args])
        json.dumps(args, allow_nan=False)
        assert self.answer is None, "acknowledged twice"
        self.answer = list(args)
        self._check_description(*args)
        self.socket.log.append(("ack", *args))

    def _check_description(self, error: object = None, result: object = None, *_: object) -> None:
        """What the server takes and answers is as ``docs/asyncapi.yaml`` describes it."""
        message = self.args[0]
        if error is None and isinstance(message, dict):
            method = str(message["method"])
            asyncapi.check("request", method, message)
            if asyncapi.has_result(method):
                asyncapi.check("result", method, result)
            else:
                assert result is None


_SOCKETS = itertools.count()


class FakeSocket:
    """The client's end: ``ask`` sends requests, ``log`` has everything that came, in order."""

    def __init__(self, address: str = "192.0.2.1", **query: str) -> None:
        self.id = f"socket {next(_SOCKETS)}"
        self.moved = False
        self.handshake = Handshake("/", query, {}, address, 4)
        self.log: list[tuple[object, ...]] = []
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.answer_calls: list[object] | None = [None]
        self.reason: Reason | None = None
        self.stuck: list[tuple[str, object]] | None = []  # notices that did not get through
        # Events that the kernel has not taken, and those that it has taken and that the client has
        # not acknowledged. While ``on_network`` is false, all are added to the latter.
        self.in_outbox: list[EncodedEvent] = []
        self.unacknowledged: list[EncodedEvent] = []
        self.on_network = True
        self._send, self._receive = trio.open_memory_channel[FakeEvent](100)
        self._call_ids = itertools.count()
        self._answered: dict[int, Callable[[list[object]], None]] = {}

    def notices(self, method: str | None = None) -> list[object]:
        """Data of the notifications that came; (method, data) of all if ``method`` is None."""
        came = [entry[1:] for entry in self.log if entry[0] == "notice"]
        return [(m, d) if method is None else d for m, d in came if method in (None, m)]

    async def ask(self, method: str, **data: object) -> list[object]:
        event = FakeEvent("request", ({"method": method, "data": data},), self)
        self._send.send_nowait(event)
        await trio.testing.wait_all_tasks_blocked()
        assert event.answer is not None, f"{method} was not acknowledged"
        return event.answer

    def lose(self) -> None:
        """The connection is lost."""
        self._finish(Reason.TRANSPORT_CLOSE)

    def go(self) -> None:
        """The client sends 41, a Socket.IO disconnect."""
        self._finish(Reason.CLIENT)

    def _finish(self, reason: Reason) -> None:
        if self.reason is None:
            self.reason = reason
            self._send.close()

    # The server's side

    @property
    def connected(self) -> bool:
        return self.reason is None

    def unreceived(self) -> list[EncodedEvent] | None:
        if self.stuck is None:
            return None
        stuck = [Notification(method, data) for method, data in self.stuck]
        return [*stuck, *self.unacknowledged, *self.in_outbox]

    def unwritten(self) -> list[EncodedEvent]:
        return self.in_outbox

    def emit(self, event: str, message: dict[str, object]) -> None:
        json.dumps(message, allow_nan=False)
        assert event == "notification"
        asyncapi.check("notification", str(message["method"]), message)
        if self.reason is None:
            self.log.append(("notice", message["method"], message["data"]))

    def emit_encoded(self, event: EncodedEvent) -> bool:
        if self.reason is not None:
            return False
        if not self.on_network:
            self.unacknowledged.append(event)
            return True
        (packet,) = event.packets("/")
        self.emit(*json.loads(packet.frame[2 - packet.size :]))
        return True

    def start_call(
        self,
        event: str,
        message: dict[str, object],
        *,
        answered: Callable[[list[object]], None],
    ) -> int:
        json.dumps(message, allow_nan=False)
        assert event == "request"
        asyncapi.check("call", str(message["method"]), message)
        if self.reason is not None:
            raise Disconnected(self.reason)
        self.calls.append((str(message["method"]), message["data"]))  # type: ignore[arg-type]
        self.log.append(("call", message["method"], message["data"]))
        call = next(self._call_ids)
        self._answered[call] = answered
        trio.lowlevel.spawn_system_task(self._answer, call)
        return call

    async def _answer(self, call: int) -> None:
        """The client's answer, which comes later than the call."""
        await trio.lowlevel.checkpoint()
        if self.reason is None and self.answer_calls is not None and call in self._answered:
            self._answered.pop(call)(self.answer_calls)

    def forget_call(self, call: int) -> None:
        self._answered.pop(call, None)

    async def receive(self) -> FakeEvent:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            assert self.reason is not None
            raise Disconnected(self.reason) from None

    async def disconnect(self, *, close: bool = True) -> None:
        await trio.lowlevel.checkpoint()
        self._finish(Reason.SERVER)


@attrs.define(eq=False)
class World:
    """A registry with fake engines, in ``nursery``; ``engine`` and ``host`` are the first ones.
    ``client_address`` is the address of the next sockets.
    """

    nursery: trio.Nursery
    room_settings: RoomSettings
    peer_settings: PeerSettings
    engines: Sequence[FakeEngine] = attrs.field(factory=lambda: [FakeEngine()])
    bridge: FakeBridge = attrs.field(factory=FakeBridge)
    webhooks: list[Webhook] = attrs.field(factory=list)
    announce: Callable[[Webhook], None] = lambda _: None
    plain_ports: PlainPorts = attrs.field(
        factory=lambda: PlainPorts(PlainSettings(), ["127.0.0.1"])
    )
    max_backlog_bytes: int = BACKLOG_BYTES
    client_address: str = "192.0.2.1"
    faults: Faults = attrs.field(factory=Faults)
    keeper: Keeper = attrs.field(factory=Keeper)
    hosts: Sequence[EngineHost] = attrs.field(init=False)
    registry: Registry = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        numbers = itertools.count(1)
        self.hosts = [
            EngineHost(self.faults.door(engine), numbers, index)  # type: ignore[arg-type]
            for index, engine in enumerate(self.engines)
        ]
        self.registry = Registry(self._room_context())

    @property
    def engine(self) -> FakeEngine:
        return self.engines[0]

    @property
    def host(self) -> EngineHost:
        return self.hosts[0]

    def _room_context(self) -> RoomContext:
        return RoomContext(
            hosts=self.hosts,
            bridge=self.bridge,  # type: ignore[arg-type]
            settings=self.room_settings,
            peer_settings=self.peer_settings,
            transport_settings=TransportSettings(),
            limits=RoomLimits(),
            max_backlog_bytes=self.max_backlog_bytes,
            goodbye_timeout=1.0,
            ice_servers=lambda peer_id, now: None,
            announced=AnnouncedAddresses(["192.0.2.9"], ["192.0.2.9"]),
            plain_ports=self.plain_ports,
            router_capabilities=ortc.router_capabilities(),
            handle=handle_event,
            webhook=self.webhooks.append,
            announce=self.announce,
            keeper=self.keeper,
        )

    async def enter(self, room: LiveRoom, role: Role = PARTICIPANT, **query: str) -> "Client":
        """A new peer of the room, connected."""
        invitation = room.invite(role)
        client = Client(self, room, invitation.peer_id, invitation.auth_token)
        await client.connect(**query)
        return client

    def hear(self, event: EngineEvent) -> None:
        """The engine reports an event."""
        self.host._dispatch(event)

    def is_clean(self) -> bool:
        """True if nothing is left of any room."""
        return (
            all(engine.is_empty() for engine in self.engines)
            and not any(any(host.object_counts().values()) for host in self.hosts)
            and not any(host.peers for host in self.hosts)
            and not any(session.running for session in self.bridge.sessions)
            and not self.registry.rooms
        )


@attrs.define(eq=False)
class Client:
    """A client with its sockets; ``socket`` is the newest."""

    world: World
    room: LiveRoom
    id: str
    token: str
    socket: FakeSocket = attrs.field(init=False)

    async def connect(self, **query: str) -> FakeSocket:
        peer = self.room.admit(self.id, self.token)
        assert peer is not None, "refused"
        self.socket = FakeSocket(self.world.client_address, **query)
        self.world.nursery.start_soon(peer.serve, cast(Any, self.socket))
        await trio.testing.wait_all_tasks_blocked()
        return self.socket
