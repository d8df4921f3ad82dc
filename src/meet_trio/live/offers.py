"""Makes the consumers that a room lacks, and offers them to their clients.

An offer is a request to the client, ``newConsumer``. It has no task: it is a record, and the answer
is acted on in the step that reads it from the client's socket. All offers of a room share one
timer, which is for the earliest. An unanswered offer is repeated, ``request_tries`` times on each
socket that the peer has meanwhile:

    made ──▶ asked ──answer──▶ accepted, or refused and closed
              │ ▲ └──no answer to the last try──▶ refused and closed
              │ └────due────┐
              └─socket lost─▶ parked ──new socket──▶ to be asked again

If an earlier socket was lost in between, a refusal counts as an answer, and so does silence: the
client may have the consumer already, and only the answer was lost.

A few are offered at a time, so that other tasks run in between. There may be hundreds: of one
producer for many peers, or of many producers for one peer. While consumers are missing, half of
each batch is theirs: a client that never answers and often comes back is always owed repetitions.
"""

import contextvars
import logging
import math
from collections.abc import Callable, Mapping
from functools import partial

import attrs
import trio

from meet_trio.live.log_errors import log_errors
from meet_trio.live.peer import LivePeer
from meet_trio.live.room_streams import RoomStreams
from meet_trio.live.settings import PeerSettings
from meet_trio.live.streams import LiveConsumer
from meet_trio.room import Peer, Producer
from meet_trio.socketio import Disconnected, Json, Socket

logger = logging.getLogger("meet_trio.live.room")

# Consumers are offered in batches with pauses, because the answers come at the pace of the offers,
# and reading them is as much work.
_OFFERS_AT_ONCE = 8
_OFFER_PAUSE = 0.004  # seconds


@attrs.define(eq=False)
class Offer:
    """One consumer that its client has not accepted yet. ``calls`` are the unanswered ones on
    ``socket``, one for each try. ``lost``: an earlier socket was lost after it was asked.
    """

    peer: LivePeer
    consumer: LiveConsumer
    socket: Socket | None = None
    calls: list[int] = attrs.field(factory=list)
    due: float = math.inf
    """When it is repeated, or given up."""
    lost: bool = False

    def forget_calls(self) -> None:
        """Answers to the calls until now are ignored."""
        if self.socket is not None:
            for call in self.calls:
                self.socket.forget_call(call)
        self.calls.clear()
        self.socket = None


