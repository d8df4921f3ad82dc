"""Makes the consumers that a room lacks, and offers them to their clients.

A few are offered at a time, so that other tasks run in between. There may be hundreds: of one
producer for many peers, or of many producers for one peer.
"""

import logging
from collections.abc import Callable, Mapping

import attrs
import trio

from meet_trio.live.log_errors import log_errors
from meet_trio.live.peer import LivePeer, RequestUnanswered
from meet_trio.live.room_streams import RoomStreams
from meet_trio.live.streams import LiveConsumer
from meet_trio.logs.context import bind
from meet_trio.room import Peer, Producer, fill_template

logger = logging.getLogger("meet_trio.live.room")

# Consumers are offered in batches with pauses, because the answers come at the pace of the offers,
# and reading them is as much work.
_OFFERS_AT_ONCE = 8
_OFFER_PAUSE = 0.004  # seconds


@attrs.define(eq=False)
class Offers:
    """The offers to ``peers`` of a room.

    - ``tell_score(consumer)`` tells the client the scores that came before its answer.
    - ``check_wishes()`` has to be called after a consumer was made.
    """

    streams: RoomStreams
    peers: Mapping[str, LivePeer]
    tell_score: Callable[[LiveConsumer], None]
    check_wishes: Callable[[], None]
    _due: trio.Event = attrs.field(factory=trio.Event)
    # ``state.missing`` after the last request or batch of offers; a new request pays for any rise
    _missing_before: int = 0

    def check(self) -> int:
        """The room has changed: missing consumers are offered soon. Returns how many more are
        missing than before.
        """
        missing = self.streams.state.missing
        new, self._missing_before = max(0, missing - self._missing_before), missing
        if missing:
            self._due.set()
        return new

    async def run(self) -> None:
        """Offer the missing consumers, a few at a time, so that other tasks run in between. There
        may be hundreds: of one producer for many peers, or of many producers for one peer.
        """
        while True:
            await self._due.wait()
            self._due = trio.Event()
            while before := self.streams.state.missing:
                with log_errors("looking for missing consumers"):
                    self._offer_some()
                self._missing_before = self.streams.state.missing
                if self._missing_before >= before:
                    break  # a fault; trying again would make an endless loop
                if self._missing_before:
                    await trio.sleep(_OFFER_PAUSE)

    def _offer_some(self) -> None:
        for peer, producer in self.streams.state.missing_consumers(_OFFERS_AT_ONCE):
            try:
                self._open_consumer(peer, producer)
            except Exception:
                ids = {"peer": peer.id, "producer": producer.id}
                logger.exception("a consumer cannot be made", extra=ids)
                self.streams.state.refuse(peer.id, producer.id)

    def _open_consumer(self, peer_state: Peer, producer_state: Producer) -> None:
        """Add a consumer to state and engine, and offer it. If this raises, neither has it."""
        peer, producer = self.peers[peer_state.id], self.streams.producers[producer_state.id]
        transport = peer.receiving_transport()
        # missing_consumers lists only pairs for which these hold
        assert transport is not None
        assert peer_state.rtp_capabilities is not None
        template = producer_state.templates.get(peer_state.rtp_capabilities)
        assert template is not None
        rtp = fill_template(template, peer.next_mid(), self.streams.new_ssrc)
        consumer = self.streams.add_consumer(peer, producer, rtp, transport)
        peer.nursery.start_soon(self._offer, peer, consumer)
        self.check_wishes()

    async def _offer(self, peer: LivePeer, consumer: LiveConsumer) -> None:
        bind(peer=peer.id)
        with consumer.offering:  # cancelled when the consumer is closed
            try:
                await peer.request("newConsumer", consumer.new_consumer_data())
                consumer.accept()
                if any(consumer.producer.scores):  # scores before the answer were not told
                    self.tell_score(consumer)
            except RequestUnanswered as error:
                logger.info("the consumer was not accepted: %s", error, extra=consumer.log_ids())
                self.streams.perform(
                    self.streams.state.remove_consumer(consumer.state.id, refused=True)
                )
            except Exception:
                logger.exception("the consumer failed", extra=consumer.log_ids())
                self.streams.close_consumer(consumer)
