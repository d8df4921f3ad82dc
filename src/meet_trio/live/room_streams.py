"""The producers and consumers of a room, which follow its pure state.

State and engine change together or not at all. If a part of making a producer or consumer fails,
the parts before it are undone. If the engine refuses a pause or resume, the producer or consumer is
closed.
"""

import contextlib
import logging
import secrets
import uuid
from collections.abc import Callable

import attrs

from meet_trio.errors import BadRequest
from meet_trio.live.attendance import Viewing
from meet_trio.live.keeper import RoomKeeper
from meet_trio.live.log_errors import log_errors
from meet_trio.live.peer import LivePeer
from meet_trio.live.records import Counter
from meet_trio.live.streams import LiveConsumer, LiveProducer, Resumed
from meet_trio.media.engines import Mailbox
from meet_trio.media.plain import PlainTransport, Transport
from meet_trio.ortc import ProducerRtp, RtpParameters
from meet_trio.room import Consumer, Layers, Outcome, Producer, Room, requests

logger = logging.getLogger("meet_trio.live.room")


@attrs.define(eq=False)
class RoomStreams:
    """The streams of the room ``state``. What the engines tell of them goes to ``advice``.

    - ``perform(outcome)`` performs an outcome of the state.
    - ``notify(peer_id, method, data)`` tells a peer.
    - ``keeper`` is told what has changed.
    - ``replace(consumer)`` offers a stream anew whose consumer an engine has lost.
    - ``levels_watched``: the engines tell the audio levels.
    """

    state: Room
    perform: Callable[[Outcome], object]
    notify: Callable[[str, str, object], None]
    keeper: RoomKeeper
    replace: Callable[[LiveConsumer], None]
    advice: Mailbox = attrs.field(factory=Mailbox)
    levels_watched: bool = False
    producers: dict[str, LiveProducer] = attrs.field(factory=dict)
    consumers: dict[str, LiveConsumer] = attrs.field(factory=dict)
    # by their numbers in the engines
    producer_numbers: dict[int, LiveProducer] = attrs.field(factory=dict)
    consumer_numbers: dict[int, LiveConsumer] = attrs.field(factory=dict)
    ssrcs: set[int] = attrs.field(factory=set)
    """Of the consumers."""
    # those before the next one may have been used; modulo the number of SSRCs
    _ssrc_counter: Counter = attrs.field(factory=lambda: Counter(random_ssrc(), block=1024))

    def add_producer(
        self, peer_id: str, request: requests.Produce, rtp: ProducerRtp, transport: Transport
    ) -> Producer:
        """Add a producer to state and engine. If this raises, neither has it."""
        with contextlib.ExitStack() as undo:
            producer = self.state.add_producer(peer_id, str(uuid.uuid4()), request, rtp)
            undo.callback(self.state.close_producer, peer_id, producer.id)
            live = LiveProducer.open(producer, transport, self.advice, on_lost=self.close_producer)
            undo.callback(live.close)
            if self.levels_watched:
                live.watch_level(self.advice)
            undo.pop_all()
        self._insert_producer(live)
        logger.info("producer made: %s", producer.source, extra=live.log_ids())
        return producer

    def _insert_producer(self, live: LiveProducer) -> None:
        self.producers[live.state.id] = self.producer_numbers[live.number] = live
        self.keeper.note("sending", live.state.id)

    def _insert_consumer(self, live: LiveConsumer) -> None:
        self.ssrcs |= live.ssrcs()
        self.consumers[live.state.id] = self.consumer_numbers[live.number] = live
        self.keeper.note("viewing", live.state.id)

    def adopt_producer(self, state: Producer, transport: Transport, resumed: Resumed) -> None:
        """Add a producer of an earlier process, which the state has, to the engine. Raises what the
        engine raises; then it is not added.
        """
        self._insert_producer(
            LiveProducer.open(state, transport, self.advice, resumed, self.close_producer)
        )

    def adopt_consumer(
        self, peer: LivePeer, state: Consumer, transport: Transport, resumed: Resumed
    ) -> LiveConsumer:
        """The same for a consumer. Raises NotKept."""
        live = LiveConsumer.open(
            state,
            transport,
            self.producers[state.producer_id],
            self.advice,
            Viewing(peer.attendance.video),
            resumed,
            self.replace,
        )
        self._insert_consumer(live)
        return live

    @property
    def ssrcs_reserved(self) -> int:
        """All SSRCs before this one may have been used."""
        return self._ssrc_counter.reserved

    def reserve_ssrcs(self, reserved: int) -> None:
        """Use none that an earlier process may have used."""
        self._ssrc_counter = Counter(reserved, block=1024, reserved=reserved)

    def apply_pause(self, producer_id: str) -> None:
        """Make the engines follow the state's ``paused``. If an engine refuses, the producer is
        closed before this raises: a paused producer must not be heard.
        """
        producer = self.producers[producer_id]
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close_producer, producer)
            producer.apply_pause()
            on_failure.pop_all()

    def apply_consumer_pause(self, consumer_id: str) -> None:
        """Make the engine follow the state's ``paused``. If it refuses, the consumer is closed
        before this raises.
        """
        consumer = self.consumers[consumer_id]
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close_consumer, consumer)
            consumer.apply_pause()
            on_failure.pop_all()

    def prefer_layers(self, peer_id: str, consumer_id: str, layers: Layers) -> Outcome:
        """If the engine refuses, this raises, and neither state nor engine has changed."""
        if self.state.own_consumer(peer_id, consumer_id).preferred != layers:
            self.consumers[consumer_id].prefer_layers(layers)
        return self.state.prefer_layers(peer_id, consumer_id, layers)

    def prioritize(self, peer_id: str, consumer_id: str, priority: int) -> Outcome:
        """If the engine refuses, this raises, and neither state nor engine has changed."""
        if self.state.own_consumer(peer_id, consumer_id).priority != priority:
            self.consumers[consumer_id].prioritize(priority)
        return self.state.prioritize(peer_id, consumer_id, priority)

    def request_keyframe(self, peer_id: str, consumer_id: str) -> Outcome:
        """Request a key frame for a consumer, which pays for it from its budget in the engine."""
        self.state.own_consumer(peer_id, consumer_id)
        self.consumers[consumer_id].request_keyframe()
        return Outcome()

    def apply_hold(self, consumer: Consumer) -> None:
        """Make the engine follow ``held_back``. If it refuses, the consumer is closed."""
        with log_errors(f"holding back consumer {consumer.id}"):
            self.apply_consumer_pause(consumer.id)

    def close_producer(self, producer: LiveProducer) -> None:
        """Close a producer whose transport has ended, or after a fault."""
        self.perform(self.state.close_producer(producer.state.peer_id, producer.state.id))

    def close_consumer(self, consumer: LiveConsumer) -> None:
        """Close a consumer after a fault. Its client is told, and is not offered it again."""
        self.perform(self.state.remove_consumer(consumer.state.id, refused=True))
        self.notify(consumer.state.peer_id, "consumerClosed", {"consumerId": consumer.state.id})

    def check_streams_free(self, peer: LivePeer, transport: Transport, rtp: ProducerRtp) -> None:
        """Raise BadRequest if another producer of the transport has one of the SSRCs, or the MID.
        The same holds for the payload type of two producers that are identified by it alone.
        """
        taken = [p.state.rtp.params for p in self.own_producers(peer, transport)]
        ssrcs = {s for params in taken for e in params.encodings for s in (e.ssrc, e.rtx_ssrc)}
        for i, encoding in enumerate(rtp.params.encodings):
            for name, ssrc in (("ssrc", encoding.ssrc), ("rtx.ssrc", encoding.rtx_ssrc)):
                if ssrc is not None and ssrc in ssrcs:
                    raise BadRequest(
                        f"rtpParameters.encodings[{i}].{name}: in use on this transport already"
                    )
        if rtp.params.mid is not None and rtp.params.mid in {params.mid for params in taken}:
            raise BadRequest("rtpParameters.mid: in use on this transport already")
        if isinstance(transport, PlainTransport):
            payload_types = {_identifying_payload_type(params) for params in taken} - {None}
            if _identifying_payload_type(rtp.params) in payload_types:
                raise BadRequest(
                    "rtpParameters.codecs[0].payloadType: in use on this transport already, and "
                    "there is no ssrc to tell the two apart"
                )

    def new_ssrc(self) -> int:
        """An SSRC that no stream to a client of this room has (RFC 3550 §8.1), or has ever had:
        SSRCs count up from a random one.

        An SRTP index must not be used twice with one SSRC and one key. An engine forgets the used
        indices of SSRCs that ended long ago, so those SSRCs cannot be used again.
        """
        while True:
            number, risen = self._ssrc_counter.take()
            if risen:
                self.keeper.note("meeting", self.state.id)
            ssrc = number % (2**32 - 1) + 1
            if ssrc not in self.ssrcs:
                return ssrc

    def add_consumer(
        self, peer: LivePeer, producer: LiveProducer, transport: Transport
    ) -> LiveConsumer:
        """Add a consumer to state and engine. If this raises, neither has it."""
        with contextlib.ExitStack() as undo:
            state = self.state.add_consumer(
                str(uuid.uuid4()), peer.id, producer.state.id, peer.next_mid(), self.new_ssrc
            )
            undo.callback(self.state.remove_consumer, state.id)
            viewing = Viewing(peer.attendance.video)
            consumer = LiveConsumer.open(
                state, transport, producer, self.advice, viewing, on_lost=self.replace
            )
            undo.pop_all()
        self._insert_consumer(consumer)
        logger.debug("consumer made", extra=consumer.log_ids() | {"kind": state.rtp.kind})
        return consumer

    def drop_consumer(self, consumer_id: str) -> None:
        """The state has it no longer. Does nothing if it was dropped before."""
        if (consumer := self.consumers.pop(consumer_id, None)) is not None:
            self.consumer_numbers.pop(consumer.number)
            self.keeper.note_removal("viewing", consumer_id)
            self.ssrcs.difference_update(consumer.ssrcs())
            logger.debug("consumer closed", extra=consumer.log_ids())
            with log_errors(f"closing consumer {consumer_id}"):
                consumer.close()

    def drop_producer(self, producer_id: str) -> LiveProducer | None:
        """The state has it no longer. Returns it, unless it was dropped before."""
        if (producer := self.producers.pop(producer_id, None)) is not None:
            self.producer_numbers.pop(producer.number)
            self.keeper.note_removal("sending", producer_id)
            logger.info("producer closed", extra=producer.log_ids())
            with log_errors(f"closing producer {producer_id}"):
                producer.close()
        return producer

    def watch_levels(self) -> None:
        """Have the engines tell the audio levels, from now on."""
        self.levels_watched = True
        for producer in self.producers.values():
            with log_errors(f"audio level of producer {producer.state.id}"):
                producer.watch_level(self.advice)

    def own_consumers(self, peer: LivePeer, transport: Transport) -> list[LiveConsumer]:
        """The peer's consumers on one of its transports."""
        state = self.state.peers.get(peer.id)
        own = [] if state is None else [self.consumers[c.id] for c in state.consumers.values()]
        return [consumer for consumer in own if consumer.transport is transport]

    def own_producers(self, peer: LivePeer, transport: Transport) -> list[LiveProducer]:
        """The peer's producers on one of its transports."""
        state = self.state.peers.get(peer.id)
        own = [] if state is None else [self.producers[p] for p in state.producers]
        return [producer for producer in own if producer.transport is transport]


def _identifying_payload_type(params: RtpParameters) -> int | None:
    """The payload type, if nothing else identifies the stream; None if it has an SSRC or a RID."""
    (first, *more) = params.encodings
    identified = more or first.ssrc is not None or first.rid is not None
    return None if identified else params.media_codec().payload_type


def random_ssrc() -> int:
    return secrets.randbelow(2**32 - 1) + 1
