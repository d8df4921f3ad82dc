"""A room's task: the meeting's pure state, the tasks of its peers, and what makes the one follow
the other.

Everything that happens in a room happens here in one way: a verb of the state is called, its
``Outcome`` is performed. Nothing between the two awaits, so nobody ever sees the state and the
engine differ.

They change together or not at all. What comes to life is taken back when a part of it is refused;
a stream that the engine cannot be made to treat as the state says is closed.

One peer's request makes work for others: they are told, get consumers, lose them. Each piece of
that is done by itself (``contained``): a fault in it is logged and costs the one whose it was.

The room ends by being cancelled: by its owner, by the registry, by nobody having come in time, or
by nobody being left. Its peers say goodbye, their transports go with them, the engine forgets them,
the webhook is handed to the outbox.
"""

import contextlib
import logging
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

import attrs
import trio

from meet_trio.engine import ConsumerScore, LayerChanged, ProducerScore
from meet_trio.errors import BadRequest, LimitExceeded, NotFound, RequestError
from meet_trio.live.peer import Connection, LivePeer, Notification, PeerSettings, RequestUnanswered
from meet_trio.live.placement import Placement
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.live.totals import INTERVAL, EngineTotals
from meet_trio.media.announced import AnnouncedAddresses
from meet_trio.media.dtls import DtlsBridge
from meet_trio.media.engines import Advice, EngineHost, Mailbox
from meet_trio.media.plain import PlainPorts, PlainTransport, Transport
from meet_trio.media.transport import TransportSettings
from meet_trio.ortc import ProducerRtp, RtpCapabilities, RtpParameters
from meet_trio.ortc.fields import Json
from meet_trio.rates import Bucket, Rate
from meet_trio.room import (
    Notice,
    Outcome,
    Peer,
    Producer,
    Role,
    Room,
    RoomLimits,
    Webhook,
    personal,
    requests,
)
from meet_trio.socketio import Event

logger = logging.getLogger("meet_trio.live.room")

# What things cost, in messages to one client, measured
_OFFER = 8  # a consumer: made, offered, the client's answer read
_WEBHOOK = 20

_AT_ONCE = 8  # consumers made in one turn of the loop,
_PAUSE = 0.004  # seconds until the next ones: answers come as offers went, and are as much work


@attrs.frozen
class RoomSettings:
    """Times in seconds. ``spread_size``: peers of a room on one engine before it spreads.
    ``ice_servers`` gives what a peer is told, from its id and the Unix time.
    """

    never_joined_timeout: float = 300.0
    empty_timeout: float = 10.0
    spread_size: int = 16
    ice_servers: Callable[[str, float], list[dict[str, object]] | None] = lambda peer_id, now: None


@attrs.frozen
class Surroundings:
    """What rooms need of the world: engines, the DTLS bridge, settings, where webhooks go."""

    hosts: Sequence[EngineHost]
    bridge: DtlsBridge
    settings: RoomSettings
    peer_settings: PeerSettings
    transport_settings: TransportSettings
    announced: AnnouncedAddresses
    plain_ports: PlainPorts
    limits: RoomLimits
    router_capabilities: RtpCapabilities
    handle: Callable[["LiveRoom", LivePeer, Connection, Event], Awaitable[None]]
    webhook: Callable[[Webhook], None]
    totals: EngineTotals = attrs.field(factory=EngineTotals)


@attrs.frozen
class Invitation:
    """What Kolab hands to a client."""

    peer_id: str
    auth_token: str = attrs.field(repr=False)


