"""The bytes that are read of a client, and how websocket frames are counted."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio.socketio.allowance import Allowance, FrameCounter
from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.settings import Settings


def frame(size: int, opcode: int = 1, *, masked: bool = True) -> bytes:
    """A client's frame; unmasked frames break the protocol."""
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, mask | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, mask | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, mask | 127, size)
    return head + bytes(4 if masked else 0) + b"\x89" * size


@given(
    st.lists(
        st.builds(
            frame,
            st.sampled_from([0, 1, 5, 125, 126, 300, 70_000]),
            st.sampled_from([1, 2, 9, 10]),
            masked=st.booleans(),
        ),
        max_size=8,
    ),
    st.lists(st.integers(1, 400), min_size=1),
)
def test_frames_are_counted_however_they_come(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frames)
    counter = FrameCounter()
    counted = at = turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)] if at < 2000 else 4096
        counted += counter.feed_untrusted(data[at : at + size])
        at, turn = at + size, turn + 1
    assert counted == len(frames)


def test_a_message_has_so_many_fragments() -> None:
    counter = FrameCounter()
    counter.feed_untrusted(frame(0))
    for _ in range(4096):
        counter.feed_untrusted(frame(0, 0) + frame(0, 9))
    counter.feed_untrusted(frame(0, 2))
    for _ in range(4096):
        counter.feed_untrusted(frame(0, 0))
    with pytest.raises(ProtocolError):
        counter.feed_untrusted(frame(0, 0))


def test_a_stranger_has_less() -> None:
    settings = Settings(
        read_rate=1000,
        read_burst=5000,
        message_cost=100,
        max_payload=1000,
        max_stranger_payload=10,
        stranger_read_rate=10,
        stranger_read_burst=500,
    )
    allowance = Allowance(settings, now=0)
    assert (allowance.max_payload, allowance.max_packets) == (10, 1)
    assert allowance.take(300, 2, now=0) == 0
    assert allowance.take(100, 0, now=1) == 9  # ten bytes are left of the past second
    allowance.trust(now=2)
    assert (allowance.max_payload, allowance.max_packets) == (1000, 4096)
    assert allowance.take(4900, 1, now=2) == 0
    allowance.trust(now=2)  # a second call does not start anew
    assert allowance.take(1000, 0, now=2) == 1
    assert allowance.take(0, 1, now=100) == 0


def test_a_stranger_never_has_more() -> None:
    allowance = Allowance(Settings(max_payload=5, max_stranger_payload=10), now=0)
    assert allowance.max_payload == 5
