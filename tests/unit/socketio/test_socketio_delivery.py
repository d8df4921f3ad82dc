"""Messages that the other side of a stream cannot have received."""

import attrs
import pytest

from meet_trio.socketio.delivery import DeliveryTracker


@attrs.define
class Wire:
    """A stream that has already sent a handshake of 100 bytes."""

    overhead: int = 0
    acknowledged: int = 100
    written: int = 100
    tells: bool = True

    def progress(self) -> tuple[int, int] | None:
        return (self.acknowledged, self.written) if self.tells else None


@pytest.mark.parametrize("overhead", [0, 22])
def test_what_is_acknowledged_whole_has_been_received(overhead: int) -> None:
    wire = Wire(overhead)
    tracker = DeliveryTracker(wire)
    for message in ("a", "b", None, "c"):
        tracker.write(10, [] if message is None else [(message, 10)])
    size = 10 + overhead
    for acknowledged, missing in (
        (0, ["a", "b", "c"]),
        (size - 1, ["a", "b", "c"]),
        (size, ["b", "c"]),
        (2 * size, ["c"]),
        (4 * size - 1, ["c"]),
    ):
        wire.acknowledged = 100 + acknowledged
        assert tracker.unreceived() == missing
    tracker.waiting = ["d"]
    assert tracker.unreceived() == ["c", "d"]
    tracker.write(10, [])
    assert tracker.waiting == ["d"]
    tracker.write(10, [("d", 10)])
    tracker.close()
    wire.acknowledged += 1000
    assert tracker.unreceived() == ["c", "d"]


@pytest.mark.parametrize(
    ("overhead", "acknowledged", "missing"),
    [
        (0, 9_999, "abc"),
        (0, 10_000, "bc"),
        (0, 20_000, "c"),
        (0, 30_000, ""),
        # A record that misses some bytes cannot be read at all.
        (22, 16_405, "abc"),
        (22, 16_406, "bc"),
        (22, 30_043, "bc"),
        (22, 30_044, ""),
    ],
)
def test_several_in_one_write(overhead: int, acknowledged: int, missing: str) -> None:
    wire = Wire(overhead)
    tracker = DeliveryTracker(wire)
    tracker.write(30_000, [("a", 10_000), ("b", 20_000), ("c", 30_000)])
    wire.acknowledged = 100 + acknowledged
    assert "".join(map(str, tracker.unreceived())) == missing


def test_a_tracker_does_not_grow() -> None:
    wire = Wire()
    tracker = DeliveryTracker(wire)
    for _ in range(1000):
        tracker.write(10, [("x", 10)])
        wire.acknowledged += 10
        assert len(tracker._ends) <= 33
    for _ in range(10_000):  # acknowledgements have stopped
        tracker.write(10, [("x", 10)])
    assert len(tracker.unreceived()) == 4096


def test_of_what_cannot_tell_nothing_is_kept() -> None:
    for stream in (object(), Wire(tells=False)):
        tracker = DeliveryTracker(stream)
        tracker.write(10, [("x", 10)])
        assert tracker.unreceived() == []
