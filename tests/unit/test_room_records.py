"""What is kept of a room: its records give an equal room, and a verb writes what it has changed.

``KeptMeeting`` of ``test_room_machine.py`` is the same for random meetings.
"""

import json
from typing import Any

import pytest
from support.kept_room import (
    CLIENT,
    KNOWN,
    OTHER,
    OWNER,
    REFERENCE,
    ROUTER,
    STREAMS,
    busy_room,
    records_of,
    written_and_read,
)
from support.room_twins import observed, restored, write

from meet_trio.ortc import KnownCapabilities
from meet_trio.records import Changes, Key, Record, key_text
from meet_trio.room import ROOM_RECORDS, Layers, Role, Room, restore_room
from meet_trio.room import records as kinds
from meet_trio.room.last_n import OVERLAP


def test_a_room_of_all_sorts_comes_back() -> None:
    room = busy_room()
    kept: dict[Key, bytes] = {}
    write(kept, room.take_changes())
    assert {key[0] for key in kept} == ROOM_RECORDS.keys()
    twin, left_out = restored(kept, KNOWN)
    assert left_out == []
    assert observed(twin) == observed(room)
    again: dict[Key, bytes] = {}
    write(again, twin.take_changes())
    assert again == kept


def test_clients_were_told_the_same_to_the_byte() -> None:
    room = busy_room()
    twin, _ = restore_room(written_and_read(records_of(room)), 0.0, KNOWN.share)
    for consumer_id, old in room.consumers.items():
        new = twin.consumers[consumer_id]
        told = [json.dumps(c.template.to_json(c.rtp.params)) for c in (old, new)]
        assert told[0] == told[1]
    assert len({consumer.producer_id for consumer in room.consumers.values()}) == len(STREAMS) - 1
    for producer_id, before in room.producers.items():
        after = twin.producers[producer_id]
        for of in ("params", "consumable"):
            texts = [json.dumps(getattr(p.rtp, of).to_json()) for p in (before, after)]
            assert texts[0] == texts[1]
        assert json.dumps(before.app_data) == json.dumps(after.app_data)
        assert before.rtp.payload_types == after.rtp.payload_types


