"""What the engines tell of a room's streams: layers, scores, audio levels, first packets."""

import logging

import attrs
import trio

from meet_trio.engine import (
    AudioLevel,
    ConsumerScore,
    ConsumerStarted,
    LayerChanged,
    ProducerScore,
    StreamStarted,
)
from meet_trio.live.log_errors import log_errors
from meet_trio.live.room_streams import RoomStreams
from meet_trio.live.speakers import LiveSpeakers
from meet_trio.live.streams import LiveConsumer
from meet_trio.media.engines import Advice
from meet_trio.tallies import Tally

logger = logging.getLogger("meet_trio.live.room")


@attrs.define(eq=False)
class AdviceTaker:
    """Applies the advice about ``streams``, and tells their clients."""

    streams: RoomStreams
    speakers: LiveSpeakers
    tally: Tally

    async def run(self) -> None:
        """Take advice until cancelled."""
        while True:
            advice = await self.streams.advice.take()
            with log_errors(advice):
                self._apply(advice)

    def _apply(self, advice: Advice) -> None:
        match advice:
            case LayerChanged():
                self._layers_changed(advice)
            case ConsumerScore():
                self._consumer_score(advice)
            case ProducerScore():
                self._producer_score(advice)
            case StreamStarted():
                self._stream_started(advice)
            case ConsumerStarted():
                self._consumer_started(advice)
            case AudioLevel():
                if (producer := self.streams.producer_numbers.get(advice.producer)) is not None:
                    state = producer.state
                    self.speakers.hear(state.peer_id, state.id, advice.dbov)

    def _stream_started(self, event: StreamStarted) -> None:
        producer = self.streams.producer_numbers.get(event.producer)
        if producer is not None and (since := producer.take_waiting_since()) is not None:
            self.tally.first_packet_in.add(trio.current_time() - since)

    def _consumer_started(self, event: ConsumerStarted) -> None:
        consumer = self.streams.consumer_numbers.get(event.consumer)
        if consumer is not None and (since := consumer.take_waiting_since()) is not None:
            waited = trio.current_time() - since
            self.tally.first_packet_out[consumer.rtp.kind].add(waited)

    def _layers_changed(self, event: LayerChanged) -> None:
        consumer = self.streams.consumer_numbers.get(event.consumer)
        if consumer is None:
            return
        consumer.view(event.spatial)
        logger.debug("layers %s, %s", event.spatial, event.temporal, extra=consumer.log_ids())
        if consumer.rtp.type == "simple":
            return
        consumer.layer = event.spatial
        if not consumer.accepted:
            return
        data: dict[str, object] = {"consumerId": consumer.state.id}
        if event.spatial is not None:
            data["layers"] = {"spatialLayer": event.spatial, "temporalLayer": event.temporal}
        self.streams.notify(consumer.state.peer_id, "consumerLayersChanged", data)
        if event.spatial is not None:
            self.tell_score(consumer)  # ``producerScore`` is now another encoding's

    def _producer_score(self, event: ProducerScore) -> None:
        producer = self.streams.producer_numbers.get(event.producer)
        if producer is not None:
            producer.scores = list(event.scores)
            for consumer in self.streams.state.consumers_of(producer.state.id):
                self.tell_score(self.streams.consumers[consumer.id])

    def _consumer_score(self, event: ConsumerScore) -> None:
        consumer = self.streams.consumer_numbers.get(event.consumer)
        if consumer is not None:
            consumer.score = event.score
            self.tell_score(consumer)

    def tell_score(self, consumer: LiveConsumer) -> None:
        """Tell the client how well it gets the stream."""
        if not consumer.accepted:
            return  # its client has not answered newConsumer yet
        data = {"consumerId": consumer.state.id, "score": consumer.score_data()}
        self.streams.notify(consumer.state.peer_id, "consumerScoreChanged", data)
