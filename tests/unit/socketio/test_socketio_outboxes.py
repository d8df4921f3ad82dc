"""Limits on the outboxes of a server together."""

import attrs

from meet_trio.socketio.outboxes import Outboxes
from meet_trio.socketio.packet import EncodedPacket, Packet, PacketType

SIZE = 10_000
WORTH = SIZE + 1 + 256  # with its type, and the memory that Python adds


def message() -> EncodedPacket:
    return EncodedPacket(Packet(PacketType.MESSAGE, "x" * SIZE))


@attrs.define(eq=False)
class Outbox:
    """Holds the messages it is given."""

    outboxes: Outboxes
    held: list[EncodedPacket] = attrs.field(factory=list)
    ended: bool = False
    looked_at: int = 0

    def put(self, *messages: EncodedPacket) -> None:
        for one in messages:
            one.count_in(self.outboxes.memory)
            self.held.append(one)
        self.outboxes.check()

    @property
    def outbox_bytes(self) -> int:
        self.looked_at += 1
        return sum(len(one.octets) for one in self.held)

    def overflow(self) -> None:
        self.ended = True
        self.held.clear()
        self.outboxes.remove(self)


def several(outboxes: Outboxes, count: int) -> list[Outbox]:
    made = [Outbox(outboxes) for _ in range(count)]
    for one in made:
        outboxes.add(one)
    return made


def test_what_many_are_told_counts_once_and_as_long_as_anybody_has_it() -> None:
    outboxes = Outboxes(limit=2 * WORTH)
    made = several(outboxes, 100)
    news = message()
    for one in made:
        one.put(news)
    assert outboxes.memory.bytes == WORTH
    assert not any(one.ended for one in made)
    del news
    for one in made[1:]:
        one.held.clear()
    assert outboxes.memory.bytes == WORTH
    made[0].held.clear()
    assert outboxes.memory.bytes == 0


def test_those_that_hold_the_most_are_ended() -> None:
    outboxes = Outboxes(limit=100 * WORTH)
    made = several(outboxes, 10)
    for number, one in enumerate(made):
        one.put(*(message() for _ in range(2 * number)))  # 90 messages
    assert not any(one.ended for one in made)
    made[0].put(*(message() for _ in range(11)))
    # 101 - 18 is more than three quarters, and 16 fewer is not.
    assert [number for number, one in enumerate(made) if one.ended] == [8, 9]
    assert outboxes.memory.bytes == 67 * WORTH


def test_who_holds_less_than_an_equal_share_is_not_ended() -> None:
    outboxes = Outboxes(limit=10 * WORTH)
    made = several(outboxes, 10)
    elsewhere = [message() for _ in range(20)]  # written, and kept by a tracker
    for one in elsewhere:
        one.count_in(outboxes.memory)
    for one in made:
        one.put(message())
    assert outboxes.memory.bytes == 30 * WORTH
    assert not any(one.ended for one in made)


def test_the_largest_are_not_looked_for_at_each_message() -> None:
    outboxes = Outboxes(limit=10 * WORTH)
    elsewhere = [message() for _ in range(11)]
    for one in elsewhere:
        one.count_in(outboxes.memory)
    made = several(outboxes, 100)
    small = EncodedPacket(Packet(PacketType.MESSAGE, ""))
    for one in made * 10:
        one.put(small)
    assert sum(one.looked_at for one in made) <= 200
