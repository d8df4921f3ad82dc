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
from collections import Counter
from collections.abc import Mapping

import attrs
import trio

from meet_trio.engine import Kept
from meet_trio.live.attendance import Viewing
from meet_trio.live.records import SendingRecord, ViewingRecord
from meet_trio.media.engines import EngineHost, Mailbox
from meet_trio.media.plain import Transport
from meet_trio.media.specs import consumer_spec, producer_spec
from meet_trio.ortc import ConsumerRtp
from meet_trio.room import Consumer, Layers, Producer

KeptEngines = Mapping[EngineHost, Kept]
"""What each engine of an earlier process has left."""


@attrs.frozen
class Resumed:
    """A stream of an earlier process: its number in the engines, and what they have kept of it."""

    number: int
    kept: KeptEngines
    accepted: bool = False

    def exact_on(self, host: EngineHost) -> bool:
        """Whether what the engine has kept is as at its end."""
        kept = self.kept.get(host)
        return kept is None or kept.exact

    def producer_on(self, host: EngineHost) -> bytes | None:
        return self.mirror_on(host, self.number)

    def mirror_on(self, host: EngineHost, producer: int) -> bytes | None:
        kept = self.kept.get(host)
        return None if kept is None else kept.producers.get(producer)

    def consumer_on(self, host: EngineHost) -> bytes | None:
        kept = self.kept.get(host)
        return None if kept is None else kept.consumers.get(self.number)


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
    _waiting_since: float | None = None  # for its first packet
    # the number of consumers on each engine that has a mirror
    _mirror_consumers: Counter[EngineHost] = attrs.field(factory=Counter)

    @classmethod
    def open(
        cls,
        state: Producer,
        transport: Transport,
        advice: Mailbox,
        resumed: "Resumed | None" = None,
    ) -> "LiveProducer":
        host = transport.host
        number = host.new_number() if resumed is None else resumed.number
        spec = producer_spec(state.rtp, paused=state.paused)
        host.engine.add_producer(number, transport.number, spec)
        if resumed is not None and (blob := resumed.producer_on(host)) is not None:
            host.engine.resume_producer(number, blob, resumed.exact_on(host))
        host.watch_producer(number, advice)
        scores = [0] * len(state.rtp.params.encodings)
        since = None if state.paused else trio.current_time()
        return cls(state, transport, number, scores, waiting_since=since)

    def close(self) -> None:
        """Remove it from the engine. Its consumers have to be closed before."""
        assert not self._mirror_consumers
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
        for host in (self.transport.host, *self._mirror_consumers):
            host.engine.set_producer_paused(self.number, self.state.paused)

    def acquire_mirror(self, host: EngineHost, blob: bytes | None = None) -> None:
        """Count one more consumer on ``host``, and make the mirror there for the first one. The
        producer's own engine needs none. ``blob``: what ``host`` has kept of a mirror.
        """
        if host is self.transport.host:
            return
        if not self._mirror_consumers[host]:
            spec = producer_spec(self.state.rtp, paused=self.state.paused)
            with contextlib.ExitStack() as undo:
                host.engine.add_mirror(self.number, spec)
                undo.callback(host.engine.remove_producer, self.number)
                if blob is not None:
                    host.engine.resume_producer(self.number, blob)
                self.transport.host.engine.relay_producer(self.number, host.engine)
                undo.pop_all()
        self._mirror_consumers[host] += 1

    def release_mirror(self, host: EngineHost) -> None:
        """Count one consumer less on ``host``, and remove the mirror after the last one."""
        if host is self.transport.host:
            return
        self._mirror_consumers[host] -= 1
        if not self._mirror_consumers[host]:
            del self._mirror_consumers[host]
            try:
                self.transport.host.engine.stop_relaying(self.number, host.engine)
            finally:
                host.engine.remove_producer(self.number)


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
    _waiting_since: float | None = None  # for its first packet

    @classmethod
    def open(
        cls,
        state: Consumer,
        transport: Transport,
        producer: LiveProducer,
        advice: Mailbox,
        viewing: Viewing,
        resumed: "Resumed | None" = None,
    ) -> "LiveConsumer":
        host = transport.host
        number = host.new_number() if resumed is None else resumed.number
        consumer = cls(state, transport, producer, number, viewing)
        consumer.accepted = resumed is not None and resumed.accepted
        spec = consumer_spec(state.rtp, paused=consumer._held)
        with contextlib.ExitStack() as undo:
            producer.acquire_mirror(
                host, None if resumed is None else resumed.mirror_on(host, producer.number)
            )
            undo.callback(producer.release_mirror, host)
            host.engine.add_consumer(number, transport.number, producer.number, spec)
            undo.callback(host.engine.remove_consumer, number)
            if resumed is not None and (blob := resumed.consumer_on(host)) is not None:
                host.engine.resume_consumer(number, blob, resumed.exact_on(host))
            if state.priority != 1:
                host.engine.set_consumer_priority(number, state.priority)
            if state.preferred is not None:
                consumer.prefer_layers(state.preferred)
            undo.pop_all()
        host.watch_consumer(consumer.number, advice)
        consumer._wait_for_packet()
        return consumer

    @property
    def rtp(self) -> ConsumerRtp:
        return self.state.rtp

    def close(self) -> None:
        self.viewing.stop(trio.current_time())
        host = self.transport.host
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
