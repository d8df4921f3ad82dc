"""Producers and consumers as they live: an entry of the room's state and an entry in the engine,
opened and closed together.

``open`` does all or nothing: when a command is refused, those before it are taken back. ``close``
and ``hide_on`` do all of it, whatever comes of one part. What a refused removal leaves in an engine
goes with its transport.

They belong to a transport, and the engine drops them with it; ``close`` is for those that end
earlier, and harmless on those that did not. Whether one exists at all is decided by the room's pure
state.
"""

import contextlib
from collections import Counter

import attrs
import trio

from meet_trio.media.engines import EngineHost, Mailbox
from meet_trio.media.plain import Transport
from meet_trio.media.specs import consumer_spec, producer_spec
from meet_trio.ortc import ConsumerRtp
from meet_trio.room import Consumer, Producer


@attrs.define(eq=False)
class LiveProducer:
    """A stream that a peer sends, in one or several encodings. ``scores`` 0-10, one for each
    encoding.

    Engines other than its own that have viewers of it hold a mirror, under the same number: the
    stream crosses to each of them once, for as long as somebody there wants it.
    """

    state: Producer
    transport: Transport
    number: int
    scores: list[int]
    _viewers_elsewhere: Counter[EngineHost] = attrs.field(factory=Counter)

    @classmethod
    def open(cls, state: Producer, transport: Transport, advice: Mailbox) -> "LiveProducer":
        host = transport.host
        number, spec = host.new_number(), producer_spec(state.rtp, paused=state.paused)
        host.engine.add_producer(number, transport.number, spec)
        host.watch_producer(number, advice)
        return cls(state, transport, number, [0] * len(state.rtp.params.encodings))

    def close(self) -> None:
        """After its consumers."""
        assert not self._viewers_elsewhere
        self.transport.host.unwatch_producer(self.number)
        self.transport.host.engine.remove_producer(self.number)

    def apply_pause(self) -> None:
        """Make the engines do what the state says."""
        for host in (self.transport.host, *self._viewers_elsewhere):
            host.engine.set_producer_paused(self.number, self.state.paused)

    def show_on(self, host: EngineHost) -> None:
        """There is one more consumer on ``host``."""
        if host is self.transport.host:
            return
        if not self._viewers_elsewhere[host]:
            spec = producer_spec(self.state.rtp, paused=self.state.paused)
            with contextlib.ExitStack() as undo:
                host.engine.add_mirror(self.number, spec)
                undo.callback(host.engine.remove_producer, self.number)
                self.transport.host.engine.relay_producer(self.number, host.engine)
                undo.pop_all()
        self._viewers_elsewhere[host] += 1

    def hide_on(self, host: EngineHost) -> None:
        """There is one less."""
        if host is self.transport.host:
            return
        self._viewers_elsewhere[host] -= 1
        if not self._viewers_elsewhere[host]:
            del self._viewers_elsewhere[host]
            try:
                self.transport.host.engine.stop_relaying(self.number, host.engine)
            finally:
                host.engine.remove_producer(self.number)


@attrs.define(eq=False)
class LiveConsumer:
    """A producer's stream on its way to one peer.

    It flows when neither the client has paused it nor, for video, the client's answer to
    ``newConsumer`` is still awaited. (The producer's own pause is the engine's matter.)
    """

    state: Consumer
    rtp: ConsumerRtp
    transport: Transport
    producer: LiveProducer
    number: int
    accepted: bool = False
    score: int = 10  # 0-10, until the engine knows better
    offering: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    @classmethod
    def open(
        cls,
        state: Consumer,
        rtp: ConsumerRtp,
        transport: Transport,
        producer: LiveProducer,
        advice: Mailbox,
    ) -> "LiveConsumer":
        host = transport.host
        consumer = cls(state, rtp, transport, producer, host.new_number())
        spec = consumer_spec(rtp, paused=consumer._held)
        with contextlib.ExitStack() as undo:
            producer.show_on(host)
            undo.callback(producer.hide_on, host)
            host.engine.add_consumer(consumer.number, transport.number, producer.number, spec)
            undo.pop_all()
        host.watch_consumer(consumer.number, advice)
        return consumer

    def close(self) -> None:
        self.offering.cancel()
        host = self.transport.host
        host.unwatch_consumer(self.number)
        try:
            host.engine.remove_consumer(self.number)
        finally:
            self.producer.hide_on(host)

    def ssrcs(self) -> set[int]:
        (encoding,) = self.rtp.params.encodings
        return {ssrc for ssrc in (encoding.ssrc, encoding.rtx_ssrc) if ssrc is not None}

    def accept(self) -> None:
        """The client has answered ``newConsumer``."""
        self.accepted = True
        self.apply_pause()

    def apply_pause(self) -> None:
        """Make the engine do what the state says."""
        self.transport.host.engine.set_consumer_paused(self.number, self._held)

    @property
    def _held(self) -> bool:
        return self.state.paused or (self.rtp.kind == "video" and not self.accepted)

    def offer(self) -> dict[str, object]:
        """The data of ``newConsumer``."""
        producer = self.producer.state
        return {
            "peerId": producer.peer_id,
            "kind": self.rtp.kind,
            "producerId": producer.id,
            "id": self.state.id,
            "rtpParameters": self.rtp.params.to_json(),
            "type": self.rtp.type,
            "appData": dict(producer.app_data),
            "producerPaused": producer.paused,
        }
