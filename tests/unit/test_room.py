"""The room's verbs give the peers the notices of the original (sequences recorded on its wire)."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from meet_trio import ortc
from meet_trio.errors import Forbidden, LimitExceeded, NotFound
from meet_trio.json_text import JsonText, to_text
from meet_trio.room import Layers, Notice, Outcome, Role, Room, RoomLimits, Webhook
from meet_trio.room.peer import Source
from meet_trio.room.requests import Produce

REFERENCE: dict[str, Any] = json.loads(
    Path(__file__).with_name("ortc_reference.json").read_text(encoding="utf-8")
)
CLIENT = ortc.parse_rtp_capabilities(REFERENCE["clientRtpCapabilities"])
OWNER = Role.OWNER | Role.MODERATOR | Role.PUBLISHER
GUEST = Role.PUBLISHER | Role.SUBSCRIBER
new_ssrc = itertools.count(1000).__next__


def notice(to: str, method: str, data: object) -> Notice:
    """A notice; ``to`` has one letter for each peer."""
    return Notice(frozenset(to), method, data)  # type: ignore[arg-type]


def info(peer: str, nickname: object, role: int, **other: object) -> dict[str, object]:
    return {
        "id": peer,
        "language": None,
        "nickname": nickname,
        "role": role,
        "raisedHand": False,
        **other,
    }


@pytest.fixture
def room() -> Room:
    """A is the owner, B a guest; both are connected, neither has joined."""
    room = Room("room", 1_795_309_483)
    room.add_peer("A", OWNER, "secret-a")
    room.add_peer("B", GUEST, "secret-b")
    for peer in "AB":
        room.connect(peer)
        room.set_receiving(peer, True)
    return room


def join_both(room: Room) -> None:
    room.join("A", "Alice", CLIENT)
    room.join("B", "Bob", CLIENT)


def produce(
    room: Room, peer: str, producer: str, which: int = 3, *, source: Source = "webcam"
) -> None:
    recorded = REFERENCE["producers"][which]
    params = ortc.parse_rtp_parameters(recorded["rtpParameters"])
    ssrcs = iter(range(1, 100))
    rtp = ortc.negotiate_producer(
        recorded["kind"], params, ortc.router_capabilities(), lambda: next(ssrcs)
    )
    request = Produce("transport", recorded["kind"], params, source, {"source": source}, True)
    room.add_producer(peer, producer, request, rtp)


def consume_all(room: Room) -> list[str]:
    """Create every missing consumer; its name is viewer-producer."""
    made = []
    for peer, producer in room.missing_consumers():
        made.append(f"{peer.id}-{producer.id}")
        room.add_consumer(made[-1], peer.id, producer.id, str(len(room.consumers)), new_ssrc)
    return made


# Coming and going


def test_an_invited_peer_is_not_seen(room: Room) -> None:
    room.add_peer("C", Role(0), "secret-c")
    joined = room.join("A", "Alice", CLIENT)
    seen = {"peers": [info("B", False, 3)], **info("A", "Alice", 22)}
    assert joined.result == JsonText(to_text(seen))
    assert room.chat("A", "hello").before[0].to == frozenset("AB")
    with pytest.raises(NotFound):
        room.kick("A", "C")
    assert room.leave("C") == Outcome(removed_peers=("C",))


def test_tokens(room: Room) -> None:
    assert room.authenticate("A", "secret-a").id == "A"
    for peer, token in (
        ("A", "secret-b"),
        ("A", ""),
        ("X", ""),
        ("X", "secret-a"),
        ("A", "é\ud800"),
    ):
        with pytest.raises(Forbidden):
            room.authenticate(peer, token)


def test_join(room: Room) -> None:
    assert room.join("A", "A", CLIENT) == Outcome(
        before=(notice("AB", "changeNickname", {"peerId": "A", "nickname": "A"}),),
        result=JsonText(to_text({"peers": [info("B", False, 3)], **info("A", "A", 22)})),
        after=(notice("B", "newPeer", info("A", "A", 22)),),
    )


def test_join_of_the_first_peer_is_announced_to_nobody_else() -> None:
    room = Room("room", 0)
    room.add_peer("A", OWNER, "secret-a")
    room.connect("A")
    outcome = room.join("A", "Alice", CLIENT)
    assert outcome.before == (notice("A", "changeNickname", {"peerId": "A", "nickname": "Alice"}),)
    assert outcome.after == ()


def test_second_join_makes_consumers_anew(room: Room) -> None:
    join_both(room)
    produce(room, "A", "video")
    assert consume_all(room) == ["B-video"]
    outcome = room.join("B", "Bob", CLIENT)
    assert outcome == Outcome(
        result=JsonText(to_text({"peers": [info("A", "Alice", 22)], **info("B", "Bob", 3)})),
        after=(
            notice("A", "newPeer", info("B", "Bob", 3)),
            notice("B", "consumerClosed", {"consumerId": "B-video"}),
        ),
        closed_consumers=("B-video",),
    )
    assert consume_all(room) == ["B-video"]


def test_join_without_capabilities_receives_nothing(room: Room) -> None:
    room.join("A", "Alice", CLIENT)
    produce(room, "A", "video")
    outcome = room.join("B", None, None)
    assert outcome.before == ()
    assert consume_all(room) == []


def test_leave(room: Room) -> None:
    join_both(room)
    produce(room, "B", "mic", 2)
    produce(room, "A", "video")
    assert consume_all(room) == ["A-mic", "B-video"]
    assert room.leave("B") == Outcome(
        before=(
            notice("A", "peerClosed", {"peerId": "B"}),
            notice("A", "consumerClosed", {"consumerId": "A-mic"}),
        ),
        removed_peers=("B",),
        closed_producers=("mic",),
        closed_consumers=("B-video", "A-mic"),
    )
    assert list(room.producers) == ["video"]
    assert room.consumers == {}
    with pytest.raises(Forbidden):
        room.authenticate("B", "secret-b")
    assert not room.is_empty
    room.leave("A")
    assert room.is_empty


def test_kick(room: Room) -> None:
    join_both(room)
    with pytest.raises(Forbidden):
        room.kick("B", "A")
    assert room.kick("A", "B") == Outcome(
        before=(
            notice("B", "moderator:kickPeer", {}),
            notice("A", "peerClosed", {"peerId": "B"}),
        ),
        removed_peers=("B",),
    )
    with pytest.raises(NotFound):
        room.kick("A", "B")


def test_nobody_kicks_the_owner(room: Room) -> None:
    room.add_role("A", "B", Role.MODERATOR)
    for by in "BA":
        with pytest.raises(Forbidden, match="the owner stays"):
            room.kick(by, "A")
    assert list(room.peers) == ["A", "B"]
    assert room.kick("A", "B").removed_peers == ("B",)


def test_close_by_the_owner(room: Room) -> None:
    room.peers["B"].role |= Role.MODERATOR
    with pytest.raises(Forbidden):
        room.close_by("B")
    produce(room, "A", "video")
    assert room.close_by("A") == Outcome(
        before=(notice("B", "moderator:closeRoom", None),),
        webhooks=(Webhook("roomClosed", "room"),),
        removed_peers=("A", "B"),
        closed_producers=("video",),
    )
    assert room.close() == Outcome()
    with pytest.raises(NotFound):
        room.chat("A", "anybody here?")
    with pytest.raises(NotFound):
        room.add_peer("C", GUEST, "secret-c")


def test_the_server_ends_the_meeting(room: Room) -> None:
    room.add_peer("C", GUEST, "secret-c")  # has not come yet
    assert room.end() == Outcome(
        before=(Notice(frozenset({"A", "B"}), "moderator:closeRoom", None),),
        webhooks=(Webhook("roomClosed", "room"),),
        removed_peers=("A", "B", "C"),
    )
    assert room.end() == Outcome()


def test_webhooks_as_kolab_knows_them(room: Room) -> None:
    (accepted,) = room.answer_join_request("A", "req-1", "joinRequestAccepted").webhooks
    assert accepted.to_json() == {
        "requestId": "req-1",
        "roomId": "room",
        "event": "joinRequestAccepted",
    }
    (closed,) = room.close().webhooks
    assert closed.to_json() == {"roomId": "room", "event": "roomClosed"}


# Messages of peers


def test_nickname(room: Room) -> None:
    changed = notice("AB", "changeNickname", {"peerId": "A", "nickname": "Alice2"})
    assert room.change_nickname("A", "Alice2") == Outcome(before=(changed,))
    assert room.change_nickname("A", "Alice2") == Outcome()


def test_chat_before_join_has_no_nickname(room: Room) -> None:
    said = {"peerId": "A", "nickname": False, "message": "before join"}
    assert room.chat("A", "before join") == Outcome(before=(notice("AB", "chatMessage", said),))


def test_raised_hand(room: Room) -> None:
    up = notice("AB", "changeRaisedHand", {"peerId": "B", "raisedHand": True})
    assert room.raise_hand("B", True) == Outcome(before=(up,))
    assert room.raise_hand("B", True) == Outcome()


@pytest.mark.parametrize(
    ("role", "hear"),
    [
        (None, "AB"),
        (Role.PUBLISHER, "AB"),
        (Role.MODERATOR, "A"),
        (Role.MODERATOR | Role.SUBSCRIBER, "AB"),
        (Role(0), ""),
        (Role.SCREEN, ""),
    ],
)
def test_signal(room: Room, role: Role | None, hear: str) -> None:
    expected = (notice(hear, "signal:joinRequest", {"r": 1}),) if hear else ()
    assert room.signal("joinRequest", {"r": 1}, role) == Outcome(before=expected)


# Moderation


def role_notice(role: int, peer: str = "B") -> Notice:
    return notice("AB", "changeRole", {"peerId": peer, "role": role})


def test_add_and_remove_role(room: Room) -> None:
    assert room.add_role("A", "B", Role.MODERATOR).before == (role_notice(7),)
    assert room.add_role("A", "B", Role.MODERATOR) == Outcome()
    assert room.remove_role("A", "B", Role.MODERATOR).before == (role_notice(3),)
    assert room.remove_role("A", "B", Role.MODERATOR) == Outcome()
    assert room.add_role("A", "B", Role(0)) == Outcome()


def test_add_role_gives_what_is_missing_of_several_bits(room: Room) -> None:
    assert room.add_role("A", "B", Role.PUBLISHER | Role.SCREEN).before == (role_notice(11),)


def test_remove_role_clears_and_never_sets(room: Room) -> None:
    assert room.remove_role("A", "B", Role.PUBLISHER | Role.MODERATOR).before == (role_notice(1),)


def test_nobody_becomes_owner_and_the_owner_stays_one(room: Room) -> None:
    with pytest.raises(Forbidden):
        room.add_role("A", "B", Role.OWNER | Role.SCREEN)
    with pytest.raises(Forbidden):
        room.remove_role("A", "A", Role.OWNER)
    with pytest.raises(Forbidden):
        room.remove_role("A", "A", Role.MODERATOR | Role.PUBLISHER)
    assert room.add_role("A", "A", Role.OWNER) == Outcome()
    assert room.peers["A"].role == OWNER
    assert room.peers["B"].role == GUEST


def test_gaining_publisher_puts_the_hand_down(room: Room) -> None:
    room.remove_role("A", "B", Role.PUBLISHER)
    room.raise_hand("B", True)
    assert room.add_role("A", "B", Role.PUBLISHER).before == (
        notice("AB", "changeRaisedHand", {"peerId": "B", "raisedHand": False}),
        role_notice(3),
    )
    room.raise_hand("B", True)
    assert room.add_role("A", "B", Role.SCREEN).before == (role_notice(11),)
    assert room.peers["B"].raised_hand


def test_losing_publisher_clears_the_language(room: Room) -> None:
    room.change_language("A", "B", "de")
    assert room.remove_role("A", "B", Role.PUBLISHER).before == (
        notice("AB", "changeLanguage", {"peerId": "B", "language": None}),
        role_notice(1),
    )
    room.add_role("A", "B", Role.PUBLISHER)
    assert room.remove_role("A", "B", Role.PUBLISHER).before == (role_notice(1),)


def test_language(room: Room) -> None:
    for language in ("fr", None, ""):
        changed = notice("AB", "changeLanguage", {"peerId": "B", "language": language})
        assert room.change_language("A", "B", language) == Outcome(before=(changed,))
        assert room.change_language("A", "B", language) == Outcome()


def test_only_moderators_moderate(room: Room) -> None:
    with pytest.raises(Forbidden):
        room.add_role("B", "B", Role.SCREEN)
    with pytest.raises(Forbidden):
        room.remove_role("B", "A", Role.PUBLISHER)
    with pytest.raises(Forbidden):
        room.change_language("B", "B", "de")
    with pytest.raises(Forbidden):
        room.answer_join_request("B", "req", "joinRequestDenied")
    with pytest.raises(NotFound):
        room.add_role("A", "nope", Role.SCREEN)


# Streams


def test_who_gets_what(room: Room) -> None:
    room.join("A", "Alice", CLIENT)
    produce(room, "A", "video")
    produce(room, "B", "mic", 2)
    assert [(peer.id, producer.id) for peer, producer in room.missing_consumers()] == [("A", "mic")]
    room.join("B", "Bob", CLIENT)
    for peer in "AB":
        room.set_receiving(peer, False)
    assert room.missing_consumers() == []
    for peer in "ABC":
        room.set_receiving(peer, True)
    assert consume_all(room) == ["A-mic", "B-video"]
    assert consume_all(room) == []


def test_no_consumer_for_an_unknown_codec(room: Room) -> None:
    join_both(room)
    recorded = {**REFERENCE["clientRtpCapabilities"]}
    recorded["codecs"] = [codec for codec in recorded["codecs"] if codec["kind"] == "audio"]
    room.join("B", "Bob", ortc.parse_rtp_capabilities(recorded))
    produce(room, "A", "video")
    produce(room, "A", "mic", 2)
    assert consume_all(room) == ["B-mic"]


def test_a_refused_consumer_is_not_offered_again(room: Room) -> None:
    join_both(room)
    produce(room, "A", "video")
    consume_all(room)
    assert room.remove_consumer("B-video", refused=True).closed_consumers == ("B-video",)
    assert consume_all(room) == []
    room.join("B", "Bob", CLIENT)
    assert consume_all(room) == ["B-video"]
    assert room.remove_consumer("B-video").closed_consumers == ("B-video",)
    assert room.remove_consumer("B-video") == Outcome()
    assert consume_all(room) == ["B-video"]


def test_pause_and_close_a_producer(room: Room) -> None:
    join_both(room)
    produce(room, "A", "video")
    consume_all(room)
    paused = notice("B", "consumerPaused", {"consumerId": "B-video"})
    resumed = notice("B", "consumerResumed", {"consumerId": "B-video"})
    closed = notice("B", "consumerClosed", {"consumerId": "B-video"})
    assert room.pause_producer("A", "video", True) == Outcome(after=(paused,))
    assert room.pause_producer("A", "video", True) == Outcome()
    assert room.pause_producer("A", "video", False) == Outcome(after=(resumed,))
    assert room.close_producer("A", "video") == Outcome(
        after=(closed,), closed_producers=("video",), closed_consumers=("B-video",)
    )
    with pytest.raises(NotFound):
        room.close_producer("A", "video")


def test_wishes_of_viewers(room: Room) -> None:
    join_both(room)
    produce(room, "A", "cam")
    produce(room, "A", "screen", which=0, source="screen")
    cam, screen = room.producers.values()
    assert (len(cam.wishes), len(screen.wishes)) == (2, 1)
    assert cam.highest_wanted() is None
    assert consume_all(room) == ["B-cam", "B-screen"]
    consumer = room.own_consumer("B", "B-cam")
    assert (consumer.priority, room.own_consumer("B", "B-screen").priority) == (1, 100)
    assert cam.highest_wanted() == 1
    assert screen.highest_wanted() == 0
    assert room.wishes_changed == {"cam": cam, "screen": screen}
    room.wishes_changed.clear()
    for wish, wanted in ((0, 0), (1, 1), (255, 1)):
        assert room.prefer_layers("B", "B-cam", Layers(wish)) == Outcome()
        assert cam.highest_wanted() == wanted
    assert room.wishes_changed == {"cam": cam}
    room.pause_consumer("B", "B-cam", True)
    room.prefer_layers("B", "B-cam", Layers(1))
    assert cam.highest_wanted() is None
    room.pause_consumer("B", "B-cam", False)
    assert cam.highest_wanted() == 1
    assert room.prioritize("B", "B-cam", 7) == Outcome()
    assert consumer.priority == 7
    for verb, wish in ((room.prefer_layers, Layers(0)), (room.prioritize, 9)):
        with pytest.raises(NotFound):
            verb("A", "B-cam", wish)  # type: ignore[operator]
    assert (consumer.preferred, consumer.priority) == (Layers(1), 7)
    room.remove_consumer("B-cam", refused=True)
    assert cam.highest_wanted() is None
    room.close_producer("A", "cam")
    assert "cam" not in room.wishes_changed


def test_who_loses_publisher_is_silent_until_getting_it_back(room: Room) -> None:
    join_both(room)
    produce(room, "B", "mic", 2)
    produce(room, "B", "video")
    produce(room, "A", "other")
    consume_all(room)
    assert len(room.pause_producer("B", "mic", True).after) == 1

    def told(method: str) -> tuple[Notice, ...]:
        return (notice("A", method, {"consumerId": "A-video"}),)

    lost = room.remove_role("A", "B", Role.PUBLISHER)
    assert lost == Outcome(before=(role_notice(1),), after=told("consumerPaused"))
    assert [p.paused for p in room.producers.values()] == [True, True, False]
    # Pauses that B requests meanwhile take effect afterwards.
    assert room.pause_producer("B", "video", False) == Outcome()
    assert room.pause_producer("B", "mic", False) == Outcome()
    assert room.pause_producer("B", "mic", True) == Outcome()
    back = room.add_role("A", "B", Role.PUBLISHER)
    assert back == Outcome(before=(role_notice(3),), after=told("consumerResumed"))
    assert [p.paused for p in room.producers.values()] == [True, False, False]
    # A client may close its stream meanwhile.
    room.remove_role("A", "B", Role.PUBLISHER)
    assert room.close_producer("B", "video").closed_producers == ("video",)


def test_streams_belong_to_their_peer(room: Room) -> None:
    join_both(room)
    produce(room, "A", "video")
    consume_all(room)
    with pytest.raises(NotFound):
        room.pause_producer("B", "video", True)
    with pytest.raises(NotFound):
        room.close_producer("B", "video")
    with pytest.raises(NotFound):
        room.pause_consumer("A", "B-video", True)
    assert room.pause_consumer("B", "B-video", True) == Outcome()
    assert room.consumers["B-video"].paused


def test_only_publishers_produce_and_not_without_end(room: Room) -> None:
    room.limits = RoomLimits(producers_per_peer=2)
    produce(room, "B", "one")
    produce(room, "B", "two")
    with pytest.raises(LimitExceeded):
        produce(room, "B", "three")
    room.remove_role("A", "B", Role.PUBLISHER)
    room.close_producer("B", "two")
    with pytest.raises(Forbidden):
        produce(room, "B", "three")
    assert list(room.producers) == ["one"]


def test_a_peer_gets_so_many_streams_and_others_when_those_end(room: Room) -> None:
    room.limits = RoomLimits(consumers_per_peer=2)
    join_both(room)
    for name in ("one", "two", "three", "four"):
        produce(room, "A", name)
    produce(room, "B", "own")
    assert sorted(consume_all(room)) == ["A-own", "B-one", "B-two"]
    assert consume_all(room) == []
    room.close_producer("A", "one")
    assert consume_all(room) == ["B-three"]
    room.remove_consumer("B-two")
    assert consume_all(room) == ["B-two"]
    room.remove_consumer("B-two", refused=True)
    room.close_producer("A", "three")
    assert consume_all(room) == ["B-four"]


def test_a_consumer_of_what_has_gone(room: Room) -> None:
    with pytest.raises(NotFound):
        room.add_consumer("x", "A", "gone", "0", new_ssrc)


def test_a_room_is_full_one_day() -> None:
    room = Room("room", 0, RoomLimits(peers=1))
    room.add_peer("A", OWNER, "secret-a")
    with pytest.raises(LimitExceeded):
        room.add_peer("B", OWNER, "secret-b")
