"""The task of a room. It owns the meeting's pure state and the tasks of the peers, and makes the
engines follow the state.

Every change of a room takes the same way: a verb of the state is called, and its ``Outcome`` is
performed. There is no await between the two, so no other task sees state and engine differ.

The request of one peer causes work for others: they get notices, and they get and lose consumers.
``log_errors`` surrounds each piece of that work: a fault in it is logged and affects only the peer
that the piece was for.

A room ends when its scope is cancelled: by its owner, by the registry, because nobody joined in
time, or because nobody is left. Its peers are disconnected, their transports are closed and removed
from the engine, their stays are recorded, and the webhook is handed to the outbox.
"""

import logging
import math
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Container, Sequence
from functools import partial
from typing import Protocol

import attrs
import trio

from meet_trio.errors import NotFound, RequestError
from meet_trio.live.advice import AdviceTaker
from meet_trio.live.attendance import RoomEnd
from meet_trio.live.deliveries import Deliveries
from meet_trio.live.keeper import Keeper, RoomKeeper
from meet_trio.live.layers_wanted import WishTeller
from meet_trio.live.log_errors import log_errors
from meet_trio.live.offers import Offers
from meet_trio.live.peer import Connection, LivePeer, Notification
from meet_trio.live.placement import Placement
from meet_trio.live.records import MeetingRecord, SeatRecord
from meet_trio.live.room_streams import RoomStreams
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.live.speakers import LiveSpeakers
from meet_trio.live.stays import Stays
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.live.totals import INTERVAL, EngineTotals
from meet_trio.logs.context import bind_only
from meet_trio.media.announced import AnnouncedAddresses
from meet_trio.media.dtls import DtlsBridge
from meet_trio.media.engines import EngineHost
from meet_trio.media.plain import PlainPorts, Transport
from meet_trio.media.settings import TransportSettings
from meet_trio.media.transport import WebRtcTransport
from meet_trio.ortc import KnownCapabilities, RtpCapabilities
from meet_trio.ortc.fields import Json
from meet_trio.rates import Bucket, Rate
from meet_trio.records import Key, Record
from meet_trio.room import Consumer, Notice, Outcome, Peer, Role, Room, RoomLimits, Webhook
from meet_trio.socketio import Event
from meet_trio.tallies import Tally

logger = logging.getLogger("meet_trio.live.room")

