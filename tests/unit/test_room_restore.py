"""Records that do not fit together: what is left out, and that the rest is whole."""

from typing import Any

import attrs
import pytest
from support.kept_room import CLIENT, KNOWN, busy_room, records_of
from support.room_twins import observed

from meet_trio.errors import RecordError
from meet_trio.records import Record
from meet_trio.room import Room, RoomLimits, restore_room
from meet_trio.room import records as kinds


def without(records: list[Record], *key: str) -> list[Record]:
    rest = [record for record in records if record.key != key]
    assert len(rest) < len(records)
    return rest


def changed(records: list[Record], *key: str, **values: Any) -> list[Record]:
    """Those of ``records``, and a copy of one of them with other values."""
    (record,) = (record for record in records if record.key == key)
    return [*records, attrs.evolve(record, **values)]  # type: ignore[misc]


@pytest.fixture
def records() -> list[Record]:
    return records_of(busy_room())


def rest_of(records: list[Record]) -> tuple[Room, list[str]]:
    """A room of these records, which is whole in itself, and what was left out."""
    room, left_out = restore_room(records, 0.0, KNOWN.share)
    again, none = restore_room(records_of(room), 0.0, KNOWN.share)
    assert observed(again) == observed(room)
    assert none == []
    assert all(peer.refused <= room.producers.keys() for peer in room.peers.values())
    return room, [str(each) for each in left_out]


def test_a_peer_is_missing(records: list[Record]) -> None:
    whole, _ = rest_of(records)
    room, left_out = rest_of(without(records, "peer", "B"))
    assert [*room.peers] == ["A", "C"]
    own, gets = whole.peers["B"].producers, whole.peers["B"].consumers
    assert own
    assert gets
    for producer_id in own:
        assert f"producer/{producer_id}: its peer is missing" in left_out
        (refused,) = [p for p in whole.peers.values() if producer_id in p.refused] or [None]
        watched = whole.producers[producer_id].consumers.values()
        for consumer in watched:
            assert f"consumer/{consumer.id}: its producer is missing" in left_out
        if refused is not None:
            assert f"refusal/{refused.id}/{producer_id}: its producer is missing" in left_out
    for consumer in gets.values():
        assert f"consumer/{consumer.id}: its peer is missing" in left_out
    assert {c.peer_id for c in room.consumers.values()} == {"A"}


def test_who_refuses_is_missing(records: list[Record]) -> None:
    (refusal,) = (r for r in records if isinstance(r, kinds.RefusalRecord))
    _, left_out = rest_of(without(records, "peer", refusal.peer_id))
    assert f"refusal/{refusal.peer_id}/{refusal.producer_id}: its peer is missing" in left_out


def test_capabilities_are_missing(records: list[Record]) -> None:
    """The peers stay. What they received is not theirs any more."""
    room, left_out = rest_of(without(records, "capabilities", "room", CLIENT.name))
    assert [*room.peers] == ["A", "B", "C"]
    assert not room.consumers
    assert room.missing == 0
    assert (
        "peer/A: its capabilities are missing: it receives nothing before it joins again"
        in left_out
    )
    assert any(
        text.startswith("template/") and text.endswith(": its capabilities are missing")
        for text in left_out
    )
    assert any(
        text.startswith("consumer/") and text.endswith(": its template is missing")
        for text in left_out
    )


def test_a_template_is_missing(records: list[Record]) -> None:
    first = next(r for r in records if isinstance(r, kinds.TemplateRecord))
    room, left_out = rest_of(without(records, *first.key))
    assert left_out
    assert all(text.endswith(": its template is missing") for text in left_out)
    # they are offered again
    assert room.missing == len(left_out)


def test_the_producer_of_a_template_is_missing(records: list[Record]) -> None:
    first = next(r for r in records if isinstance(r, kinds.TemplateRecord))
    _, left_out = rest_of(without(records, "producer", first.producer_id))
    name = f"template/{first.producer_id}/{first.capabilities}"
    assert f"{name}: its producer is missing" in left_out


