"""Live producers and consumers: each joins an object of the room's pure state with its object in
the engine.

``open`` does all or nothing: if the engine refuses a command, the commands before it are undone.
``close`` and ``release_mirror`` try every step, even if one of them fails. If the engine refuses a
removal, the object stays there until its transport is removed.

Every producer and consumer belongs to a transport, and the engine removes it with the transport.
``close`` is for those that end earlier, and does no harm to one that the engine has removed. The
room's pure state decides which of them exist.
"""

import contextlib
import math
from collections.abc import Callable, Mapping

import attrs
import trio

from meet_trio.engine import ConsumerSpec, Kept, ProducerSpec
from meet_trio.live.attendance import Viewing
from meet_trio.live.records import SendingRecord, ViewingRecord
from meet_trio.media.engines import EngineHost, Mailbox
from meet_trio.media.plain import Transport
from meet_trio.media.specs import consumer_spec, producer_spec
from meet_trio.media.successor import LATER, NotKept
from meet_trio.ortc import ConsumerRtp
from meet_trio.room import Consumer, Layers, Producer

NOTHING_KEPT = Kept(0, {}, {}, {}, ())
KeptEngines = Mapping[EngineHost, Kept]
"""What each engine of an earlier process has left."""


def _ignore(lost: object) -> None:
    pass


def _check_transport(transport: Transport) -> None:
    if not transport.host.holds(transport):
        raise NotKept(f"transport {transport.id} was lost, and so is what was on it")


@attrs.frozen
class Resumed:
    """A stream of an earlier process: its number in the engines, and what they have kept of it.
    That is ``LATER`` while their process still runs: either ``go_on`` or ``discard`` follows.
    """

    number: int
    kept: KeptEngines
    accepted: bool = False

    def on(self, host: EngineHost) -> Kept:
        return self.kept.get(host, NOTHING_KEPT)


@attrs.define(eq=False)
class Mirror:
    """A producer on another engine than its own, for the ``consumers`` there."""

    producer: "LiveProducer"
    host: EngineHost
    consumers: int = 0

    def enter_engine(self, kept: Kept | None) -> None:
        """See ``Resident``."""
        producer, engine = self.producer, self.host.engine
        engine.add_mirror(producer.number, producer.spec())
        try:
            if kept is not None:
                producer.resume(self.host, kept)
            producer.relay_to(self)
        except BaseException:
            engine.remove_producer(producer.number)
            raise

    def lost(self) -> None:
        """See ``Resident``."""
        self.producer.lost()

    def remove(self) -> None:
        self.host.dismiss(self)
        number = self.producer.number
        try:
            self.producer.transport.host.engine.stop_relaying(number, self.host.engine)
        finally:
            self.host.engine.remove_producer(number)


