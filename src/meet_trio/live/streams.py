"""Producers and consumers as they live: an entry in the engine for each, made when the object is opened, gone when it is closed.

They belong to a transport, and the engine drops them with it; ``close`` is for those that end earlier, and
harmless on those that did not. Whether one exists at all is decided by the room's pure state.
"""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
import trio

from ..engine import Event
from ..media.specs import consumer_spec, producer_spec
from ..media.transport import WebRtcTransport
from ..ortc import ConsumerRtp, ProducerRtp

if TYPE_CHECKING:
    from .peer import LivePeer


@attrs.define(eq=False)
class LiveProducer:
    """A stream that a peer sends, in one or several encodings."""

    transport: WebRtcTransport
    rtp: ProducerRtp
    app_data: Mapping[str, object]
    events: trio.MemorySendChannel[Event]
    id: str = attrs.field(factory=lambda: str(uuid.uuid4()))
    number: int = attrs.field(init=False)
    paused: bool = False
    scores: list[int] = attrs.field(init=False)

    def open(self) -> None:
        host = self.transport.host
        self.number = host.new_number()
        self.scores = [0] * len(self.rtp.params.encodings)
        host.engine.add_producer(
            self.number, self.transport.number, producer_spec(self.rtp, paused=self.paused)
        )
        host.watch_producer(self.number, self.events)

    def close(self) -> None:
        self.transport.host.unwatch_producer(self.number)
        self.transport.host.engine.remove_producer(self.number)

    def set_paused(self, paused: bool) -> None:
        self.paused = paused
        self.transport.host.engine.set_producer_paused(self.number, paused)


@attrs.define(eq=False)
class LiveConsumer:
    """A producer's stream on its way to one peer.

    It flows when neither the client has paused it nor, for video, the client's answer to ``newConsumer`` is still awaited. (The producer's own
    pause is the engine's matter.)
    """

    transport: WebRtcTransport
    producer: LiveProducer
    producer_peer: "LivePeer"
    rtp: ConsumerRtp
    events: trio.MemorySendChannel[Event]
    id: str = attrs.field(factory=lambda: str(uuid.uuid4()))
    number: int = attrs.field(init=False)
    paused: bool = False
    accepted: bool = False

    def open(self) -> None:
        host = self.transport.host
        self.number = host.new_number()
        spec = consumer_spec(self.rtp, paused=self._held)
        host.engine.add_consumer(self.number, self.transport.number, self.producer.number, spec)
        host.watch_consumer(self.number, self.events)

    def close(self) -> None:
        self.transport.host.unwatch_consumer(self.number)
        self.transport.host.engine.remove_consumer(self.number)

    def accept(self) -> None:
        """The client has answered ``newConsumer``."""
        self.accepted = True
        self._apply()

    def set_paused(self, paused: bool) -> None:
        self.paused = paused
        self._apply()

    @property
    def _held(self) -> bool:
        return self.paused or (self.producer.rtp.kind == "video" and not self.accepted)

    def _apply(self) -> None:
        self.transport.host.engine.set_consumer_paused(self.number, self._held)

    def offer(self) -> dict[str, object]:
        """The data of ``newConsumer``."""
        return {
            "peerId": self.producer_peer.id,
            "kind": self.producer.rtp.kind,
            "producerId": self.producer.id,
            "id": self.id,
            "rtpParameters": self.rtp.params.to_json(),
            "type": self.rtp.type,
            "appData": dict(self.producer.app_data),
            "producerPaused": self.producer.paused,
        }