def a_consumer(records: list[Record], viewer: str = "B") -> kinds.ConsumerRecord:
    return next(
        r
        for r in records
        if isinstance(r, kinds.ConsumerRecord) and r.peer_id == viewer and r.rtx_ssrc is not None
    )


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"id": "x"}, "its peer has a consumer of this producer already"),
        ({"peer_id": "C"}, "a consumer with this id is there already"),
        ({"id": "x", "peer_id": "C", "mid": "99"}, "another stream of the room has its ssrc"),
        ({"id": "x", "peer_id": "C", "ssrc": 1, "rtx_ssrc": 1}, "another stream of the room has"),
        ({"id": "x", "peer_id": "C", "rtx_ssrc": 2}, "another stream of the room has its ssrc"),
        ({"id": "x", "peer_id": "C", "rtx_ssrc": None}, "its template has other streams"),
        ({"id": "x", "peer_id": "gone"}, "its peer is missing"),
        ({"id": "x", "producer_id": "gone"}, "its producer is missing"),
        ({"id": "x", "room_id": "other"}, "it is of another room"),
    ],
)
def test_a_consumer_that_cannot_be(records: list[Record], values: dict[str, Any], why: str) -> None:
    one = a_consumer(records)
    more = changed(records, *one.key, order=one.order + 1000, **values)
    whole, _ = rest_of(records)
    assert one.producer_id not in whole.peers["C"].producers
    room, (left_out,) = rest_of(more)
    assert why in left_out
    assert observed(room) == observed(whole)


def test_more_consumers_that_cannot_be(records: list[Record]) -> None:
    one = a_consumer(records)
    fresh = {"order": 10_000, "ssrc": 1, "rtx_ssrc": 2, "id": "x"}
    # the MID of another consumer of its peer
    first = without(records, *one.key)
    taken = next(r for r in first if isinstance(r, kinds.ConsumerRecord) and r.peer_id == "B").mid
    _, left_out = rest_of([*first, attrs.evolve(one, **fresh | {"mid": taken})])
    assert left_out == ["consumer/x: another consumer of its peer has its mid"]
    # its own producer
    owner = next(r for r in records if r.key == ("producer", one.producer_id))
    assert isinstance(owner, kinds.ProducerRecord)
    own = attrs.evolve(one, peer_id=owner.peer_id, **fresh)
    assert rest_of([*records, own])[1] == ["consumer/x: its producer is the peer's own"]
    # a peer that has not connected
    (c,) = (r for r in records if r.key == ("peer", "C"))
    assert isinstance(c, kinds.PeerRecord)
    away = [*without(records, "peer", "C"), attrs.evolve(c, connected=False)]
    stream = attrs.evolve(one, peer_id="C", **fresh)
    assert rest_of([*away, stream])[1] == ["consumer/x: its peer has not connected"]
    # one that the peer has refused
    refusal = kinds.RefusalRecord("room", "B", one.producer_id)
    assert rest_of([*records, refusal])[1] == [f"consumer/{one.id}: its peer has refused it"]


def test_ids_are_there_once(records: list[Record]) -> None:
    whole, _ = rest_of(records)
    producer = next(r for r in records if isinstance(r, kinds.ProducerRecord))
    twice = changed(records, "peer", "A", token="other", order=1000)
    twice = changed(twice, *producer.key, order=1000, paused_by_peer=not producer.paused_by_peer)
    room, left_out = rest_of(twice)
    assert left_out == [
        "peer/A: a peer with this id is there already",
        f"producer/{producer.id}: a producer with this id is there already",
    ]
    assert observed(room) == observed(whole)


def test_limits_are_those_that_the_room_began_with(records: list[Record]) -> None:
    whole, _ = rest_of(records)
    (head,) = (r for r in records if isinstance(r, kinds.RoomRecord))
    most = max(len(peer.consumers) for peer in whole.peers.values())

    def rest(**limits: int) -> tuple[Room, list[str]]:
        other = attrs.evolve(head, limits=RoomLimits(**limits))
        return rest_of([other, *without(records, "room", "room")])

    room, left_out = rest(peers=2)
    assert [*room.peers] == ["A", "B"]
    assert "peer/C: the room has 2 peers already" in left_out
    room, left_out = rest(producers_per_peer=1)
    assert [len(peer.producers) for peer in room.peers.values()] == [1, 1, 1]
    assert any("its peer has 1 producers already" in text for text in left_out)
    room, left_out = rest(consumers_per_peer=most - 1)
    assert max(len(peer.consumers) for peer in room.peers.values()) == most - 1
    assert any(f"its peer has {most - 1} consumers already" in text for text in left_out)
    assert room.limits.consumers_per_peer == most - 1


def test_the_room_itself_is_missing(records: list[Record]) -> None:
    with pytest.raises(RecordError, match="one record of this kind, there are 0"):
        rest_of(without(records, "room", "room"))
    with pytest.raises(RecordError, match="one record of this kind, there are 2"):
        rest_of(changed(records, "room", "room", id="other"))
