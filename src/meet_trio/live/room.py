"""The task of a room. It owns the meeting's pure state and the tasks of the peers, and makes the
engines follow the state.

Every change of a room takes the same way: a verb of the state is called, and its ``Outcome`` is
performed. There is no await between the two, so no other task sees state and engine differ.

State and engine change together or not at all. If a part of making a producer or consumer fails,
the parts before it are undone. If the engine refuses a pause or resume, the producer or consumer is
closed.

The request of one peer causes work for others: they get notices, and they get and lose consumers.
``log_errors`` surrounds each piece of that work: a fault in it is logged and affects only the peer
that the piece was for.

A room ends when its scope is cancelled: by its owner, by the registry, because nobody joined in
time, or because nobody is left. Its peers are disconnected, their transports are closed and removed
from the engine, their stays are recorded, and the webhook is handed to the outbox.
"""

import contextlib
import logging
import math
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

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
from meet_trio.errors import BadRequest, LimitExceeded, NotFound, RequestError
from meet_trio.live.attendance import RoomEnd, Viewing
from meet_trio.live.layers_wanted import LayersWanted
from meet_trio.live.peer import Connection, LivePeer, Notification, RequestUnanswered
from meet_trio.live.placement import Placement
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.live.speakers import LiveSpeakers
from meet_trio.live.stays import Stays
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.live.totals import INTERVAL, EngineTotals
from meet_trio.logs.context import bind, bind_only
from meet_trio.media.announced import AnnouncedAddresses
from meet_trio.media.dtls import DtlsBridge
from meet_trio.media.engines import Advice, EngineHost, Mailbox
from meet_trio.media.plain import PlainPorts, PlainTransport, Transport
from meet_trio.media.settings import TransportSettings
from meet_trio.ortc import ProducerRtp, RtpCapabilities, RtpParameters
from meet_trio.ortc.fields import Json
from meet_trio.rates import Bucket, Rate
from meet_trio.room import (
    Consumer,
    Layers,
    Notice,
    Outcome,
    Peer,
    Producer,
    Role,
    Room,
    RoomLimits,
    Webhook,
    fill_template,
    requests,
)
from meet_trio.socketio import Event
from meet_trio.tallies import Tally

logger = logging.getLogger("meet_trio.live.room")

# Measured costs, in messages to one client
_OFFER_WORK = 8  # making a consumer, offering it, and reading the client's answer
_WEBHOOK_WORK = 20

# Consumers are offered in batches with pauses, because the answers come at the pace of the offers,
# and reading them is as much work.
_OFFERS_AT_ONCE = 8
_OFFER_PAUSE = 0.004  # seconds


class Recorder(Protocol):
    """Keeps a record of each meeting."""

    def peer_left(self, room: "LiveRoom", peer: LivePeer) -> None:
        """The peer's ``attendance`` is complete."""

    def room_closed(self, room: "LiveRoom") -> dict[str, Json] | None:
        """All peers have left. Returns what the webhook is to say about the meeting."""


@attrs.frozen
class RoomContext:
    """The objects and settings that all rooms share: engines, the DTLS bridge, the webhooks'
    outbox.

    ``ice_servers(peer_id, now)`` returns the ``iceServers`` for a peer; ``now`` is Unix time.
    """

    hosts: Sequence[EngineHost]
    bridge: DtlsBridge
    settings: RoomSettings
    peer_settings: PeerSettings
    transport_settings: TransportSettings
    limits: RoomLimits
    max_backlog_bytes: int
    goodbye_timeout: float
    ice_servers: Callable[[str, float], list[dict[str, object]] | None]
    announced: AnnouncedAddresses
    plain_ports: PlainPorts
    router_capabilities: RtpCapabilities
    handle: Callable[["LiveRoom", LivePeer, Connection, Event], Awaitable[None]]
    webhook: Callable[[Webhook], None]
    recorder: Recorder | None = None
    totals: EngineTotals = attrs.field(factory=EngineTotals)
    tally: Tally = attrs.field(factory=Tally)
    router_capabilities_json: Json = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: self.router_capabilities.to_json(), takes_self=True),
    )
    # of messages with audio levels
    level_budget: Bucket = attrs.field(
        default=attrs.Factory(
            lambda self: Bucket(self.settings.audio_level_messages), takes_self=True
        )
    )