def test_nothing_is_negotiated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another version of the server has negotiated stays: here it knew one more parameter, one
    more kind of feedback, and one more header extension.
    """
    read: list[Record] = []
    for record in records_of(busy_room()):
        data = json.loads(record.to_json())
        if isinstance(record, kinds.TemplateRecord):
            params = data["rtp"]["params"]
            params["codecs"][0]["parameters"]["x-new"] = "1;2"
            params["codecs"][0]["rtcpFeedback"].append({"type": "new", "parameter": "x"})
            params["headerExtensions"].append({"uri": "urn:new", "id": 77, "encrypt": True})
        read.append(type(record).from_json(json.dumps(data).encode()))
    negotiated: list[object] = []
    monkeypatch.setattr("meet_trio.room.templates.negotiate_consumer", negotiated.append)
    twin, left_out = restore_room(read, 0.0, KNOWN.share)
    assert left_out == []
    assert negotiated == []
    assert twin.consumers
    for consumer in twin.consumers.values():
        # viewers that come get the same
        assert twin.producers[consumer.producer_id].templates.get(CLIENT) is consumer.template
        told: Any = consumer.template.to_json(consumer.rtp.params)
        assert told["codecs"][0]["parameters"]["x-new"] == "1;2"
        assert told["codecs"][0]["rtcpFeedback"][-1] == {"type": "new", "parameter": "x"}
        assert told["headerExtensions"][-1]["id"] == 77


def test_equal_capabilities_are_one_object_again() -> None:
    room = busy_room()
    known = KnownCapabilities(ROUTER)
    twins = [restore_room(written_and_read(records_of(room)), 0.0, known.share)[0] for _ in "ab"]
    assert len({id(p.rtp_capabilities) for twin in twins for p in twin.peers.values()}) == 1
    assert known.parse(REFERENCE["clientRtpCapabilities"]) is twins[0].peers["A"].rtp_capabilities


def test_a_peer_does_not_repeat_its_capabilities() -> None:
    sizes: dict[str, list[int]] = {}
    for record in records_of(busy_room()):
        sizes.setdefault(record.KIND, []).append(len(record.to_json()))
    assert len(sizes["capabilities"]) == 1
    assert sizes["capabilities"][0] > 3 * max(sizes["peer"])
    assert max(sizes["peer"]) < 500
    assert max(sizes["consumer"]) < 300
    assert max(sizes["refusal"]) < 100


def test_a_verb_writes_what_it_has_changed_and_no_more() -> None:
    room = busy_room()
    room.take_changes()
    assert room.take_changes() == Changes()
    room.change_nickname("A", "Ann")
    room.raise_hand("A", True)
    assert [record.key for record in room.take_changes().records] == [("peer", "A")]
    room.change_nickname("A", "Ann")  # nothing changes
    room.chat("A", "hello")
    room.unsubscribe_speakers("C")
    assert room.take_changes() == Changes()
    viewer, producer = "A", "C-webcam-3"  # B gets it too, so its template stays
    room.remove_consumer(room.peers[viewer].consumers[producer].id, refused=True)
    changes = room.take_changes()
    assert [record.key for record in changes.records] == [("refusal", viewer, producer)]
    assert changes.removed == (("consumer", f"{viewer}-{producer}"),)
    room.join("A", None, None)
    changes = room.take_changes()
    assert [record.key for record in changes.records] == [("peer", "A")]
    assert {key[0] for key in changes.removed} == {"consumer", "refusal", "template"}


@pytest.mark.parametrize(
    ("verb", "arguments", "put", "removed"),
    [
        ("add_peer", ("D", Role(0), "token"), "peer/D", ""),
        ("connect", ("C",), "peer/C", ""),
        ("join", ("C", None, CLIENT), "peer/C", ""),
        ("join", ("A", None, CLIENT), "peer/A", "refusal/A/B-webcam-1 consumer/A template/B"),
        ("join", ("C", None, OTHER), "peer/C capabilities/room/OTHER", ""),
        ("leave", ("C",), "", "peer/C producer/C template/C consumer/A-C consumer/B-C"),
        ("change_nickname", ("A", "Ann"), "peer/A", ""),
        ("raise_hand", ("A", True), "peer/A", ""),
        ("add_role", ("A", "B", Role.MODERATOR), "peer/B", ""),
        ("remove_role", ("A", "B", Role.PUBLISHER), "peer/B", ""),
        ("change_language", ("A", "C", "fr"), "peer/C", ""),
        ("set_receiving", ("C", True), "peer/C", ""),
        ("pin_peers", ("A", ["C"]), "peer/A", ""),
        ("subscribe_speakers", ("C", True), "peer/C", ""),
        ("unsubscribe_speakers", ("A",), "peer/A", ""),
        ("set_last_n", ("A", 2), "last_n/room", ""),
        ("update_front", (["C"], 10.7), "last_n/room", ""),
        ("update_front", (["B", "A"], 11.5), "last_n/room", ""),  # somebody lingers no more
        ("update_front", (["B", "A"], 10.6), "", ""),
        ("settle", (9,), "consumer/B-A-webcam-0", ""),
        ("pause_producer", ("C", "C-webcam-3", True), "producer/C-webcam-3", ""),
        ("close_producer", ("B", "B-webcam-1"), "", "producer/B-webcam-1 refusal/A/B-webcam-1"),
        ("pause_consumer", ("B", "B-A-mic-2", True), "consumer/B-A-mic-2", ""),
        ("prefer_layers", ("B", "B-A-mic-2", Layers(0)), "consumer/B-A-mic-2", ""),
        ("prioritize", ("B", "B-A-mic-2", 3), "consumer/B-A-mic-2", ""),
        ("remove_consumer", ("B-A-mic-2",), "", "consumer/B-A-mic-2 template/A-mic-2"),
        ("refuse", ("C", "A-mic-2"), "refusal/C/A-mic-2", ""),
        ("close", (), "", "room/room last_n/room peer producer consumer refusal template cap"),
        ("chat", ("A", "hello"), "", ""),
    ],
)
def test_what_a_verb_writes(verb: str, arguments: tuple[Any, ...], put: str, removed: str) -> None:
    """``put`` and ``removed`` are how the keys begin."""
    room = busy_room()
    if verb == "settle":
        room.pin_peers("B", ())
    room.take_changes()
    before = {record.key for record in records_of(room)}
    getattr(room, verb)(*arguments)
    changes = room.take_changes()
    after = {record.key for record in records_of(room)} if not room.closed else set()
    for keys, begins in (([r.key for r in changes.records], put), (changes.removed, removed)):
        texts = {key_text(key).replace(OTHER.name, "OTHER") for key in keys}
        assert all(any(text.startswith(begin) for begin in begins.split()) for text in texts)
        assert all(any(text.startswith(begin) for text in texts) for begin in begins.split())
    assert set(changes.removed) == before - after
    assert after - before <= {record.key for record in changes.records}


def test_a_room_that_is_not_recorded_notes_nothing() -> None:
    room = Room("room", 0)
    room.add_peer("A", OWNER, "token")
    room.connect("A")
    room.join("A", "Ann", CLIENT)
    room.note_everything()
    assert room.take_changes() == Changes()
    room.leave("A")
    room.close()
    assert room.take_changes() == Changes()


def test_who_lingers_does_so_again() -> None:
    room = busy_room()
    assert room.last_n.deadline == 10.5 + OVERLAP
    twin, _ = restore_room(records_of(room), 99.0, KNOWN.share)
    assert twin.last_n.deadline == 99.0 + OVERLAP


def test_what_last_n_has_yet_to_settle_is_settled() -> None:
    room = busy_room()
    room.pin_peers("B", ())
    twin, _ = restore_room(records_of(room), 10.5, KNOWN.share)
    assert twin.unsettled == 1
    ((consumer,), outcome) = twin.settle(9)
    assert (consumer.id, consumer.held_back) == ("B-A-webcam-0", True)
    assert outcome == room.settle(9)[1]


def test_a_camera_that_is_paused_when_last_n_begins_is_held_back() -> None:
    """Or it would be forwarded beyond the N once it goes on, and a room that is made of the records
    would differ.
    """
    room = busy_room()
    room.set_last_n("A", None)
    room.update_front([], 20.0)
    room.settle(100)
    (camera,) = (p for p in room.producers.values() if p.peer_id == "C" and p.source == "webcam")
    room.pause_producer("C", camera.id, True)
    room.set_last_n("A", 0)
    room.update_front(["A", "B"], 21.0)
    room.settle(100)
    assert camera.consumers
    assert all(consumer.held_back for consumer in camera.consumers.values())