@attrs.define(eq=False)
class Offers:
    """The offers to ``peers`` of a room.

    - ``tell_score(consumer)`` tells the client the scores that came before its answer.
    - ``check_wishes()`` has to be called after a consumer was made.
    """

    streams: RoomStreams
    peers: Mapping[str, LivePeer]
    settings: PeerSettings
    tell_score: Callable[[LiveConsumer], None]
    check_wishes: Callable[[], None]
    # Each offer is in one of these, by the consumer's id.
    _asked: dict[str, Offer] = attrs.field(factory=dict)  # the first that is due in front
    _again: dict[str, Offer] = attrs.field(factory=dict)  # to be asked again, on a new socket
    _parked: dict[str, Offer] = attrs.field(factory=dict)  # until there is a socket
    _changed: trio.Event = attrs.field(factory=trio.Event)
    _timer: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    # of the room's task: records about answers carry the room's id too
    _context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    # ``state.missing`` after the last request or batch of offers; a new request pays for any rise
    _missing_before: int = 0

    def check(self) -> int:
        """The room has changed: missing consumers are offered soon. Returns how many more are
        missing than before.
        """
        missing = self.streams.state.missing
        new, self._missing_before = max(0, missing - self._missing_before), missing
        if missing:
            self._changed.set()
        return new

    def withdraw(self, consumer_id: str) -> None:
        """The consumer is closed. Does nothing if its client has answered."""
        offer = (
            self._asked.pop(consumer_id, None)
            or self._again.pop(consumer_id, None)
            or self._parked.pop(consumer_id, None)
        )
        if offer is not None:
            offer.forget_calls()

    def follow_socket(self, peer: LivePeer) -> None:
        """The peer has a new socket: it is asked there what it has not answered."""
        state = self.streams.state.peers.get(peer.id)
        for consumer in () if state is None else state.consumers.values():
            offer = self._asked.pop(consumer.id, None) or self._parked.pop(consumer.id, None)
            if offer is not None:
                offer.lost = offer.lost or bool(offer.calls)
                offer.forget_calls()
                self._again[consumer.id] = offer
                self._changed.set()

    def resume(self, peer: LivePeer, consumer: LiveConsumer) -> None:
        """An earlier process has offered it, and the client has not answered. It is asked on its
        next socket.
        """
        self._parked[consumer.state.id] = Offer(peer, consumer, lost=True)

    async def run(self) -> None:
        """Make the offers until cancelled."""
        self._context = contextvars.copy_context()
        while True:
            with trio.move_on_at(self._next_due()) as self._timer:
                await self._changed.wait()
            self._changed = trio.Event()
            left = self._offer_some()
            while left:
                await trio.sleep(_OFFER_PAUSE)
                left = self._offer_some()

    def _next_due(self) -> float:
        return next((offer.due for offer in self._asked.values()), math.inf)

    def _offer_some(self) -> bool:
        """Make a few offers. Returns whether others are left."""
        now = trio.current_time()
        before = self.streams.state.missing
        repeated = self._repeat_some(_OFFERS_AT_ONCE // 2 if before else _OFFERS_AT_ONCE, now)
        with log_errors("looking for missing consumers"):
            for peer, producer in self.streams.state.missing_consumers(_OFFERS_AT_ONCE - repeated):
                self._try_to_open(peer, producer)
        self.streams.keeper.write()  # before a client is told of its MID
        missing = self._missing_before = self.streams.state.missing
        if not repeated and missing >= before:
            return False  # a fault, if any is missing; trying again would make an endless loop
        return bool(missing or self._again) or self._next_due() <= now

    def _repeat_some(self, most: int, now: float) -> int:
        """Repeat up to ``most`` offers that are due, or give them up. Returns how many."""
        for done in range(most):
            if self._next_due() <= now:
                self._repeat(self._asked.pop(next(iter(self._asked))))
            elif self._again:
                self._ask(self._again.pop(next(iter(self._again))))
            else:
                return done
        return most

    def _repeat(self, offer: Offer) -> None:
        """The offer is due: its client has not answered in time."""
        if offer.socket is None or not offer.socket.connected:
            self._parked[offer.consumer.state.id] = offer
        elif len(offer.calls) < self.settings.request_tries:
            self._ask(offer)
        else:
            silence = self.settings.request_tries * self.settings.request_timeout
            self._settle(offer, f"no acknowledgement in {silence:g} s")

    def _try_to_open(self, peer: Peer, producer: Producer) -> None:
        try:
            self._open(peer, producer)
        except Exception:
            ids = {"peer": peer.id, "producer": producer.id}
            logger.exception("a consumer cannot be made", extra=ids)
            self.streams.state.refuse(peer.id, producer.id)

    def _open(self, peer_state: Peer, producer_state: Producer) -> None:
        """Add a consumer to state and engine, and offer it. If this raises, neither has it."""
        peer = self.peers[peer_state.id]
        producer = self.streams.producers[producer_state.id]
        transport = peer.receiving_transport()
        assert transport is not None  # missing_consumers lists only peers that have one
        consumer = self.streams.add_consumer(peer, producer, transport)
        self._ask(Offer(peer, consumer))
        self.check_wishes()

    def _ask(self, offer: Offer) -> None:
        """Ask the client, or wait for its next socket. It is closed after a fault."""
        consumer = offer.consumer
        connection = offer.peer.connection
        if connection is None or not connection.socket.connected:
            self._parked[consumer.state.id] = offer
            return
        offer.socket = connection.socket
        try:
            message = {"method": "newConsumer", "data": consumer.new_consumer_data()}
            call = offer.socket.start_call("request", message, answered=partial(self._hear, offer))
        except Disconnected:  # too many calls
            self._parked[consumer.state.id] = offer
        except Exception:
            self._failed(offer)
        else:
            offer.calls.append(call)
            offer.due = trio.current_time() + self.settings.request_timeout
            self._asked[consumer.state.id] = offer

    def _hear(self, offer: Offer, answer: list[Json]) -> None:
        """The client has answered: its socket calls this."""
        accepted = not answer or answer[0] is None
        refusal = None if accepted else f"the client answered {answer[0]!r}"[:200]
        self._asked.pop(offer.consumer.state.id, None)
        self._context.run(self._settle, offer, refusal)

    def _settle(self, offer: Offer, refusal: str | None) -> None:
        """The offer, which is in none of the lists any more, is accepted or has failed."""
        offer.forget_calls()
        if not self._asked:
            self._timer.deadline = math.inf  # nobody has to be woken for it
        consumer = offer.consumer
        try:
            if refusal is None or offer.lost:
                consumer.accept()
                self.streams.keeper.note("viewing", consumer.state.id)
                if any(consumer.producer.scores):  # scores before the answer were not told
                    self.tell_score(consumer)
            else:
                ids = consumer.log_ids()
                logger.info("the consumer was not accepted: newConsumer: %s", refusal, extra=ids)
                refused = self.streams.state.remove_consumer(consumer.state.id, refused=True)
                self.streams.perform(refused)
        except Exception:
            self._failed(offer)

    def _failed(self, offer: Offer) -> None:
        logger.exception("the consumer failed", extra=offer.consumer.log_ids())
        offer.forget_calls()
        with log_errors("closing a consumer that failed"):
            self.streams.close_consumer(offer.consumer)