@attrs.frozen
class Invitation:
    """The credentials of an invited peer, which Kolab hands to its client."""

    peer_id: str
    auth_token: str = attrs.field(repr=False)


@attrs.define(eq=False)
class LiveRoom:
    """One meeting. The registry makes it and runs it."""

    id: str
    context: RoomContext
    created_at: float = attrs.field(factory=time.time)
    last_n: int | None = None  # at first; None: as the settings say
    state: Room = attrs.field(init=False)
    placement: Placement = attrs.field(init=False)
    why: RoomEnd | None = None
    """Why it ends, once it does."""
    speakers: LiveSpeakers = attrs.field(init=False)
    stays: Stays = attrs.field(init=False)
    peers: dict[str, LivePeer] = attrs.field(factory=dict)
    producers: dict[str, LiveProducer] = attrs.field(factory=dict)
    consumers: dict[str, LiveConsumer] = attrs.field(factory=dict)
    # how often ``dumpStats`` logs the room's figures, for all peers together
    dumps: Bucket = attrs.field(factory=lambda: Bucket(Rate(1 / INTERVAL, 1)))
    _last_webhook: Webhook | None = None
    _run_scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _nursery: trio.Nursery | None = None
    _ssrcs: set[int] = attrs.field(factory=set)
    _last_ssrc: int = attrs.field(factory=lambda: random_ssrc())
    _advice: Mailbox = attrs.field(factory=Mailbox)
    _offers_due: trio.Event = attrs.field(factory=trio.Event)
    _layers_wanted: LayersWanted = attrs.field(factory=LayersWanted)
    _wishes_due: trio.Event = attrs.field(factory=trio.Event)
    _was_joined: bool = False
    # ``state.missing`` after the last request or batch of offers; a new request pays for any rise
    _missing_before: int = 0
    # by their numbers in the engines
    _producer_numbers: dict[int, LiveProducer] = attrs.field(factory=dict)
    _consumer_numbers: dict[int, LiveConsumer] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.state = Room(self.id, int(self.created_at), self.context.limits)
        self.stays = Stays(self.id, self._record_stay)
        self.placement = Placement(self.context.hosts, self.context.settings.spread_size)
        self.speakers = LiveSpeakers(
            self.state, self._perform, self._apply_hold, self.context.level_budget
        )
        if self.last_n is None:
            self.last_n = self.context.settings.last_n
        self.state.last_n.set(self.last_n)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until closed or cancelled."""
        self._run_scope.deadline = trio.current_time() + self.context.settings.never_joined_timeout
        try:
            with self._run_scope:
                async with trio.open_nursery() as self._nursery:
                    task_status.started()
                    logger.info("room opened")
                    self._nursery.start_soon(self._offer_consumers)
                    self._nursery.start_soon(self._tell_layers_wanted)
                    if self.state.last_n.n is not None:
                        self.listen()
                    try:
                        await self._take_advice()
                    finally:
                        self._nursery = None  # it is closing: no peer may be started in it any more
        finally:
            self.why = self.why or self._why_ended()
            self._perform(self.state.close())
            await self._tell_of_end()
            logger.info("room closed: %s", self.why)

    def close(self, why: RoomEnd = "closed") -> None:
        """End ``run`` soon. The first reason counts."""
        self.why = self.why or why
        self._run_scope.cancel()

    def end(self, why: RoomEnd) -> None:
        """Tell the peers that the meeting is closed, and end ``run`` soon."""
        self.why = self.why or why
        with self.log_errors("farewell"):
            self._perform(self.state.end())
        self.close()

    def _why_ended(self) -> RoomEnd:
        """Why ``run`` ends although nobody has called ``close``."""
        if self._run_scope.cancelled_caught:
            return "empty" if self._was_joined else "nobody_came"
        if trio.current_effective_deadline() == -math.inf:  # cancelled from outside
            return "shutdown"
        return "failed"

    # Peers

    def invite(self, role: Role) -> Invitation:
        """Add a peer, which may connect within ``first_connection_timeout``. Raises LimitExceeded,
        or NotFound if the room is closing.
        """
        if self._nursery is None:
            raise NotFound("the room is closing")
        invitation = Invitation(str(uuid.uuid4()), secrets.token_hex(16))
        peer = LivePeer(
            room=self,
            id=invitation.peer_id,
            settings=self.context.peer_settings,
            max_backlog_bytes=self.context.max_backlog_bytes,
            goodbye_timeout=self.context.goodbye_timeout,
            handle=partial(self.context.handle, self),
            tally=self.context.tally,
        )
        self.stays.begin(self.state.add_peer(peer.id, role, invitation.auth_token))
        self.peers[peer.id] = peer
        self.context.tally.invitations += 1
        self._nursery.start_soon(self._live_peer, peer)
        ids = {"room": self.id, "peer": peer.id}
        logger.info("invited with role %d", role, extra=ids)
        return invitation

    def admit(self, peer_id: str, auth_token: str) -> LivePeer | None:
        """The peer ``peer_id`` if ``auth_token`` is its token, else None."""
        try:
            return self.peers.get(self.state.authenticate(peer_id, auth_token).id)
        except RequestError:
            return None

    def has_owner(self) -> bool:
        return any(Role.OWNER in peer.role for peer in self.state.peers.values())

    def peer_connected(self, peer: LivePeer) -> None:
        """The peer's first socket is accepted."""
        self.state.connect(peer.id)
        self._was_joined = True
        self._run_scope.deadline = float("inf")

    def room_ready_data(self, peer: LivePeer) -> dict[str, object]:
        """The data of ``roomReady``."""
        return {
            "iceServers": self.context.ice_servers(peer.id, time.time()),
            "roomId": self.id,
        }

    async def _live_peer(self, peer: LivePeer) -> None:
        bind_only(room=self.id, peer=peer.id)
        try:
            await peer.run()
        except* Exception:
            # A fault of one peer must not end the others. except* passes on a Cancelled that is in
            # the same group.
            logger.exception("the peer failed")
            peer.attendance.why = "failed"
        finally:
            self.peers.pop(peer.id, None)
            self.placement.leave(peer.id)
            if peer.id in self.state.peers:
                with self.log_errors("leaving"):
                    self._perform(self.state.leave(peer.id))
            self.stays.end(peer)
            if self.state.is_empty and self._run_scope.deadline == float("inf"):
                self._run_scope.deadline = trio.current_time() + self.context.settings.empty_timeout

    def _record_stay(self, peer: LivePeer) -> None:
        if self.context.recorder is not None:
            with self.log_errors("the record of the peer"):
                self.context.recorder.peer_left(self, peer)

    async def _tell_of_end(self) -> None:
        """The room has closed. The records of those who were there come before the meeting's, and
        that before the webhook that has it. A further call does nothing.
        """
        bind_only(room=self.id)  # a peer's request may have started it
        with trio.CancelScope(shield=True):  # no record is lost when the server stops
            await self.stays.tell_all()
        webhook, self._last_webhook = self._last_webhook, None
        if webhook is not None:
            self._hand_out(attrs.evolve(webhook, quality=self._record()))

    def _hand_out(self, webhook: Webhook) -> None:
        with self.log_errors(f"webhook {webhook.event}"):
            self.context.webhook(webhook)

    def _record(self) -> dict[str, Json] | None:
        """The record of the meeting for the webhook, if there is to be one."""
        if self.context.recorder is not None:
            with self.log_errors("the record of the meeting"):
                return self.context.recorder.room_closed(self)
        return None

    # Performing an outcome

    @contextlib.contextmanager
    def log_errors(self, what: str) -> Iterator[None]:
        """Log an exception of the ``with`` block, and go on. ``what`` names the work in the log."""
        try:
            yield
        except Exception:
            logger.exception("%s failed", what)

    def perform(self, outcome: Outcome, acknowledge: Callable[[], None] = lambda: None) -> int:
        """Send the notices before the acknowledgement, acknowledge, send those after it, and close
        what has to be closed. Missing consumers are offered soon after. Raises no exceptions.

        Returns the work that this causes. Its unit is the work of one message to one client.
        """
        work = self._perform(outcome, acknowledge)
        missing = self.state.missing
        new, self._missing_before = max(0, missing - self._missing_before), missing
        if missing:
            self._offers_due.set()
        return work + _OFFER_WORK * new

    def _perform(self, outcome: Outcome, acknowledge: Callable[[], None] = lambda: None) -> int:
        self._tell(outcome.before)
        with self.log_errors("acknowledgement"):
            acknowledge()
        self._tell(outcome.after)
        for consumer_id in outcome.closed_consumers:
            if (consumer := self.consumers.pop(consumer_id, None)) is not None:
                self._consumer_numbers.pop(consumer.number)
                self._ssrcs.difference_update(consumer.ssrcs())
                logger.debug("consumer closed", extra=consumer.log_ids())
                with self.log_errors(f"closing consumer {consumer_id}"):
                    consumer.close()
        for producer_id in outcome.closed_producers:
            if (producer := self.producers.pop(producer_id, None)) is not None:
                self._producer_numbers.pop(producer.number)
                self._layers_wanted.forget(producer_id)
                self.speakers.forget_producer(producer.state.peer_id, producer_id)
                logger.info("producer closed", extra=producer.log_ids())
                with self.log_errors(f"closing producer {producer_id}"):
                    producer.close()
        for peer_id in outcome.removed_peers:
            self.speakers.forget_peer(peer_id)
        if self.state.closed:
            self.why = self.why or "closed_by_owner"
            self.stays.end_all(
                self.peers.values(), "shutdown" if self.why == "shutdown" else "room_closed"
            )
        for webhook in outcome.webhooks:
            if webhook.event == "roomClosed":
                self._last_webhook = webhook
                if self._nursery is not None:  # else ``run`` does it
                    self._nursery.start_soon(self._tell_of_end)
            else:
                self._hand_out(webhook)
        for peer_id in outcome.removed_peers:
            if (peer := self.peers.get(peer_id)) is not None:
                peer.leave("kicked")  # those of a closed room have left already
        self._wishes_may_have_changed()
        if self.state.closed:
            self.close()
        return (
            self._follow_speakers()
            + sum(len(notice.to) for notice in (*outcome.before, *outcome.after))
            + len(outcome.closed_consumers)
            + _WEBHOOK_WORK * len(outcome.webhooks)
        )

    def _follow_speakers(self) -> int:
        """Bring last-N up to date after a change. Returns the work that this causes: consumers may
        be held back or let go, and their clients are told.
        """
        if not self.speakers.listening:
            return 0
        unsettled = self.state.unsettled
        outcome = self.speakers.follow(trio.current_time())
        self._tell(outcome.after)
        return sum(len(notice.to) for notice in outcome.after) + max(
            0, self.state.unsettled - unsettled
        )

    def listen(self) -> None:
        """Have the engines tell the audio levels, from now on until the room ends."""
        if self.speakers.listening or self._nursery is None:
            return
        self.speakers.listening = True
        self._nursery.start_soon(self._follow_who_speaks)
        for producer in self.producers.values():
            with self.log_errors(f"audio level of producer {producer.state.id}"):
                producer.watch_level(self._advice)

    async def _follow_who_speaks(self) -> None:
        bind_only(room=self.id)  # a peer's request has started it
        await self.speakers.run()

    def _tell(self, notices: tuple[Notice, ...]) -> None:
        for notice in notices:
            with self.log_errors(f"telling {notice.method}"):
                notification = Notification(notice.method, notice.data)
                for peer_id in notice.to:
                    if (peer := self.peers.get(peer_id)) is not None:
                        self._tell_one(peer, notification)

    def _tell_one(self, peer: LivePeer, notification: Notification) -> None:
        try:
            peer.send_notification(notification)
        except Exception:
            logger.exception("sending the peer a notice failed", extra={"peer": peer.id})

    def signal(self, kind: str, data: Json, role: Role | None) -> None:
        """Send a signal of Kolab to the peers, see ``Room.signal``."""
        self.perform(self.state.signal(kind, data, role))

    # Streams

    def add_producer(
        self, peer_id: str, request: requests.Produce, rtp: ProducerRtp, transport: Transport
    ) -> Producer:
        """Add a producer to state and engine. If this raises, neither has it."""
        with contextlib.ExitStack() as undo:
            producer = self.state.add_producer(peer_id, str(uuid.uuid4()), request, rtp)
            undo.callback(self.state.close_producer, peer_id, producer.id)
            live = LiveProducer.open(producer, transport, self._advice)
            undo.callback(live.close)
            if self.speakers.listening:
                live.watch_level(self._advice)
            undo.pop_all()
        self.producers[producer.id] = self._producer_numbers[live.number] = live
        logger.info("producer made: %s", producer.source, extra=live.log_ids())
        return producer

    def apply_pause(self, producer_id: str) -> None:
        """Make the engines follow the state's ``paused``. If an engine refuses, the producer is
        closed before this raises: a paused producer must not be heard.
        """
        producer = self.producers[producer_id]
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._close_producer, producer)
            producer.apply_pause()
            on_failure.pop_all()

    def apply_consumer_pause(self, consumer_id: str) -> None:
        """Make the engine follow the state's ``paused``. If it refuses, the consumer is closed
        before this raises.
        """
        consumer = self.consumers[consumer_id]
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._close_consumer, consumer)
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

    def _apply_hold(self, consumer: Consumer) -> None:
        """Make the engine follow ``held_back``. If it refuses, the consumer is closed."""
        with self.log_errors(f"holding back consumer {consumer.id}"):
            self.apply_consumer_pause(consumer.id)

    def _close_producer(self, producer: LiveProducer) -> None:
        self._perform(self.state.close_producer(producer.state.peer_id, producer.state.id))

    def _close_consumer(self, consumer: LiveConsumer) -> None:
        """Close a consumer after a fault. Its client is told, and is not offered it again."""
        self._perform(self.state.remove_consumer(consumer.state.id, refused=True))
        self._notify(consumer.state.peer_id, "consumerClosed", {"consumerId": consumer.state.id})

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

    def _new_ssrc(self) -> int:
        """An SSRC that no stream to a client of this room has (RFC 3550 §8.1), or has ever had:
        SSRCs count up from a random one.

        An SRTP index must not be used twice with one SSRC and one key. An engine forgets the used
        indices of SSRCs that ended long ago, so those SSRCs cannot be used again.
        """
        while True:
            self._last_ssrc = self._last_ssrc % (2**32 - 1) + 1
            if self._last_ssrc not in self._ssrcs:
                return self._last_ssrc

    def transport_closed(self, peer: LivePeer, transport: Transport) -> None:
        """Close the consumers and producers of a transport that has ended. The viewers of the
        producers are told.
        """
        for consumer in self.own_consumers(peer, transport):
            with self.log_errors(f"removing consumer {consumer.state.id}"):
                self._perform(self.state.remove_consumer(consumer.state.id))
        for producer in self.own_producers(peer, transport):
            with self.log_errors(f"closing producer {producer.state.id}"):
                self._close_producer(producer)

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

    def transports_changed(self, peer: LivePeer) -> None:
        """Update the state after a transport of the peer was added or removed."""
        self.state.set_receiving(peer.id, peer.receiving_transport() is not None)

    async def _offer_consumers(self) -> None:
        """Offer the missing consumers, a few at a time, so that other tasks run in between. There
        may be hundreds: of one producer for many peers, or of many producers for one peer.
        """
        while True:
            await self._offers_due.wait()
            self._offers_due = trio.Event()
            while before := self.state.missing:
                with self.log_errors("looking for missing consumers"):
                    self._offer_some()
                self._missing_before = self.state.missing
                if self._missing_before >= before:
                    break  # a fault; trying again would make an endless loop
                if self._missing_before:
                    await trio.sleep(_OFFER_PAUSE)

    def _offer_some(self) -> None:
        for peer, producer in self.state.missing_consumers(_OFFERS_AT_ONCE):
            try:
                self._open_consumer(peer, producer)
            except Exception:
                ids = {"peer": peer.id, "producer": producer.id}
                logger.exception("a consumer cannot be made", extra=ids)
                self.state.refuse(peer.id, producer.id)

    def _open_consumer(self, peer_state: Peer, producer_state: Producer) -> None:
        """Add a consumer to state and engine, and offer it. If this raises, neither has it."""
        peer, producer = self.peers[peer_state.id], self.producers[producer_state.id]
        transport = peer.receiving_transport()
        # missing_consumers lists only pairs for which these hold
        assert transport is not None
        assert peer_state.rtp_capabilities is not None
        template = producer_state.templates.get(peer_state.rtp_capabilities)
        assert template is not None
        rtp = fill_template(template, peer.next_mid(), self._new_ssrc)
        with contextlib.ExitStack() as undo:
            state = self.state.add_consumer(str(uuid.uuid4()), peer.id, producer_state.id)
            undo.callback(self.state.remove_consumer, state.id)
            viewing = Viewing(peer.attendance.video)
            consumer = LiveConsumer.open(state, rtp, transport, producer, self._advice, viewing)
            undo.callback(consumer.close)
            peer.nursery.start_soon(self._offer, peer, consumer)
            undo.pop_all()
        self._ssrcs |= consumer.ssrcs()
        self.consumers[state.id] = self._consumer_numbers[consumer.number] = consumer
        logger.debug("consumer made", extra=consumer.log_ids() | {"kind": rtp.kind})
        self._wishes_may_have_changed()

    async def _offer(self, peer: LivePeer, consumer: LiveConsumer) -> None:
        bind(peer=peer.id)
        with consumer.offering:  # cancelled when the consumer is closed
            try:
                await peer.request("newConsumer", consumer.new_consumer_data())
                consumer.accept()
                if any(consumer.producer.scores):  # scores before the answer were not told
                    self._tell_score(consumer)
            except RequestUnanswered as error:
                logger.info("the consumer was not accepted: %s", error, extra=consumer.log_ids())
                self._perform(self.state.remove_consumer(consumer.state.id, refused=True))
            except Exception:
                logger.exception("the consumer failed", extra=consumer.log_ids())
                self._close_consumer(consumer)

    # Layers that publishers may stop

    def _wishes_may_have_changed(self) -> None:
        if self.state.wishes_changed:
            self._wishes_due.set()

    async def _tell_layers_wanted(self) -> None:
        while True:
            with trio.move_on_at(self._layers_wanted.deadline()):
                await self._wishes_due.wait()
            self._wishes_due = trio.Event()
            now = trio.current_time()
            changed = list(self.state.wishes_changed.values())
            self.state.wishes_changed.clear()
            for producer in (*changed, *self._layers_wanted.fallen(now)):
                with self.log_errors(f"wishes for producer {producer.id}"):
                    if self._layers_wanted.is_due(producer, now):
                        data = {
                            "producerId": producer.id,
                            "spatialLayer": producer.highest_wanted(),
                        }
                        self._notify(producer.peer_id, "producerLayersWanted", data)

    # Advice of the engine

    async def _take_advice(self) -> None:
        while True:
            advice = await self._advice.take()
            with self.log_errors(f"{advice!r}"):
                self._apply_advice(advice)

    def _apply_advice(self, advice: Advice) -> None:
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
                if (producer := self._producer_numbers.get(advice.producer)) is not None:
                    state = producer.state
                    self.speakers.hear(state.peer_id, state.id, advice.dbov)

    def _stream_started(self, event: StreamStarted) -> None:
        producer = self._producer_numbers.get(event.producer)
        if producer is not None and (since := producer.take_waiting_since()) is not None:
            self.context.tally.first_packet_in.add(trio.current_time() - since)

    def _consumer_started(self, event: ConsumerStarted) -> None:
        consumer = self._consumer_numbers.get(event.consumer)
        if consumer is not None and (since := consumer.take_waiting_since()) is not None:
            waited = trio.current_time() - since
            self.context.tally.first_packet_out[consumer.rtp.kind].add(waited)

    def _layers_changed(self, event: LayerChanged) -> None:
        consumer = self._consumer_numbers.get(event.consumer)
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
        self._notify(consumer.state.peer_id, "consumerLayersChanged", data)
        if event.spatial is not None:
            self._tell_score(consumer)  # ``producerScore`` is now another encoding's

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
            return  # its client has not answered newConsumer yet
        data = {"consumerId": consumer.state.id, "score": consumer.score_data()}
        self._notify(consumer.state.peer_id, "consumerScoreChanged", data)

    def _notify(self, peer_id: str, method: str, data: object) -> None:
        if (peer := self.peers.get(peer_id)) is not None:
            peer.notify(method, data)


def _identifying_payload_type(params: RtpParameters) -> int | None:
    """The payload type, if nothing else identifies the stream; None if it has an SSRC or a RID."""
    (first, *more) = params.encodings
    identified = more or first.ssrc is not None or first.rid is not None
    return None if identified else params.media_codec().payload_type


def random_ssrc() -> int:
    return secrets.randbelow(2**32 - 1) + 1


def check_transport_limit(peer: LivePeer) -> None:
    """Raise LimitExceeded if the peer has as many transports as it may."""
    most = peer.settings.max_transports
    if len(peer.transports) >= most:
        raise LimitExceeded(f"a peer has at most {most} transports (limits.transports_per_peer)")
