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
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

import attrs
import trio

from meet_trio.errors import NotFound, RequestError
from meet_trio.live.advice import AdviceTaker
from meet_trio.live.attendance import RoomEnd
from meet_trio.live.layers_wanted import WishTeller
from meet_trio.live.log_errors import log_errors
from meet_trio.live.offers import Offers
from meet_trio.live.peer import Connection, LivePeer, Notification
from meet_trio.live.placement import Placement
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
from meet_trio.ortc import KnownCapabilities, RtpCapabilities
from meet_trio.ortc.fields import Json
from meet_trio.rates import Bucket, Rate
from meet_trio.room import Notice, Outcome, Role, Room, RoomLimits, Webhook
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
    state: Room = attrs.field(init=False)
    placement: Placement = attrs.field(init=False)
    why: RoomEnd | None = None
    """Why it ends, once it does."""
    speakers: LiveSpeakers = attrs.field(init=False)
    stays: Stays = attrs.field(init=False)
    peers: dict[str, LivePeer] = attrs.field(factory=dict)
    streams: RoomStreams = attrs.field(init=False)
    offers: Offers = attrs.field(init=False)
    # how often ``dumpStats`` logs the room's figures, for all peers together
    dumps: Bucket = attrs.field(factory=lambda: Bucket(Rate(1 / INTERVAL, 1)))
    _last_webhook: Webhook | None = None
    _run_scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _nursery: trio.Nursery | None = None
    _advice: AdviceTaker = attrs.field(init=False)
    _wishes: WishTeller = attrs.field(init=False)
    _was_joined: bool = False

    def __attrs_post_init__(self) -> None:
        self.state = Room(self.id, int(self.created_at), self.context.limits)
        self.stays = Stays(self.id, self._record_stay)
        self.placement = Placement(self.context.hosts, self.context.settings.spread_size)
        self.streams = RoomStreams(self.state, self._perform, self._notify)
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
                    self._nursery.start_soon(self.offers.run)
                    self._nursery.start_soon(self._wishes.run)
                    if self.state.last_n.n is not None:
                        self.listen()
                    try:
                        await self._advice.run()
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
        return work + self._follow_speakers()

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
        self.streams.watch_levels()

    async def _follow_who_speaks(self) -> None:
        bind_only(room=self.id)  # a peer's request has started it
        await self.speakers.run()

    def _tell(self, notices: tuple[Notice, ...]) -> None:
        for notice in notices:
            with log_errors(f"telling {notice.method}"):
                notification = Notification(notice.method, notice.data)
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

    def socket_came(self, peer: LivePeer) -> None:
        """Offer again on the peer's new socket what it has not answered."""
        self.offers.follow_socket(peer)

    def _notify(self, peer_id: str, method: str, data: object) -> None:
        if (peer := self.peers.get(peer_id)) is not None:
            peer.notify(method, data)