# Measured costs, in messages to one client
_OFFER_WORK = 8  # making a consumer, offering it, and reading the client's answer
_WEBHOOK_WORK = 20


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
    ``announce`` takes the webhook of a room's end as soon as the room has ended, ``webhook`` takes
    it once all has been said about the meeting.
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
    announce: Callable[[Webhook], None] = lambda _: None
    recorder: Recorder | None = None
    keeper: Keeper = attrs.field(factory=Keeper)
    totals: EngineTotals = attrs.field(factory=EngineTotals)
    tally: Tally = attrs.field(factory=Tally)
    capabilities: KnownCapabilities = attrs.field(
        init=False,
        default=attrs.Factory(
            lambda self: KnownCapabilities(self.router_capabilities), takes_self=True
        ),
    )
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
    state: Room = attrs.field()
    keeper: RoomKeeper = attrs.field(init=False)
    placement: Placement = attrs.field(init=False)
    why: RoomEnd | None = None
    """Why it ends, once it does."""
    speakers: LiveSpeakers = attrs.field(init=False)
    stays: Stays = attrs.field(init=False)
    peers: dict[str, LivePeer] = attrs.field(factory=dict)
    streams: RoomStreams = attrs.field(init=False)
    offers: Offers = attrs.field(init=False)
    deliveries: Deliveries = attrs.field(init=False)
    # how often ``dumpStats`` logs the room's figures, for all peers together
    dumps: Bucket = attrs.field(factory=lambda: Bucket(Rate(1 / INTERVAL, 1)))
    _last_webhook: Webhook | None = None
    _run_scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _nursery: trio.Nursery | None = None
    _advice: AdviceTaker = attrs.field(init=False)
    _wishes: WishTeller = attrs.field(init=False)
    _was_joined: bool = False
    _listened: bool = False  # an earlier process did

    @state.default
    def _(self) -> Room:
        context = self.context
        state = Room(self.id, int(self.created_at), context.limits, recorded=context.keeper.keeps)
        state.last_n.set(context.settings.last_n if self.last_n is None else self.last_n)
        return state

    def __attrs_post_init__(self) -> None:
        self.keeper = RoomKeeper(self.context.keeper, self.state.take_changes, self._make_record)
        self.deliveries = Deliveries(self.id, self.peers, self.keeper, self._start)
        self.stays = Stays(self.id, self._record_stay)
        self.placement = Placement(self.context.hosts, self.context.settings.spread_size)
        self.streams = RoomStreams(
            self.state, self._perform, self._notify, self.keeper, self._replace_consumer
        )
        self.speakers = LiveSpeakers(
            self.state, self._perform, self.streams.apply_hold, self.context.level_budget
        )
        self._advice = AdviceTaker(self.streams, self.speakers, self.context.tally)
        self._wishes = WishTeller(self.state, self._notify)
        self.offers = Offers(
            self.streams,
            self.peers,
            self.context.peer_settings,
            self._advice.tell_score,
            self._wishes.check,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until closed or cancelled."""
        self._run_scope.deadline = trio.current_time() + self._patience()
        try:
            with self._run_scope:
                async with trio.open_nursery() as self._nursery:
                    task_status.started()
                    logger.info("room goes on" if self.peers else "room opened")
                    for peer in self.peers.values():  # those of an earlier process
                        self._nursery.start_soon(self._live_peer, peer)
                    self.keeper.note("meeting", self.id)
                    self._nursery.start_soon(self.offers.run)
                    self._nursery.start_soon(self._wishes.run)
                    if self._listened or self.state.last_n.n is not None:
                        self.listen()
                    try:
                        await self._advice.run()
                    finally:
                        self._nursery = None  # it is closing: no peer may be started in it any more
        finally:
            self.why = self.why or self._why_ended()
            self._perform(self.state.close())
            await self._tell_of_end()
            self.deliveries.end()
            self.keeper.note_removal("meeting", self.id)
            self.keeper.write()
            logger.info("room closed: %s", self.why)

    def _start(self, follow: Callable[[], Awaitable[None]]) -> bool:
        """Start a task of the room. Returns whether it is open."""
        if self._nursery is None:
            return False
        self._nursery.start_soon(self._in_room, follow)
        return True

    async def _in_room(self, follow: Callable[[], Awaitable[None]]) -> None:
        bind_only(room=self.id)  # a peer's request has started it
        await follow()

    def _patience(self) -> float:
        """Seconds until it ends if nothing happens."""
        if not self._was_joined:
            return self.context.settings.never_joined_timeout
        return self.context.settings.empty_timeout if self.state.is_empty else math.inf

    def close(self, why: RoomEnd = "closed") -> None:
        """End ``run`` soon. The first reason counts."""
        self.why = self.why or why
        self._run_scope.cancel()

    def end(self, why: RoomEnd) -> None:
        """Tell the peers that the meeting is closed, and end ``run`` soon."""
        self.why = self.why or why
        with log_errors("farewell"):
            self._perform(self.state.end())
        self.close()

    def _why_ended(self) -> RoomEnd:
        """Why ``run`` ends although nobody has called ``close``."""
        if self._run_scope.cancelled_caught:
            return "empty" if self._was_joined else "nobody_came"
        if trio.current_effective_deadline() == -math.inf:  # cancelled from outside
            return "shutdown"
        return "failed"

    @property
    def producers(self) -> dict[str, LiveProducer]:
        return self.streams.producers

    @property
    def consumers(self) -> dict[str, LiveConsumer]:
        return self.streams.consumers

    # Peers

    def invite(self, role: Role) -> Invitation:
        """Add a peer, which may connect within ``first_connection_timeout``. Raises LimitExceeded,
        or NotFound if the room is closing.
        """
        if self._nursery is None:
            raise NotFound("the room is closing")
        invitation = Invitation(str(uuid.uuid4()), secrets.token_hex(16))
        state = self.state.add_peer(invitation.peer_id, role, invitation.auth_token)
        peer = self._add_peer(state)
        self.context.tally.invitations += 1
        self._nursery.start_soon(self._live_peer, peer)
        self.keeper.note("seat", peer.id)
        self.keeper.write()  # before Kolab hears of the peer
        ids = {"room": self.id, "peer": peer.id}
        logger.info("invited with role %d", role, extra=ids)
        return invitation

    def _add_peer(self, state: Peer) -> LivePeer:
        peer = LivePeer(
            room=self,
            id=state.id,
            settings=self.context.peer_settings,
            max_backlog_bytes=self.context.max_backlog_bytes,
            goodbye_timeout=self.context.goodbye_timeout,
            handle=partial(self.context.handle, self),
            tally=self.context.tally,
        )
        self.stays.begin(state)
        self.peers[peer.id] = peer
        return peer

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
        if not self._was_joined:
            self._was_joined = True
            self.keeper.note("meeting", self.id)
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
            self.keeper.note_removal("seat", peer.id)
            self.keeper.note_removal("stay", peer.id)
            self.deliveries.peer_gone(peer.id)
            if peer.id in self.state.peers:
                with log_errors("leaving"):
                    self._perform(self.state.leave(peer.id))
            self.stays.end(peer)
            if self.state.is_empty and self._run_scope.deadline == float("inf"):
                self._run_scope.deadline = trio.current_time() + self.context.settings.empty_timeout

    def _record_stay(self, peer: LivePeer) -> None:
        if self.context.recorder is not None:
            with log_errors("the record of the peer"):
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
        with log_errors(f"webhook {webhook.event}"):
            self.context.webhook(webhook)

    def _record(self) -> dict[str, Json] | None:
        """The record of the meeting for the webhook, if there is to be one."""
        if self.context.recorder is not None:
            with log_errors("the record of the meeting"):
                return self.context.recorder.room_closed(self)
        return None

    # Performing an outcome

    def perform(self, outcome: Outcome, acknowledge: Callable[[], None] = lambda: None) -> int:
        """Send the notices before the acknowledgement, acknowledge, send those after it, and close
        what has to be closed. Missing consumers are offered soon after. Raises no exceptions.

        Returns the work that this causes. Its unit is the work of one message to one client.
        """
        work = self._perform(outcome, acknowledge)
        return work + _OFFER_WORK * self.offers.check()

    def _perform(self, outcome: Outcome, acknowledge: Callable[[], None] = lambda: None) -> int:
        self._tell(outcome.before)
        try:
            acknowledge()
        except Exception:
            logger.exception("%s failed", "acknowledgement")
        self._tell(outcome.after)
        for consumer_id in outcome.closed_consumers:
            self.offers.withdraw(consumer_id)
            self.streams.drop_consumer(consumer_id)
        for producer_id in outcome.closed_producers:
            if (producer := self.streams.drop_producer(producer_id)) is not None:
                self._wishes.forget(producer_id)
                self.speakers.forget_producer(producer.state.peer_id, producer_id)
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
                with log_errors("keeping the last webhook"):
                    self.context.announce(webhook)
                if self._nursery is not None:  # else ``run`` does it
                    self._nursery.start_soon(self._tell_of_end)
            else:
                self._hand_out(webhook)
        for peer_id in outcome.removed_peers:
            if (peer := self.peers.get(peer_id)) is not None:
                peer.leave("kicked")  # those of a closed room have left already
        self._wishes.check()
        if self.state.closed:
            self.close()
        work = len(outcome.closed_consumers) + _WEBHOOK_WORK * len(outcome.webhooks)
        for notice in (*outcome.before, *outcome.after):
            work += len(notice.to)
        work += self._follow_speakers()
        self.keeper.write()  # what was told leaves in a later step
        return work

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
        self.keeper.note("meeting", self.id)
        self._nursery.start_soon(self._follow_who_speaks)
        self.streams.watch_levels()

    async def _follow_who_speaks(self) -> None:
        bind_only(room=self.id)  # a peer's request has started it
        await self.speakers.run()

    def _tell(self, notices: tuple[Notice, ...]) -> None:
        for notice in notices:
            with log_errors(f"telling {notice.method}"):
                notification = Notification(notice.method, notice.data)
                self.deliveries.tell(notification, notice.to)
                peers = self.peers
                for peer_id in notice.to:
                    peer = peers.get(peer_id)
                    if peer is None:
                        continue
                    try:
                        peer.send_notification(notification)
                    except Exception:
                        ids = {"peer": peer_id}
                        logger.exception("sending the peer a notice failed", extra=ids)

    def signal(self, kind: str, data: Json, role: Role | None) -> None:
        """Send a signal of Kolab to the peers, see ``Room.signal``."""
        self.perform(self.state.signal(kind, data, role))

    def transport_closed(self, peer: LivePeer, transport: Transport) -> None:
        """Close the consumers and producers of a transport that has ended. The viewers of the
        producers are told. If the peer has another transport, its consumers are offered on that,
        and the peer pays for it.
        """
        self.keeper.note_removal(_kind_of(transport), transport.id)
        for consumer in self.streams.own_consumers(peer, transport):
            with log_errors(f"removing consumer {consumer.state.id}"):
                self._perform(self.state.remove_consumer(consumer.state.id))
        for producer in self.streams.own_producers(peer, transport):
            with log_errors(f"closing producer {producer.state.id}"):
                self.streams.close_producer(producer)
        peer.count_work(_OFFER_WORK * self.offers.check(), trio.current_time())

    def transports_changed(self, peer: LivePeer) -> None:
        """Update the state after a transport of the peer was added or removed."""
        self.state.set_receiving(peer.id, peer.receiving_transport() is not None)
        if len(peer.transports) == 1:  # the first one, for which an engine is chosen
            self.seat_changed(peer)

    def transport_noted(self, transport: Transport) -> None:
        """The transport was made or has changed. Its end is ``transport_closed``."""
        self.keeper.note(_kind_of(transport), transport.id)

    def stay_changed(self, peer: LivePeer) -> None:
        """More is known of the peer's stay."""
        self.keeper.note("stay", peer.id)

    def seat_changed(self, peer: LivePeer) -> None:
        """The record of the peer's seat is another one."""
        self.keeper.note("seat", peer.id)

    def socket_came(self, peer: LivePeer) -> None:
        """Offer again on the peer's new socket what it has not answered."""
        self.offers.follow_socket(peer)
        self.deliveries.socket_came(peer)

    def hand_over(self, sockets: Container[str]) -> None:
        """Write all that another process needs, which has the sockets of these ids."""
        self.deliveries.hand_over(sockets)
        self.keeper.write()

    def about_to_notify(self, peer: LivePeer, notification: Notification) -> None:
        """See ``PeerRoom``."""
        self.deliveries.tell(notification, (peer.id,))

    def _notify(self, peer_id: str, method: str, data: object) -> None:
        if (peer := self.peers.get(peer_id)) is not None:
            peer.notify(method, data)

    def _replace_consumer(self, consumer: LiveConsumer) -> None:
        """Its engine has lost it: offer the stream again, with other SSRCs."""
        self._end_consumer(consumer.state)
        self.offers.check()

    def _end_consumer(self, consumer: Consumer) -> None:
        self._perform(self.state.remove_consumer(consumer.id))
        self._notify(consumer.peer_id, "consumerClosed", {"consumerId": consumer.id})

    # Going on after an earlier process

    def resume(self, record: MeetingRecord) -> None:
        """What an earlier process knew of the meeting."""
        self._was_joined = record.was_joined
        self.streams.reserve_ssrcs(record.ssrcs)
        self.stays.most_joined = record.most_joined
        self._listened = record.listening
        self.keeper.note("meeting", self.id)
        self.speakers.speakers.latest = list(self.state.last_n.latest)
        self.keeper.note("meeting", self.id)

    def resume_peer(self, record: SeatRecord, host: EngineHost | None) -> None:
        """A peer of the state has this seat."""
        state = self.state.peers[record.peer_id]
        peer = self._add_peer(state)
        peer.take_seat(record, state.connected)
        self.stays.resume(peer)
        self.keeper.note("seat", peer.id)
        if host is not None:
            self.placement.place_again(peer.id, host)

    def settle(self) -> None:
        """All that was kept is there. What lacks something that was not ends now."""
        for peer_id in self.state.peers.keys() - self.peers.keys():
            self._perform(self.state.leave(peer_id))
        for producer in list(self.state.producers.values()):
            if producer.id not in self.streams.producers:
                self._perform(self.state.close_producer(producer.peer_id, producer.id))
        for consumer in list(self.state.consumers.values()):
            if consumer.id not in self.streams.consumers:
                self._end_consumer(consumer)
        for peer in self.peers.values():
            self.transports_changed(peer)
        self.offers.check()
        self._wishes.resume()

    # Keeping

    def _make_record(self, key: Key) -> Record | None:
        """The record of a live object as it is now."""
        kind, id, *number = key
        if number:
            return self.deliveries.record(int(number[0]))
        if kind == "meeting":
            return MeetingRecord(
                self.id,
                self.created_at,
                self._was_joined,
                self.speakers.listening or self._listened,
                self.stays.most_joined,
                self.streams.ssrcs_reserved,
            )
        if kind == "seat":
            return self._make_seat(self.peers.get(id))
        if kind == "stay":
            peer = self.peers.get(id)
            return None if peer is None else peer.attendance.record(self.id, id)
        if kind == "sending":
            producer = self.streams.producers.get(id)
            return None if producer is None else producer.record(self.id)
        if kind == "viewing":
            consumer = self.streams.consumers.get(id)
            return None if consumer is None else consumer.record(self.id)
        for peer in self.peers.values():
            if (transport := peer.transports.get(id)) is not None:
                return transport.record(self.id, peer.id)
        return None

    def _make_seat(self, peer: LivePeer | None) -> SeatRecord | None:
        if peer is None:
            return None
        host = self.placement.place_of(peer.id)
        return SeatRecord(
            self.id,
            peer.id,
            None if host is None else host.index,
            peer.address,
            peer.mids_reserved,
            peer.attendance.invited,
            peer.attendance.joined,
            peer.attendance.connections,
            peer.attendance.transports_made,
        )


def _kind_of(transport: Transport) -> str:
    return "webrtc" if isinstance(transport, WebRtcTransport) else "plain"