@attrs.define(eq=False)
class LiveRoom:
    """One meeting. Made by the registry, which runs it."""

    id: str
    around: Surroundings
    created_at: float = attrs.field(factory=time.time)
    state: Room = attrs.field(init=False)
    placement: Placement = attrs.field(init=False)
    peers: dict[str, LivePeer] = attrs.field(factory=dict)
    producers: dict[str, LiveProducer] = attrs.field(factory=dict)
    consumers: dict[str, LiveConsumer] = attrs.field(factory=dict)
    # how often its figures are logged, whoever asks for them
    dumps: Bucket = attrs.field(factory=lambda: Bucket(Rate(1 / INTERVAL, 1)))
    _life: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _nursery: trio.Nursery | None = None
    _ssrcs: set[int] = attrs.field(factory=set)
    _last_ssrc: int = attrs.field(factory=lambda: random_ssrc())
    _advice: Mailbox = attrs.field(factory=Mailbox)
    _lacking: trio.Event = attrs.field(factory=trio.Event)  # there may be consumers to be offered
    _missing: int = 0  # of them are known
    # by their numbers in the engines
    _producer_numbers: dict[int, LiveProducer] = attrs.field(factory=dict)
    _consumer_numbers: dict[int, LiveConsumer] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.state = Room(self.id, int(self.created_at), self.around.limits)
        self.placement = Placement(self.around.hosts, self.around.settings.spread_size)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live until closed or cancelled."""
        self._life.deadline = trio.current_time() + self.around.settings.never_joined_timeout
        try:
            with self._life:
                async with trio.open_nursery() as self._nursery:
                    task_status.started()
                    self._nursery.start_soon(self._offer_consumers)
                    try:
                        await self._hear_engine()
                    finally:
                        self._nursery = None  # who comes now would find a nursery that closes
        finally:
            self._perform(self.state.close())
            logger.info("room %s closed", self.id)

    def close(self) -> None:
        """End ``run`` soon."""
        self._life.cancel()

    # Peers

    def invite(self, role: Role) -> Invitation:
        """A new peer that may connect within ``first_connection_timeout``. Raises LimitExceeded,
        NotFound.
        """
        if self._nursery is None:
            raise NotFound("the room is closing")
        invitation = Invitation(str(uuid.uuid4()), secrets.token_hex(16))
        peer = LivePeer(
            room=self,
            id=invitation.peer_id,
            settings=self.around.peer_settings,
            handle=partial(self.around.handle, self),
        )
        self.state.add_peer(invitation.peer_id, role, invitation.auth_token)
        self.peers[peer.id] = peer
        self._nursery.start_soon(self._live_peer, peer)
        return invitation

    def admit(self, peer_id: str, auth_token: str) -> LivePeer | None:
        """The peer whose token this is, None for any other."""
        try:
            return self.peers.get(self.state.authenticate(peer_id, auth_token).id)
        except RequestError:
            return None

    def has_owner(self) -> bool:
        return any(Role.OWNER in peer.role for peer in self.state.peers.values())

    def peer_connected(self, peer: LivePeer) -> None:
        """The peer's first socket is there."""
        self.state.connect(peer.id)
        self._life.deadline = float("inf")

    def greeting(self, peer: LivePeer) -> dict[str, object]:
        """The data of ``roomReady``."""
        return {
            "iceServers": self.around.settings.ice_servers(peer.id, time.time()),
            "roomId": self.id,
        }

    async def _live_peer(self, peer: LivePeer) -> None:
        try:
            await peer.run()
        except* Exception:
            # one peer's fault must not end the others; a cancellation beside it goes on
            logger.exception("peer %s failed", peer.id)
        finally:
            self.peers.pop(peer.id, None)
            self.placement.leave(peer.id)
            if peer.id in self.state.peers:
                with self.contained(f"leaving of peer {peer.id}"):
                    self._perform(self.state.leave(peer.id))
            if self.state.is_empty and self._life.deadline == float("inf"):
                self._life.deadline = trio.current_time() + self.around.settings.empty_timeout

    # Making an outcome happen

    @contextlib.contextmanager
    def contained(self, what: str) -> Iterator[None]:
        """A fault in here is logged and ends nothing else."""
        try:
            yield
        except Exception:
            logger.exception("room %s: %s failed", self.id, what)

    def perform(self, outcome: Outcome, acknowledge: Callable[[], None] = lambda: None) -> int:
        """Send, acknowledge, send, close what has to be closed; what is missing is offered soon.
        Raises nothing.

        Returns the work that this was, as the number of messages to one client that would have
        taken as long.
        """
        work = self._perform(outcome, acknowledge)
        missing = self.state.missing
        new, self._missing = max(0, missing - self._missing), missing
        if missing:
            self._lacking.set()
        return work + _OFFER * new

    def _perform(self, outcome: Outcome, acknowledge: Callable[[], None] = lambda: None) -> int:
        self._tell(outcome.before)
        with self.contained("acknowledgement"):
            acknowledge()
        self._tell(outcome.after)
        for consumer_id in outcome.closed_consumers:
            if (consumer := self.consumers.pop(consumer_id, None)) is not None:
                self._consumer_numbers.pop(consumer.number)
                self._ssrcs.difference_update(consumer.ssrcs())
                with self.contained(f"closing consumer {consumer_id}"):
                    consumer.close()
        for producer_id in outcome.closed_producers:
            if (producer := self.producers.pop(producer_id, None)) is not None:
                self._producer_numbers.pop(producer.number)
                with self.contained(f"closing producer {producer_id}"):
                    producer.close()
        for webhook in outcome.webhooks:
            with self.contained(f"webhook {webhook.event}"):
                self.around.webhook(webhook)
        for peer_id in outcome.gone:
            if (peer := self.peers.get(peer_id)) is not None:
                peer.leave()
        if self.state.closed:
            self.close()
        return (
            sum(len(notice.to) for notice in (*outcome.before, *outcome.after))
            + len(outcome.closed_consumers)
            + _WEBHOOK * len(outcome.webhooks)
        )

    def _tell(self, notices: tuple[Notice, ...]) -> None:
        for notice in notices:
            with self.contained(f"telling {notice.method}"):
                notification = Notification(notice.method, notice.data)
                for peer_id in notice.to:
                    if (peer := self.peers.get(peer_id)) is not None:
                        self._tell_one(peer, notification)

    def _tell_one(self, peer: LivePeer, notification: Notification) -> None:
        try:
            peer.tell(notification)
        except Exception:
            logger.exception("peer %s was not told", peer.id)

    def signal(self, kind: str, data: Json, role: Role | None) -> None:
        """Word from Kolab to the peers, see ``Room.signal``."""
        self.perform(self.state.signal(kind, data, role))

    # Streams

    def add_producer(
        self, peer_id: str, request: requests.Produce, rtp: ProducerRtp, transport: Transport
    ) -> Producer:
        """A new one in state and engine. When this raises there is none."""
        with contextlib.ExitStack() as undo:
            producer = self.state.add_producer(peer_id, str(uuid.uuid4()), request, rtp)
            undo.callback(self.state.close_producer, peer_id, producer.id)
            live = LiveProducer.open(producer, transport, self._advice)
            undo.pop_all()
        self.producers[producer.id] = self._producer_numbers[live.number] = live
        return producer

    def apply_pause(self, producer_id: str) -> None:
        """Make the engines heed the state. A producer for which they will not is closed before this
        raises: nobody is to hear what should be silent.
        """
        producer = self.producers[producer_id]
        with contextlib.ExitStack() as otherwise:
            otherwise.callback(self._close_producer, producer)
            producer.apply_pause()
            otherwise.pop_all()

    def apply_consumer_pause(self, consumer_id: str) -> None:
        """Make the engine heed the state. A consumer for which it will not is closed before this
        raises.
        """
        consumer = self.consumers[consumer_id]
        with contextlib.ExitStack() as otherwise:
            otherwise.callback(self._give_up, consumer)
            consumer.apply_pause()
            otherwise.pop_all()

    def _close_producer(self, producer: LiveProducer) -> None:
        self._perform(self.state.close_producer(producer.state.peer_id, producer.state.id))

    def _give_up(self, consumer: LiveConsumer) -> None:
        """Its client knows it, and is not offered another one."""
        self._perform(self.state.remove_consumer(consumer.state.id, refused=True))
        self._notify(consumer.state.peer_id, "consumerClosed", {"consumerId": consumer.state.id})

    def check_streams_free(self, peer: LivePeer, transport: Transport, rtp: ProducerRtp) -> None:
        """Raises BadRequest when another producer of the transport has one of the SSRCs, or the
        MID, or the payload type where that is the only name.
        """
        taken = [p.state.rtp.params for p in self._own_producers(peer, transport)]
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
            payload_types = {_nameless_payload_type(params) for params in taken} - {None}
            if _nameless_payload_type(rtp.params) in payload_types:
                raise BadRequest(
                    "rtpParameters.codecs[0].payloadType: in use on this transport already, and "
                    "there is no ssrc to tell the two apart"
                )

    def _new_ssrc(self) -> int:
        """An SSRC that no stream to a client of this room has (RFC 3550 §8.1), or ever had: they
        only rise from a random one. An engine forgets which indices were used with those that ended
        long ago, and under one key none may be used twice.
        """
        while True:
            self._last_ssrc = self._last_ssrc % (2**32 - 1) + 1
            if self._last_ssrc not in self._ssrcs:
                return self._last_ssrc

    def transport_closed(self, peer: LivePeer, transport: Transport) -> None:
        """What was on it is gone; the viewers of its producers are told."""
        for consumer in self._own_consumers(peer, transport):
            with self.contained(f"removing consumer {consumer.state.id}"):
                self._perform(self.state.remove_consumer(consumer.state.id))
        for producer in self._own_producers(peer, transport):
            with self.contained(f"closing producer {producer.state.id}"):
                self._close_producer(producer)

    def _own_consumers(self, peer: LivePeer, transport: Transport) -> list[LiveConsumer]:
        """The peer's on one of its transports."""
        state = self.state.peers.get(peer.id)
        own = [] if state is None else [self.consumers[c.id] for c in state.consumers.values()]
        return [consumer for consumer in own if consumer.transport is transport]

    def _own_producers(self, peer: LivePeer, transport: Transport) -> list[LiveProducer]:
        """The peer's on one of its transports."""
        state = self.state.peers.get(peer.id)
        own = [] if state is None else [self.producers[p] for p in state.producers]
        return [producer for producer in own if producer.transport is transport]

    def transports_changed(self, peer: LivePeer) -> None:
        """A transport of the peer has come or gone."""
        self.state.receives(peer.id, peer.receiving_transport() is not None)

    async def _offer_consumers(self) -> None:
        """A stream to hundreds, or hundreds of streams to one, are offered a few at a time: others
        have their turns in between.
        """
        while True:
            await self._lacking.wait()
            self._lacking = trio.Event()
            while before := self.state.missing:
                with self.contained("looking for missing consumers"):
                    self._offer_some()
                self._missing = self.state.missing
                if self._missing >= before:
                    break  # a fault, and trying again would not end
                if self._missing:
                    await trio.sleep(_PAUSE)

    def _offer_some(self) -> None:
        for peer, producer in self.state.missing_consumers(_AT_ONCE):
            try:
                self._open_consumer(peer, producer)
            except Exception:
                logger.exception("peer %s: no consumer of producer %s", peer.id, producer.id)
                self.state.refuse(peer.id, producer.id)

    def _open_consumer(self, peer_state: Peer, producer_state: Producer) -> None:
        """A new one in state and engine, and its offer. When this raises there is none."""
        peer, producer = self.peers[peer_state.id], self.producers[producer_state.id]
        transport = peer.receiving_transport()
        # missing_consumers looked
        assert transport is not None
        assert peer_state.rtp_capabilities is not None
        form = producer_state.forms.of(peer_state.rtp_capabilities)
        assert form is not None
        rtp = personal(form, peer.next_mid(), self._new_ssrc)
        with contextlib.ExitStack() as undo:
            state = self.state.add_consumer(str(uuid.uuid4()), peer.id, producer_state.id)
            undo.callback(self.state.remove_consumer, state.id)
            consumer = LiveConsumer.open(state, rtp, transport, producer, self._advice)
            undo.callback(consumer.close)
            peer.nursery.start_soon(self._offer, peer, consumer)
            undo.pop_all()
        self._ssrcs |= consumer.ssrcs()
        self.consumers[state.id] = self._consumer_numbers[consumer.number] = consumer

    async def _offer(self, peer: LivePeer, consumer: LiveConsumer) -> None:
        with consumer.offering:  # cancelled when the consumer is closed
            try:
                await peer.request("newConsumer", consumer.offer())
                consumer.accept()
                if any(consumer.producer.scores):  # what it was not told before
                    self._tell_score(consumer)
            except RequestUnanswered as error:
                logger.info("peer %s: %s", peer.id, error)
                self._perform(self.state.remove_consumer(consumer.state.id, refused=True))
            except Exception:
                logger.exception("peer %s: consumer %s is given up", peer.id, consumer.state.id)
                self._give_up(consumer)

    # What the engine says

    async def _hear_engine(self) -> None:
        while True:
            advice = await self._advice.take()
            with self.contained(f"{advice!r}"):
                self._heed(advice)

    def _heed(self, advice: Advice) -> None:
        match advice:
            case LayerChanged():
                self._layers_changed(advice)
            case ConsumerScore():
                self._consumer_score(advice)
            case ProducerScore():
                self._producer_score(advice)

    def _layers_changed(self, event: LayerChanged) -> None:
        consumer = self._consumer_numbers.get(event.consumer)
        if consumer is None or consumer.rtp.type == "simple" or not consumer.accepted:
            return
        data: dict[str, object] = {"consumerId": consumer.state.id}
        if event.spatial is not None:
            data["layers"] = {"spatialLayer": event.spatial, "temporalLayer": 0}
        self._notify(consumer.state.peer_id, "consumerLayersChanged", data)

    def _producer_score(self, event: ProducerScore) -> None:
        producer = self._producer_numbers.get(event.producer)
        if producer is not None:
            producer.scores = list(event.scores)
            for consumer in self.state.consumers_of(producer.state.id):
                self._tell_score(self.consumers[consumer.id])

    def _consumer_score(self, event: ConsumerScore) -> None:
        consumer = self._consumer_numbers.get(event.consumer)
        if consumer is not None:
            consumer.score = event.score
            self._tell_score(consumer)

    def _tell_score(self, consumer: LiveConsumer) -> None:
        if not consumer.accepted:
            return  # its client does not know it yet
        scores = consumer.producer.scores
        score = {
            "score": consumer.score,
            "producerScore": max(scores, default=0),
            "producerScores": scores,
        }
        data = {"consumerId": consumer.state.id, "score": score}
        self._notify(consumer.state.peer_id, "consumerScoreChanged", data)

    def _notify(self, peer_id: str, method: str, data: object) -> None:
        if (peer := self.peers.get(peer_id)) is not None:
            peer.notify(method, data)


def _nameless_payload_type(params: RtpParameters) -> int | None:
    """By which a stream is found that has no other name."""
    (first, *more) = params.encodings
    named = more or first.ssrc is not None or first.rid is not None
    return None if named else params.media_codec().payload_type


def random_ssrc() -> int:
    return secrets.randbelow(2**32 - 1) + 1


def check_transport_limit(peer: LivePeer) -> None:
    """Raises LimitExceeded when the peer has as many transports as it may."""
    most = peer.settings.max_transports
    if len(peer.transports) >= most:
        raise LimitExceeded(f"a peer has at most {most} transports")