@attrs.define(eq=False)
class LiveProducer:
    """A stream that a peer sends, in one or several encodings. ``scores`` has a number from 0 to 10
    for each encoding.

    Each other engine with consumers of this producer has a mirror of it, under the same number. The
    stream crosses to that engine once, for as long as there are consumers on it.
    """

    state: Producer
    transport: Transport
    number: int
    scores: list[int]
    paused_at: float = -math.inf
    """When it was paused last."""
    _on_lost: "Callable[[LiveProducer], None]" = _ignore
    _waiting_since: float | None = None  # for its first packet
    _mirrors: dict[EngineHost, Mirror] = attrs.field(factory=dict)

    @classmethod
    def open(
        cls,
        state: Producer,
        transport: Transport,
        advice: Mailbox,
        resumed: "Resumed | None" = None,
        on_lost: "Callable[[LiveProducer], None]" = _ignore,
    ) -> "LiveProducer":
        """``on_lost``: it could not be given to the engine in the place of one that has died."""
        host = transport.host
        number = host.new_number() if resumed is None else resumed.number
        scores = [0] * len(state.rtp.params.encodings)
        since = None if state.paused else trio.current_time()
        producer = cls(state, transport, number, scores, on_lost=on_lost, waiting_since=since)
        kept = None if resumed is None else resumed.on(host)
        if kept is not LATER:
            host.admit(producer, kept)
        host.watch_producer(number, advice)
        return producer

    def go_on(self, kept: Kept) -> None:
        """It was opened for ``LATER``. Its mirrors go on with their first consumers."""
        self.transport.host.admit(self, kept)
        if self._waiting_since is not None:
            self._waiting_since = trio.current_time()

    def go_on_at(self, host: EngineHost, kept: Kept) -> None:
        """Its mirror there goes on, if it has not yet."""
        mirror = self._mirrors.get(host)
        if mirror is not None and not host.holds(mirror):
            host.admit(mirror, kept)

    def discard(self) -> None:
        """It was opened for ``LATER``, and is not needed."""
        self.transport.host.unwatch_producer(self.number)

    def enter_engine(self, kept: Kept | None) -> None:
        """See ``Resident``. The engines of its mirrors go on."""
        _check_transport(self.transport)
        engine = self.transport.host.engine
        engine.add_producer(self.number, self.transport.number, self.spec())
        try:
            if kept is not None:
                self.resume(self.transport.host, kept)
            for host, mirror in self._mirrors.items():
                if host.holds(mirror):
                    self.relay_to(mirror)
        except BaseException:
            engine.remove_producer(self.number)
            raise

    def resume(self, host: EngineHost, kept: Kept) -> None:
        """Its streams, there or in a mirror. Those of which nothing was kept begin anew."""
        if (blob := kept.producers.get(self.number)) is not None:
            host.engine.resume_producer(self.number, blob, kept.exact)

    def relay_to(self, mirror: Mirror) -> None:
        self.transport.host.engine.relay_producer(self.number, mirror.host.engine)

    def spec(self) -> ProducerSpec:
        return producer_spec(self.state.rtp, paused=self.state.paused)

    def lost(self) -> None:
        """See ``Resident``."""
        self._on_lost(self)

    def close(self) -> None:
        """Remove it from the engine. Its consumers have to be closed before."""
        assert not self._mirrors
        self.transport.host.dismiss(self)
        self.transport.host.unwatch_producer(self.number)
        self.transport.host.engine.remove_producer(self.number)

    def take_waiting_since(self) -> float | None:
        """Since when its first packet was waited for. None if it was paused, or was asked before,
        so only the first packet counts.
        """
        since, self._waiting_since = self._waiting_since, None
        return since

    def log_ids(self) -> dict[str, str]:
        """The ids that a record about it carries."""
        return {
            "peer": self.state.peer_id,
            "transport": self.transport.id,
            "producer": self.state.id,
        }

    def record(self, room_id: str) -> SendingRecord:
        return SendingRecord(room_id, self.state.id, self.transport.id, self.number)

    def watch_level(self, advice: Mailbox) -> None:
        """Have the engine tell the audio level, if it is a microphone's."""
        if self.state.is_voice:
            self.transport.host.watch_level(self.number, advice)

    def apply_pause(self) -> None:
        """Make the engines follow ``state.paused``."""
        if self.state.paused:
            self.paused_at = trio.current_time()
            self._waiting_since = None
        for host in (self.transport.host, *self._mirrors):
            host.engine.set_producer_paused(self.number, self.state.paused)

    def acquire_mirror(self, host: EngineHost, kept: Kept | None = None) -> None:
        """Count one more consumer on ``host``, and make the mirror there for the first one. The
        producer's own engine needs none. ``kept``: what an earlier engine of ``host`` has left.
        """
        if host is self.transport.host:
            return
        if (mirror := self._mirrors.get(host)) is None:
            mirror = Mirror(self, host)
            if kept is not LATER:
                host.admit(mirror, kept)
            self._mirrors[host] = mirror
        mirror.consumers += 1

    def release_mirror(self, host: EngineHost) -> None:
        """Count one consumer less on ``host``, and remove the mirror after the last one."""
        if host is self.transport.host:
            return
        mirror = self._mirrors[host]
        mirror.consumers -= 1
        if not mirror.consumers:
            del self._mirrors[host]
            mirror.remove()


