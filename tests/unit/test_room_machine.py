"""A room lives through random meetings, beside a model that knows only the room's notices.

Each peer keeps the picture that a page would have: it starts with the answer to ``join`` and is
changed by notices alone. After every step all pictures must agree with the room.

``KeptMeeting`` is the same with a room that is made anew of its records before every verb.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import attrs
import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from support.room_twins import Twins

from meet_trio import ortc
from meet_trio.errors import Forbidden, LimitExceeded, NotFound, RequestError
from meet_trio.json_text import JsonText
from meet_trio.room import Layers, Outcome, Role, Room, RoomLimits
from meet_trio.room.last_n import OVERLAP
from meet_trio.room.requests import Produce

REFERENCE: dict[str, Any] = json.loads(
    Path(__file__).with_name("ortc_reference.json").read_text(encoding="utf-8")
)
CLIENT = ortc.parse_rtp_capabilities(REFERENCE["clientRtpCapabilities"])
OTHER_CLIENT = attrs.evolve(CLIENT, header_extensions=())
PARAMS = ortc.parse_rtp_parameters(REFERENCE["producers"][1]["rtpParameters"])
RTP = ortc.negotiate_producer(
    "video", PARAMS, ortc.router_capabilities(), iter(range(1, 9)).__next__
)
LIMITS = RoomLimits(peers=5, producers_per_peer=2)

roles = st.integers(0, 31).map(Role)


class Page:
    """The state of one joined client: peers by id, its own consumers and whether each is paused."""

    def __init__(self, join_result: dict[str, Any]) -> None:
        self.peers: dict[str, dict[str, Any]] = {
            info["id"]: dict(info) for info in join_result["peers"]
        }
        own = {key: value for key, value in join_result.items() if key != "peers"}
        self.peers[own["id"]] = own
        self.consumers: dict[str, bool] = {}

    def hear(self, method: str, data: Any) -> None:
        match method:
            case "newPeer":
                self.peers[data["id"]] = dict(data)
            case "peerClosed":
                self.peers.pop(data["peerId"], None)
            case "consumerClosed":
                del self.consumers[data["consumerId"]]
            case "consumerPaused" | "consumerResumed":
                assert self.consumers[data["consumerId"]] is not (method == "consumerPaused")
                self.consumers[data["consumerId"]] = method == "consumerPaused"
            case "changeNickname" | "changeRole" | "changeLanguage" | "changeRaisedHand":
                (key,) = data.keys() - {"peerId"}
                # Pages that joined before do not know a peer that has connected and not joined.
                info = self.peers.get(data["peerId"])
                if info is not None:
                    assert info[key] != data[key], "announced, but had not changed"
                    info[key] = data[key]


class Meeting(RuleBasedStateMachine):
    peers = Bundle("peers")
    producers = Bundle("producers")

    def __init__(self) -> None:
        super().__init__()
        self.room = self.make_room()
        self.new_ssrc = itertools.count(1).__next__
        self.pages: dict[str, Page] = {}
        self.names = 0
        self.now = 0.0
        self.receivers: set[str] = set()
        self.refused: set[tuple[str, str]] = set()

    def make_room(self) -> Room:
        return Room("room", 0, LIMITS)

    def name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    def carry_out(self, outcome: Outcome, asker: str | None = None) -> None:
        gone = set(outcome.removed_peers)
        for notice in (*outcome.before, *outcome.after):
            assert notice.to, "a notice to nobody"
            assert notice.to <= self.room.peers.keys() | gone
            for peer in notice.to & self.pages.keys():
                if notice.method not in ("moderator:kickPeer", "moderator:closeRoom"):
                    self.pages[peer].hear(notice.method, notice.data)
        if not isinstance(outcome.result, JsonText):
            json.dumps(outcome.result)
        for peer in gone:
            self.pages.pop(peer, None)
            self.receivers.discard(peer)

    def snapshot(self) -> object:
        room = self.room
        return (
            [(p.info(), p.connected, p.joined) for p in room.peers.values()],
            [(p.id, p.paused) for p in room.producers.values()],
            [
                (c.id, c.paused, c.preferred, c.priority, c.held_back)
                for c in room.consumers.values()
            ],
            [(p.id, list(p.wishes)) for p in room.producers.values()],
            [p.pinned for p in room.peers.values()],
            (room.last_n.n, room.speaker_listeners, room.level_listeners),
            room.closed,
        )

    def attempt(self, verb: Any, *args: Any) -> Outcome | None:
        """A refusal changes nothing."""
        before = self.snapshot()
        try:
            outcome = verb(*args)
        except (Forbidden, NotFound, LimitExceeded):
            assert self.snapshot() == before
            return None
        assert isinstance(outcome, Outcome)
        self.carry_out(outcome)
        return outcome

    @initialize(target=peers)
    def two_have_met(self) -> Any:
        """Most faults need two peers, one of them with a moderator's role."""
        met = self.invite(Role.OWNER | Role.MODERATOR | Role.PUBLISHER), self.invite(Role.PUBLISHER)
        for peer in met:
            self.connect(peer)
            self.receive(peer, True)
            self.join(peer, peer)
            self.produce(peer)
        self.consume()
        return multiple(*met)

    @rule(target=peers, role=roles)
    def invite(self, role: Role) -> str:
        peer = self.name("peer")
        full = self.room.closed or len(self.room.peers) >= LIMITS.peers
        try:
            self.room.add_peer(peer, role, f"token of {peer}")
        except (LimitExceeded, NotFound):
            assert full
        else:
            assert not full
        return peer

    @rule(peer=peers)
    def connect(self, peer: str) -> None:
        try:
            self.room.authenticate(peer, f"token of {peer}")
        except Forbidden:
            assert peer not in self.room.peers
        else:
            self.room.connect(peer)

    @rule(peer=peers, able=st.booleans())
    def receive(self, peer: str, able: bool) -> None:
        """A peer that can no longer receive loses its consumers."""
        self.room.set_receiving(peer, able)
        if able and peer in self.room.peers:
            self.receivers.add(peer)
        else:
            self.receivers.discard(peer)
            self.lose_consumers(peer)

    @rule(
        peer=peers,
        nickname=st.none() | st.sampled_from(["Ann", "Bob", ""]),
        client=st.sampled_from([CLIENT, OTHER_CLIENT]),
    )
    def join(self, peer: str, nickname: str | None, client: ortc.RtpCapabilities = CLIENT) -> None:
        old = self.pages.get(peer)
        try:
            outcome = self.room.join(peer, nickname, client)
        except NotFound:
            return
        assert isinstance(outcome.result, JsonText)
        result = json.loads(outcome.result.text)
        # as if it were written anew
        others = [p.info() for p in self.room.peers.values() if p.connected and p.id != peer]
        assert result == {"peers": others, **self.room.peers[peer].info()}
        self.carry_out(outcome)
        self.pages[peer] = Page(result)
        self.refused = {pair for pair in self.refused if pair[0] != peer}
        assert old is None or not old.consumers

    @rule(peer=peers)
    def leave(self, peer: str) -> None:
        outcome = self.attempt(self.room.leave, peer)
        assert outcome is None or outcome.removed_peers == (peer,)

    @rule(by=peers, peer=peers)
    def kick(self, by: str, peer: str) -> None:
        self.attempt(self.room.kick, by, peer)

    @rule(by=peers, peer=peers, role=roles)
    def add_role(self, by: str, peer: str, role: Role) -> None:
        owners = {p.id for p in self.room.peers.values() if Role.OWNER in p.role}
        self.attempt(self.room.add_role, by, peer, role)
        assert owners == {p.id for p in self.room.peers.values() if Role.OWNER in p.role}

    @rule(by=peers, peer=peers, role=roles)
    def remove_role(self, by: str, peer: str, role: Role) -> None:
        owners = {p.id for p in self.room.peers.values() if Role.OWNER in p.role}
        self.attempt(self.room.remove_role, by, peer, role)
        assert owners == {p.id for p in self.room.peers.values() if Role.OWNER in p.role}

    @rule(by=peers, peer=peers, language=st.sampled_from([None, "", "de", "fr"]))
    def change_language(self, by: str, peer: str, language: str | None) -> None:
        self.attempt(self.room.change_language, by, peer, language)

    @rule(peer=peers, nickname=st.sampled_from(["Ann", "Bob", ""]))
    def change_nickname(self, peer: str, nickname: str) -> None:
        self.attempt(self.room.change_nickname, peer, nickname)

    @rule(peer=peers, raised=st.booleans())
    def raise_hand(self, peer: str, raised: bool) -> None:
        self.attempt(self.room.raise_hand, peer, raised)

    @rule(peer=peers)
    def chat(self, peer: str) -> None:
        self.attempt(self.room.chat, peer, "hello")

    @rule(target=producers, peer=peers)
    def produce(self, peer: str) -> tuple[str, str]:
        producer = self.name("producer")
        request = Produce("t", "video", PARAMS, "webcam", {"source": "webcam"}, True)
        before = self.snapshot()
        try:
            self.room.add_producer(peer, producer, request, RTP)
        except RequestError:
            assert self.snapshot() == before
        return peer, producer

    @rule(owner=producers, paused=st.booleans())
    def pause(self, owner: tuple[str, str], paused: bool) -> None:
        self.attempt(self.room.pause_producer, *owner, paused)

    @rule(which=st.integers(0, 9), by=st.none() | peers, wish=st.none() | st.integers(0, 3))
    def wish(self, which: int, by: str | None, wish: int | None) -> None:
        """A viewer pauses its consumer (``wish`` None), or resumes it and wants a layer."""
        consumers = list(self.room.consumers.values())
        if not consumers:
            return
        consumer = consumers[which % len(consumers)]
        peer = by or consumer.peer_id
        self.attempt(self.room.pause_consumer, peer, consumer.id, wish is None)
        if wish is not None:
            self.attempt(self.room.prefer_layers, peer, consumer.id, Layers(wish))
            self.attempt(self.room.prioritize, peer, consumer.id, wish + 1)

    @rule(owner=consumes(producers))
    def close_producer(self, owner: tuple[str, str]) -> None:
        self.attempt(self.room.close_producer, *owner)

    @rule()
    def consume(self) -> None:
        for peer, producer in self.room.missing_consumers():
            consumer = self.name("consumer")
            mid = str(self.names)
            self.room.add_consumer(consumer, peer.id, producer.id, mid, self.new_ssrc)
            held_back = self.room.consumers[consumer].held_back
            self.pages[peer.id].consumers[consumer] = producer.paused or held_back
        assert self.room.missing_consumers() == []
        wanted = {
            (viewer, producer.id)
            for viewer in self.pages.keys() & self.receivers
            for producer in self.room.producers.values()
            if producer.peer_id != viewer
        }
        assert wanted - self.refused == {
            (c.peer_id, c.producer_id) for c in self.room.consumers.values()
        }

    @rule(which=st.integers(0, 9), refused=st.booleans())
    def lose_consumer(self, which: int, refused: bool) -> None:
        consumers = list(self.room.consumers.values())
        if not consumers:
            return
        consumer = consumers[which % len(consumers)]
        assert self.room.remove_consumer(consumer.id, refused=refused).before == ()
        del self.pages[consumer.peer_id].consumers[consumer.id]
        if refused:
            self.refused.add((consumer.peer_id, consumer.producer_id))

    @rule(which=st.integers(0, 9))
    def fail_to_make_a_consumer(self, which: int) -> None:
        missing = self.room.missing_consumers()
        if missing:
            peer, producer = missing[which % len(missing)]
            self.room.refuse(peer.id, producer.id)
            self.refused.add((peer.id, producer.id))

    @rule(peer=peers)
    def lose_consumers(self, peer: str) -> None:
        """One of the peer's transports is gone, others remain."""
        for consumer in list(self.room.consumers.values()):
            if consumer.peer_id == peer:
                self.room.remove_consumer(consumer.id)
                del self.pages[peer].consumers[consumer.id]

    @rule(by=peers, n=st.none() | st.integers(0, 3))
    def set_last_n(self, by: str, n: int | None) -> None:
        self.attempt(self.room.set_last_n, by, n)

    @rule(peer=peers, pinned=st.sets(peers, max_size=2))
    def pin(self, peer: str, pinned: set[str]) -> None:
        self.attempt(self.room.pin_peers, peer, pinned)

    @rule(peer=peers, audio_levels=st.booleans())
    def subscribe(self, peer: str, audio_levels: bool) -> None:
        self.attempt(self.room.subscribe_speakers, peer, audio_levels)

    @rule(peer=peers)
    def unsubscribe(self, peer: str) -> None:
        self.attempt(self.room.unsubscribe_speakers, peer)

    @rule(latest=st.lists(peers, max_size=4, unique=True), passed=st.sampled_from([0, 0.4, 1.0]))
    def somebody_speaks(self, latest: list[str], passed: float) -> None:
        """Some of the cameras are settled, or all."""
        self.now += passed
        self.carry_out(self.room.update_front(latest, self.now))
        self.settle(4)

    def settle(self, most: int) -> None:
        changed, outcome = self.room.settle(most)
        assert len(changed) <= most
        self.carry_out(outcome)

    @rule()
    def each_viewer_gets_the_latest_speakers(self) -> None:
        """After the overlap, when all consumers are settled."""
        room = self.room
        for _ in range(2):
            self.now += OVERLAP
            self.carry_out(room.update_front(room.last_n.latest, self.now))
            while room.unsettled:
                self.settle(3)
        n = room.last_n.n
        cameras = list(dict.fromkeys(p.peer_id for p in room.producers.values() if not p.paused))
        spoken = [peer for peer in room.last_n.latest if peer in cameras]
        order = list(dict.fromkeys(spoken + cameras))
        for viewer in room.peers.values():
            others = [peer for peer in order if peer != viewer.id]
            wanted = {*others[:n], *viewer.pinned}
            for producer_id, consumer in viewer.consumers.items():
                producer = room.producers[producer_id]
                if not producer.paused:
                    wants = n is None or producer.peer_id in wanted
                    assert consumer.held_back is not wants

    @precondition(lambda self: self.names > 10)
    @rule(by=peers)
    def close_room(self, by: str) -> None:
        outcome = self.attempt(self.room.close_by, by)
        assert outcome is None or self.room.closed

    @invariant()
    def pages_agree_with_the_room(self) -> None:
        for own, page in self.pages.items():
            room_view = {p.id: p.info() for p in self.room.peers.values() if p.connected}
            # A peer that connected after this page joined is known once it joins.
            known = {
                peer: info
                for peer, info in room_view.items()
                if peer in page.peers or self.room.peers[peer].joined
            }
            assert page.peers == known
            assert page.consumers == {
                c.id: self.room.producers[c.producer_id].paused or c.held_back
                for c in self.room.consumers.values()
                if c.peer_id == own
            }

    @invariant()
    def nothing_dangles(self) -> None:
        room = self.room
        assert all(p.peer_id in room.peers for p in room.producers.values())
        assert all(c.peer_id in room.peers for c in room.consumers.values())
        assert all(c.producer_id in room.producers for c in room.consumers.values())
        assert not room.closed or not (room.peers or room.producers or room.consumers)

    @invariant()
    def everything_is_found_by_whom_it_belongs_to(self) -> None:
        room = self.room
        for peer in room.peers.values():
            assert peer.producers == {
                p.id: p for p in room.producers.values() if p.peer_id == peer.id
            }
            assert peer.consumers == {
                c.producer_id: c for c in room.consumers.values() if c.peer_id == peer.id
            }
            assert peer.lacking == {p.id: p for p in room.producers.values() if peer.wants(p)}
            assert peer.refused <= room.producers.keys()
        for producer in room.producers.values():
            assert producer.consumers == {
                c.peer_id: c for c in room.consumers.values() if c.producer_id == producer.id
            }
            wishes = [
                len(producer.wishes) - 1
                if c.preferred is None
                else min(c.preferred.spatial, len(producer.wishes) - 1)
                for c in producer.consumers.values()
                if not c.paused
            ]
            assert producer.wishes == [wishes.count(n) for n in range(len(producer.wishes))]
            assert producer.highest_wanted() == max(wishes, default=None)
        assert room.wishes_changed.keys() <= room.producers.keys()
        lacking = {peer.id for peer in room.peers.values() if peer.lacking}
        assert {peer.id for peer, _ in room.missing_consumers()} == lacking


class KeptMeeting(Meeting):
    def make_room(self) -> Room:
        return Twins(Room("room", 0, LIMITS, recorded=True), [CLIENT, OTHER_CLIENT])  # type: ignore[return-value]  # it behaves as one


TestMeeting = Meeting.TestCase
TestKeptMeeting = KeptMeeting.TestCase
TestKeptMeeting.settings = settings(max_examples=40)  # each takes as long as several of the others
