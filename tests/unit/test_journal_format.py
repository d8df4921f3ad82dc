"""The bytes of a log: what was written is read, and of what is damaged what is whole."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio.journal import format as f
from meet_trio.journal.clock import UNKNOWN_BOOT, boot_id, boot_time

MARK = bytes.fromhex("9f3a0c51d2e78846")
BOOT = bytes(range(16))
NOW = 1234.5

Op = tuple[str, bytes | None]


def written(turns: Sequence[Sequence[Op]]) -> bytes:
    """A log of these turns. An operation without a payload drops its key."""
    data, sequence = [f.encode_header(MARK, BOOT, NOW)], 0
    for turn in turns:
        for n, (key, payload) in enumerate(turn, 1):
            data.append(f.encode_entry(MARK, sequence, key.encode(), payload, n == len(turn)))
            sequence += 1
    return b"".join(data)


def state_after(turns: Sequence[Sequence[Op]]) -> dict[str, bytes]:
    state: dict[str, bytes] = {}
    for turn in turns:
        for key, payload in turn:
            if payload is None:
                state.pop(key, None)
            else:
                state[key] = payload
    return state


def entries_at(data: bytes) -> list[int]:
    """Where the entries begin."""
    found, at = [], data.find(MARK, f.HEADER_SIZE)
    while at >= 0:
        found.append(at)
        at = data.find(MARK, at + 1)
    return found


FIFTY = [
    [(f"peer/{n}", b"%d" % n * (n % 7)), (f"room/{n % 5}", b"r%d" % n)]
    if n % 3
    else [(f"peer/{n - 3}", None), ("room/0", b"again")]
    for n in range(25)
]


def test_what_is_written_is_read() -> None:
    kept = f.parse(written(FIFTY))
    assert kept.entries == state_after(FIFTY)
    assert (kept.damaged, kept.beat, kept.boot) == ([], NOW, BOOT)


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
                st.none() | st.binary(max_size=40),
            ),
            min_size=1,
            max_size=4,
        ),
        max_size=12,
    )
)
def test_any_state_is_read(turns: list[list[Op]]) -> None:
    kept = f.parse(written(turns))
    assert (kept.entries, kept.damaged) == (state_after(turns), [])


def test_a_log_may_end_at_any_byte() -> None:
    """It has the state at the end of the last whole turn."""
    data = written(FIFTY)
    ends = [len(written(FIFTY[:n])) for n in range(len(FIFTY) + 1)]
    for size in range(len(data) + 1):
        kept = f.parse(data[:size])
        whole = sum(end <= size for end in ends) - 1
        assert kept.entries == (state_after(FIFTY[:whole]) if whole >= 0 else {}), size
        assert bool(kept.damaged) == (size not in ends), size
        assert kept.beat == (NOW if size >= f.HEADER_SIZE else None)


def test_any_bit_may_be_wrong() -> None:
    """It costs the entry that it is in and no other; in the header it costs nothing."""
    turns: list[list[Op]] = [[(f"key/{n}", b"payload %d" % n)] for n in range(6)]
    data = written(turns)
    starts = [*entries_at(data), len(data)]
    for bit in range(len(data) * 8):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        kept = f.parse(bytes(wrong))
        place = bit // 8
        expected = state_after(turns)
        if place >= f.HEADER_SIZE:
            hit = sum(start <= place for start in starts) - 1
            del expected[f"key/{hit}"]
            assert kept.damaged[0] == f"bytes {starts[hit]} to {starts[hit + 1]} are no whole entry"
            missing = ["1 entries are missing"] if hit < 5 else []  # who knows what came last?
            assert kept.damaged[1:] == missing
        elif place < 40:
            assert kept.damaged == ["the header is damaged"]
        else:
            assert kept.damaged == []
        assert kept.entries == expected, bit
        in_first_beat = 40 <= place < 52
        assert kept.beat == (None if in_first_beat else NOW)
        assert kept.boot == (UNKNOWN_BOOT if place < 40 else BOOT)


def test_one_of_two_beats_is_whole() -> None:
    data = bytearray(written(FIFTY))
    for count in range(1, 6):
        at, beat = f.beat_offset(count), f.encode_beat(MARK, NOW + count)
        for torn in range(len(beat)):
            data[at : at + torn] = beat[:torn]
            found = f.parse(bytes(data)).beat
            assert found is not None
            assert found >= NOW + count - 1
        data[at : at + len(beat)] = beat
        assert f.parse(bytes(data)).beat == NOW + count


def test_entries_may_be_in_any_order() -> None:
    data = written([[("a", b"1")], [("b", b"2")], [("a", b"3")], [("b", None)], [("c", b"4")]])
    starts = [*entries_at(data), len(data)]
    pieces = [data[a:b] for a, b in pairwise(starts)]
    for seed in range(30):
        random.Random(seed).shuffle(pieces)
        assert f.parse(data[: f.HEADER_SIZE] + b"".join(pieces)).entries == {"a": b"3", "c": b"4"}


def test_a_torn_turn_in_the_middle_is_read() -> None:
    """Only its end is damaged, and later turns are whole."""
    data = written([[("a", b"1"), ("b", b"2")], [("c", b"3")]])
    second = entries_at(data)[1]
    kept = f.parse(data[: second + 20] + b"\xff" + data[second + 21 :])
    assert kept.entries == {"a": b"1", "c": b"3"}
    assert kept.damaged[1:] == ["1 entries are missing"]


def test_many_damaged_places_are_counted() -> None:
    data = bytearray(written([[(f"key/{n}", b"x")] for n in range(100)]))
    for start in entries_at(data)[::2]:
        data[start + 20] ^= 1
    kept = f.parse(bytes(data))
    assert len(kept.entries) == 50
    assert len(kept.damaged) == 22
    assert kept.damaged[20:] == ["30 more places are no whole entry", "50 entries are missing"]


def test_a_client_cannot_write_an_entry() -> None:
    """Its text holds a whole entry, as it would be in a file whose mark the client has guessed.
    Were the entry around it damaged, it would be found, if marks were always the same.
    """
    forged = f.encode_entry(bytes(8), 99, b"peer/mallory", b"OWNER", True)
    data = bytearray(written([[("peer/mallory", b"GUEST")], [("chat", forged)]]))
    assert forged in data
    data[entries_at(data)[1] + 9] ^= 1
    kept = f.parse(bytes(data))
    assert kept.entries == {"peer/mallory": b"GUEST"}
    assert len(kept.damaged) == 1


def test_other_formats_are_refused_in_words() -> None:
    def of_version(version: int) -> list[str]:
        header = bytearray(written(FIFTY))
        header[8:12] = version.to_bytes(4, "little")
        header[12:16] = bytes(4)
        header[12:16] = f.crc32(bytes(header[:40])).to_bytes(4, "little")
        kept = f.parse(bytes(header))
        assert kept.entries == ({} if version != 1 else state_after(FIFTY))
        return kept.damaged

    assert of_version(1) == []
    assert of_version(2) == ["it is of a newer format: 2; this server reads 1"]
    assert of_version(0) == ["it is of an unknown format: 0; this server reads 1"]
    foreign = bytearray(written(FIFTY))
    foreign[:16] = b"foreign!" + foreign[8:12] + bytes(4)
    foreign[12:16] = f.crc32(bytes(foreign[:40])).to_bytes(4, "little")
    assert f.parse(bytes(foreign)).damaged == ["it is no log"]


@pytest.mark.parametrize("data", [b"", b"x", bytes(64), bytes(2**22), b"meet-log" * 1000])
def test_anything_else_is_no_log(data: bytes) -> None:
    kept = f.parse(data)
    assert (kept.entries, kept.beat) == ({}, None)
    assert kept.damaged in (["the header is cut off"], ["the header is damaged"])


@given(st.binary(max_size=400), st.integers(0, 300), st.integers(0, 300))
def test_rubbish_raises_nothing(rubbish: bytes, at: int, over: int) -> None:
    data = written(FIFTY[:4])
    kept = f.parse(data[:at] + rubbish + data[at + over :])
    assert all(payload in data + rubbish for payload in kept.entries.values())


def test_only_what_the_writer_writes_is_an_entry() -> None:
    """The checksums are right, and yet: unknown kinds, keys that are no text."""
    header = f.encode_header(MARK, BOOT, NOW)
    entry = f.encode_entry(MARK, 0, b"\xff", b"x", True)
    assert f.parse(header + entry).damaged == [f"bytes 64 to {64 + len(entry)} are no whole entry"]
    head = f._HEAD.pack(0, 3 | 0x80, 1, 1, f.crc32(b"kx"))
    entry = MARK + f._CRC.pack(f.crc32(head)) + head + b"kx"
    assert f.parse(header + entry).damaged == [f"bytes 64 to {64 + len(entry)} are no whole entry"]
    large = bytes(f.MAX_PAYLOAD + 1)
    assert f.parse(header + f.encode_entry(MARK, 0, b"k", large, True)).entries == {}
    assert f.parse(header + f.encode_entry(MARK, 0, b"k", large[1:], True)).entries != {}


def test_who_has_been_away_for_too_long_is_not_resumed() -> None:
    kept = f.parse(written(FIFTY))
    assert kept.too_old(NOW + 30, BOOT, 30) is None
    assert kept.too_old(NOW + 31, BOOT, 30) == "the server ended 31 s ago, more than 30 s"
    assert kept.too_old(NOW + 1, bytes(reversed(BOOT)), 30) is not None
    assert kept.too_old(NOW + 1, UNKNOWN_BOOT, 30) is None  # the unit hides it
    assert kept.too_old(NOW - 1, BOOT, 30) is not None
    without = f.KeptLog({}, [], None, BOOT)
    assert without.too_old(NOW, BOOT, 30) == "its age is unknown"


def test_the_time_of_the_machine() -> None:
    assert 0 < boot_time() <= boot_time()
    assert boot_id() == boot_id() != UNKNOWN_BOOT
    assert len(boot_id()) == 16