@attrs.define(eq=False)
class LiveConsumer:
    """A producer's stream as one other peer receives it.

    It is paused in the engine (``_held``) for three reasons: its client has paused it, last-N holds
    it back, or it is video and the client has not answered ``newConsumer`` yet. The pause of the
    producer is not part of this: the engine has it with the producer.
    """

    state: Consumer
    transport: Transport
    producer: LiveProducer
    number: int
    viewing: Viewing
    accepted: bool = False
    score: int = 10  # 0-10; the first score of the engine replaces it
    layer: int | None = None  # the encoding that the engine sends now
    _on_lost: "Callable[[LiveConsumer], None]" = _ignore
    _waiting_since: float | None = None  # for its first packet
    _spec: ConsumerSpec | None = None  # that it enters its engine with, if that is made already

    @classmethod
    def open(
        cls,
        state: Consumer,
        transport: Transport,
        producer: LiveProducer,
        advice: Mailbox,
        viewing: Viewing,
        resumed: "Resumed | None" = None,
        on_lost: "Callable[[LiveConsumer], None]" = _ignore,
    ) -> "LiveConsumer":
        """``on_lost``: as for a producer. Raises NotKept."""
        host = transport.host
        number = host.new_number() if resumed is None else resumed.number
        consumer = cls(state, transport, producer, number, viewing, on_lost=on_lost)
        consumer.accepted = resumed is not None and resumed.accepted
        kept = None if resumed is None else resumed.on(host)
        with contextlib.ExitStack() as undo:
            producer.acquire_mirror(host, kept)
            undo.callback(producer.release_mirror, host)
            if kept is LATER:
                consumer._spec = consumer._make_spec()
            else:
                host.admit(consumer, kept)
            undo.pop_all()
        host.watch_consumer(consumer.number, advice)
        consumer._wait_for_packet()
        return consumer

    def is_kept(self, kept: Kept) -> bool:
        """Whether there is what it cannot go on without."""
        return self.number in kept.consumers

    def go_on(self, kept: Kept) -> None:
        """It was opened for ``LATER``. Its producer goes on already. Raises NotKept."""
        host = self.transport.host
        self.producer.go_on_at(host, kept)
        host.admit(self, kept)
        if self._waiting_since is not None:
            self._waiting_since = trio.current_time()

    def discard(self) -> None:
        """It was opened for ``LATER``, and is not needed."""
        self.transport.host.unwatch_consumer(self.number)

    def enter_engine(self, kept: Kept | None) -> None:
        """See ``Resident``. It does not begin anew: no index of SRTP is used twice with one SSRC
        and one key.
        """
        _check_transport(self.transport)
        engine, blob = self.transport.host.engine, None
        if kept is not None and (blob := kept.consumers.get(self.number)) is None:
            raise NotKept(f"nothing of consumer {self.state.id} was kept")
        spec, self._spec = self._spec or self._make_spec(), None
        engine.add_consumer(self.number, self.transport.number, self.producer.number, spec)
        try:
            if kept is not None and blob is not None:
                engine.resume_consumer(self.number, blob, kept.exact)
            if self.state.priority != 1:
                self.prioritize(self.state.priority)
            if self.state.preferred is not None:
                self.prefer_layers(self.state.preferred)
        except BaseException:
            engine.remove_consumer(self.number)
            raise

    def lost(self) -> None:
        """See ``Resident``."""
        self._on_lost(self)

    def _make_spec(self) -> ConsumerSpec:
        return consumer_spec(self.state.rtp, paused=self._held)

    @property
    def rtp(self) -> ConsumerRtp:
        return self.state.rtp

    def close(self) -> None:
        self.viewing.stop(trio.current_time())
        host = self.transport.host
        host.dismiss(self)
        host.unwatch_consumer(self.number)
        try:
            host.engine.remove_consumer(self.number)
        finally:
            self.producer.release_mirror(host)

    def view(self, layer: int | None) -> None:
        """The engine sends this layer from now on."""
        if self.state.rtp.kind == "video":
            paused = self._held or self.producer.state.paused
            self.viewing.follow(layer, paused, trio.current_time())

    def log_ids(self) -> dict[str, str]:
        """The ids that a record about it carries."""
        return {
            "peer": self.state.peer_id,
            "transport": self.transport.id,
            "consumer": self.state.id,
            "producer": self.state.producer_id,
        }

    def record(self, room_id: str) -> ViewingRecord:
        return ViewingRecord(room_id, self.state.id, self.transport.id, self.number, self.accepted)

    def ssrcs(self) -> set[int]:
        (encoding,) = self.state.rtp.params.encodings
        return {ssrc for ssrc in (encoding.ssrc, encoding.rtx_ssrc) if ssrc is not None}

    def accept(self) -> None:
        """The client has answered ``newConsumer``."""
        self.accepted = True
        self.apply_pause()
        if self.state.rtp.kind == "video":
            self._wait_for_packet()

    def _wait_for_packet(self) -> None:
        if not (self._held or self.producer.state.paused):
            self._waiting_since = trio.current_time()

    def take_waiting_since(self) -> float | None:
        """Since when its first packet was waited for: since its making, or that of video since the
        client's answer. None if somebody has paused it, or its producer, at first.
        """
        since, self._waiting_since = self._waiting_since, None
        return None if since is None or self.producer.paused_at >= since else since

    def apply_pause(self) -> None:
        """Make the engine follow the state and ``accepted``."""
        if self._held:
            self._waiting_since = None
        self.transport.host.engine.set_consumer_paused(self.number, self._held)

    def prefer_layers(self, layers: Layers) -> None:
        engine = self.transport.host.engine
        if layers.temporal is None:
            engine.set_preferred_layers(self.number, layers.spatial)
        else:
            engine.set_preferred_layers(self.number, layers.spatial, layers.temporal)

    def prioritize(self, priority: int) -> None:
        self.transport.host.engine.set_consumer_priority(self.number, priority)

    def request_keyframe(self) -> None:
        self.transport.host.engine.request_consumer_keyframe(self.number)

    @property
    def _held(self) -> bool:
        unanswered = self.state.rtp.kind == "video" and not self.accepted
        return self.state.paused or self.state.held_back or unanswered

    def score_data(self) -> dict[str, object]:
        """The ``score`` of ``consumerScoreChanged``, as mediasoup has it: ``producerScore`` is that
        of the encoding that is sent now, 0 if none is.
        """
        scores = self.producer.scores
        layer = 0 if len(scores) == 1 else self.layer
        current = 0 if layer is None else scores[layer]
        return {"score": self.score, "producerScore": current, "producerScores": scores}

    def new_consumer_data(self) -> dict[str, object]:
        """The data of ``newConsumer``."""
        producer, state = self.producer.state, self.state
        rtp = state.rtp
        return {
            "peerId": producer.peer_id,
            "kind": rtp.kind,
            "producerId": producer.id,
            "id": state.id,
            "rtpParameters": state.template.to_json(rtp.params),
            "type": rtp.type,
            "appData": dict(producer.app_data),
            "producerPaused": producer.paused or state.held_back,
        }
