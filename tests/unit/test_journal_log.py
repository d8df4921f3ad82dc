"""The append log on a folder in memory: what it writes and when, what it does on a full disk, and
what a killed process leaves.
"""

import logging
from collections.abc import Callable

import attrs
import pytest
from support.fake_folder import Disk, FakeFolder

from meet_trio.journal.format import HEADER_SIZE, MAX_KEY, MAX_PAYLOAD, parse
from meet_trio.journal.log import (
    FLOOR,
    NAME,
    RETRY,
    RETRY_COMPACTION,
    SLICE_BYTES,
    SLICE_ENTRIES,
    StateLog,
)
from meet_trio.journal.settings import StateSettings

BOOT = bytes(range(16))
SETTINGS = StateSettings()
SOON = SETTINGS.wipe_within


def open_log(folder: FakeFolder, settings: StateSettings = SETTINGS) -> StateLog:
    return StateLog(folder, settings, BOOT, 0.0)


def entries_of(disk: Disk) -> dict[str, bytes]:
    return parse(disk[NAME]).entries


def compact(log: StateLog, now: float) -> int:
    """Returns the number of slices."""
    slices = 0
    while log.compact(now):
        slices += 1
    return slices


def fill(log: StateLog, count: int, size: int = 100) -> dict[str, bytes]:
    wanted = {f"consumer/{n}": bytes([n % 256]) * size for n in range(count)}
    for key, payload in wanted.items():
        log.put(key, payload)
    log.flush(0.0)
    return wanted


def test_a_turn_is_one_write() -> None:
    folder = FakeFolder()
    log = open_log(folder)
    folder.calls.clear()
    folder.bytes_written = 0
    log.put("room/1", b"early")
    log.put("peer/1", b"peer")
    log.put("room/1", b"late")
    log.put("peer/2", b"gone before it was written")
    log.drop("peer/2")
    log.drop("peer/3")
    assert folder.calls == []
    log.flush(1.0)
    assert folder.calls == ["write_at"]
    assert entries_of(folder.disk) == {"room/1": b"late", "peer/1": b"peer"}
    assert folder.bytes_written == 2 * 30 + len("room/1late") + len("peer/1peer")
    log.flush(2.0)
    assert folder.calls == ["write_at"]
    log.drop("peer/1")
    log.flush(3.0)
    assert entries_of(folder.disk) == {"room/1": b"late"}
    log.drop("room/1")
    log.put("room/1", b"again")
    log.flush(3.0)
    assert entries_of(folder.disk) == {"room/1": b"again"}
    assert log.unwritten == 0
    log.close()
    assert folder.open_descriptors == 0


def test_what_is_too_long_is_refused_and_changes_nothing() -> None:
    folder = FakeFolder()
    log = open_log(folder)
    log.put("k" * MAX_KEY, bytes(MAX_PAYLOAD))
    for key, payload in (
        ("", b""),
        ("k" * MAX_KEY + "k", b""),
        ("ü" * 128, b""),
        ("k" * MAX_KEY, bytes(MAX_PAYLOAD + 1)),
    ):
        with pytest.raises(ValueError, match="no entry of a log"):
            log.put(key, payload)
    log.flush(1.0)
    kept = parse(folder.disk[NAME])
    assert kept.entries == {"k" * MAX_KEY: bytes(MAX_PAYLOAD)}
    assert kept.damaged == []


def test_the_log_says_until_when_its_process_lived() -> None:
    folder = FakeFolder(remembers=True)
    log = open_log(folder)
    assert parse(folder.disk[NAME]).beat == 0.0
    for now in (1.0, 2.0, 3.0):
        log.beat(now)
        assert parse(folder.disk[NAME]).beat == now
    fill(log, 3)
    log.drop("consumer/1")
    log.flush(4.0)
    compact(log, 4.0 + SOON)
    assert parse(folder.disk[NAME]).beat == 4.0 + SOON
    folder.left.clear()
    log.beat(50.0)  # torn: the one before counts
    assert {parse(disk[NAME]).beat for disk in folder.left} == {4.0 + SOON, 50.0}
    log.beat(51.0)
    assert parse(folder.disk[NAME]).beat == 51.0
    assert parse(folder.disk[NAME]).boot == BOOT


def test_marks_differ_from_file_to_file() -> None:
    marks = set()
    for _ in range(3):
        folder = FakeFolder()
        open_log(folder)
        marks.add(folder.disk[NAME][32:40])
    assert len(marks) == 3


class TestANewFile:
    def test_dead_bytes_bring_it(self) -> None:
        folder = FakeFolder()
        log = open_log(folder)
        fill(log, 10)
        rounds = 0
        while not log.compact(0.0):
            rounds += 1
            log.put("consumer/0", b"x" * 10_000)
            log.flush(0.0)
            assert log.size < FLOOR + 40_000
        assert log.size > FLOOR
        assert rounds > 100
        compact(log, 0.0)
        assert log.size == log.live_size == len(folder.disk[NAME])
        assert entries_of(folder.disk)["consumer/0"] == b"x" * 10_000
        assert set(folder.disk) == {NAME}

    def test_many_live_bytes_put_it_off(self) -> None:
        """Its work is at most as much as that of the writes which made it due."""
        folder = FakeFolder()
        log = open_log(folder)
        fill(log, 300, size=10_000)
        while not log.compact(0.0):
            log.put("consumer/0", b"x" * 10_000)
            log.flush(0.0)
        assert log.size > 2 * log.live_size > 5 * FLOOR

    def test_what_was_dropped_is_gone_in_time(self) -> None:
        folder = FakeFolder(remembers=True)
        log = open_log(folder)
        log.put("transport/1", b"SECRET")
        wanted = fill(log, 3)
        log.drop("transport/1")
        log.flush(10.0)
        log.drop("consumer/2")
        log.flush(20.0)  # a later end does not put the first one off
        del wanted["consumer/2"]
        assert compact(log, 10.0 + SOON - 0.1) == 0
        assert b"SECRET" in folder.disk[NAME]
        folder.left.clear()
        assert compact(log, 10.0 + SOON) > 0
        assert set(folder.disk) == {NAME}
        assert b"SECRET" not in folder.disk[NAME]
        assert folder.unwiped == []
        assert any("log.old" in disk for disk in folder.left)
        assert entries_of(folder.disk) == wanted
        assert compact(log, 1000.0) == 0  # nothing is left to be wiped
        assert folder.open_descriptors == 1

    def test_what_is_replaced_brings_none(self) -> None:
        folder = FakeFolder()
        log = open_log(folder)
        fill(log, 3)
        fill(log, 3)
        assert compact(log, 1000.0) == 0

    @pytest.mark.parametrize("size", [10, 1000, 100_000])
    def test_its_slices_are_short(self, size: int) -> None:
        folder = FakeFolder()
        log = open_log(folder)
        wanted = fill(log, min(200, 2_000_000 // size), size=size)
        log.drop("consumer/0")
        log.flush(0.0)
        del wanted["consumer/0"]
        slices, wipes, more = [], [], True
        while more:
            before, wiping = folder.bytes_written, "log.old" in folder.disk
            more = log.compact(SOON)
            (wipes if wiping else slices).append(folder.bytes_written - before)
        assert max(slices) <= SLICE_BYTES + size + SLICE_ENTRIES * 50
        assert max(wipes) <= 2**18
        assert len(slices) > 3
        assert entries_of(folder.disk) == wanted

    def test_it_ends_whatever_changes_meanwhile(self) -> None:
        """Each turn changes more than a slice has."""
        folder = FakeFolder()
        log = open_log(folder)
        wanted = fill(log, 1000)
        log.drop("consumer/999")
        log.flush(0.0)
        del wanted["consumer/999"]
        turns = 0
        while "log.old" not in folder.disk:
            log.compact(SOON)
            turns += 1
            assert turns < 30
            for n in range(3 * SLICE_ENTRIES):
                wanted[f"consumer/{n}"] = b"%d" % turns * 2000
                log.put(f"consumer/{n}", wanted[f"consumer/{n}"])
            log.flush(SOON)
            assert entries_of(folder.disk) == wanted
        assert turns > 5
        compact(log, SOON)
        assert entries_of(folder.disk) == wanted
        assert set(folder.disk) == {NAME}

    def test_all_that_ends_meanwhile_is_not_in_it(self) -> None:
        folder = FakeFolder()
        log = open_log(folder)
        fill(log, 100)
        log.drop("consumer/99")
        log.flush(0.0)
        for _ in range(2):
            assert log.compact(SOON)  # begins, and copies a slice
        for n in range(100):
            log.drop(f"consumer/{n}")
        log.put("new", b"and gone")
        log.drop("new")
        log.flush(SOON)
        compact(log, SOON)
        assert parse(folder.disk[NAME]).entries == {}
        compact(log, 2 * SOON)  # wipes the slice that was copied
        assert folder.disk == {NAME: folder.disk[NAME][:HEADER_SIZE]}

    def test_one_that_does_not_fit_is_given_up(self) -> None:
        folder = FakeFolder()
        log = open_log(folder)
        wanted = fill(log, 1000)
        log.drop("consumer/0")
        log.flush(0.0)
        del wanted["consumer/0"]
        folder.room = 2 * len(folder.disk[NAME]) - 20_000
        assert compact(log, SOON) > 10
        assert entries_of(folder.disk) == wanted
        assert set(folder.disk) == {NAME}
        assert folder.unwiped == []
        calls = len(folder.calls)
        assert compact(log, SOON + RETRY_COMPACTION - 1) == 0
        assert len(folder.calls) == calls
        folder.room = 2**40
        assert compact(log, SOON + RETRY_COMPACTION) > 10
        assert entries_of(folder.disk) == wanted
        assert log.size == log.live_size
        assert folder.open_descriptors == 1

    def test_one_for_dead_bytes_is_not_tried_in_vain_all_the_time(self) -> None:
        folder = FakeFolder()
        log = open_log(folder)
        fill(log, 100, size=10_000)
        for n in range(120):
            fill(log, 1, size=20_000 + n)
        folder.room = len(folder.disk[NAME]) + 200_000
        assert compact(log, 1.0) > 3
        calls = len(folder.calls)
        assert compact(log, RETRY_COMPACTION) == 0
        assert len(folder.calls) == calls
        assert compact(log, 1.0 + RETRY_COMPACTION) > 3


class TestTrouble:
    def test_a_full_disk(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        folder = FakeFolder()
        log = open_log(folder)
        wanted = fill(log, 10)
        kept = dict(wanted)
        folder.room = len(folder.disk[NAME]) + 50
        for now in range(1, 20):
            for n in range(5, 15):
                wanted[f"consumer/{n}"] = b"%d" % now * 20
                log.put(f"consumer/{n}", wanted[f"consumer/{n}"])
            log.put(f"brief/{now}", b"x")
            log.flush(float(now))
            log.drop(f"brief/{now}")
            log.drop("consumer/0")
            wanted.pop("consumer/0", None)
            log.flush(now + 0.1)
            log.beat(now + 0.2)  # which works, and is not what was wanted
            # the part of a turn that has fitted is cut off
            assert entries_of(folder.disk) == kept
            assert parse(folder.disk[NAME]).damaged == []
            assert log.unwritten == 11  # what lives, and what was dropped of what is written
        assert [record.getMessage() for record in caplog.records] == [
            "the state of calls is not kept: No space left on device"
        ]
        folder.room = 2**40
        log.flush(20.0)
        log.flush(20.0)
        assert entries_of(folder.disk) == wanted
        assert len(caplog.records) == 2
        assert caplog.records[1].getMessage() == "the state of calls is kept again"

    def test_it_catches_up_in_short_turns(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        folder = FakeFolder()
        log = open_log(folder)
        kept = fill(log, 10)
        folder.room = len(folder.disk[NAME])
        wanted = dict(kept)
        for n in range(1000):
            log.put(f"consumer/{n}", b"late")
            wanted[f"consumer/{n}"] = b"late"
            log.flush(1.0)
        folder.room = 2**40
        turns = 0
        while log.flush(5.0):
            turns += 1
            assert entries_of(folder.disk) == kept  # if it is killed now
            assert len(caplog.records) == 1
            log.put(f"consumer/{turns % 3}", b"%d" % turns)
            wanted[f"consumer/{turns % 3}"] = b"%d" % turns
            if turns == 5:
                for n in range(500, 1000):
                    log.drop(f"consumer/{n}")
                    del wanted[f"consumer/{n}"]
        assert turns >= 5
        assert len(caplog.records) == 2
        assert entries_of(folder.disk) == wanted
        assert parse(folder.disk[NAME]).damaged == []

    def test_a_turn_of_which_the_rest_is_gone_has_an_end(self) -> None:
        folder = FakeFolder(room=HEADER_SIZE)
        log = open_log(folder)
        for n in range(100):
            log.put(f"consumer/{n}", b"x")
            log.flush(1.0)
        folder.room = 2**40
        assert log.flush(5.0)
        for n in range(SLICE_ENTRIES, 100):
            log.drop(f"consumer/{n}")
        assert entries_of(folder.disk) == {}
        assert not log.flush(5.0)
        kept = parse(folder.disk[NAME])
        assert kept.entries == {f"consumer/{n}": b"x" for n in range(SLICE_ENTRIES)}
        assert kept.damaged == []

    def test_it_is_tried_again_after_a_while(self) -> None:
        folder = FakeFolder(room=HEADER_SIZE)
        log = open_log(folder)
        log.put("room/1", b"x")
        log.flush(5.0)
        calls = len(folder.calls)
        log.flush(5.0 + RETRY - 0.1)
        assert len(folder.calls) == calls
        log.flush(5.0 + RETRY)
        assert len(folder.calls) > calls

    def test_the_log_has_a_size(self, caplog: pytest.LogCaptureFixture) -> None:
        folder = FakeFolder(remembers=True)
        log = open_log(folder, StateSettings(max_size=2**20))
        wanted = fill(log, 100, size=10_000)
        log.put("more", bytes(60_000))
        log.flush(1.0)
        assert entries_of(folder.disk) == wanted
        assert "it has reached state.max_size" in caplog.text
        for n in range(20):
            log.drop(f"consumer/{n}")
            del wanted[f"consumer/{n}"]
        # dropping makes room, as the new file shows
        log.flush(1.5)
        log.flush(3.0)
        while log.compact(3.0 + SOON):
            pass
        log.flush(4.0 + SOON)
        assert entries_of(folder.disk) == wanted | {"more": bytes(60_000)}
        assert max(len(disk[NAME]) for disk in folder.left) <= 2**20

    def test_a_tail_that_cannot_be_cut_off_is_cut_later(self) -> None:
        folder = FakeFolder()
        log = open_log(folder)
        wanted = fill(log, 3)
        folder.room = len(folder.disk[NAME]) + 40
        # the write that fits in part, the one that does not fit, the cut
        folder.fail_at = frozenset({len(folder.calls) + 3})
        log.put("long", b"x" * 1000)
        log.flush(1.0)
        assert len(folder.disk[NAME]) == folder.room
        assert entries_of(folder.disk) == wanted
        folder.room = 2**40
        log.drop("long")
        log.put("short", b"x")
        log.flush(3.0)
        kept = parse(folder.disk[NAME])
        assert kept.damaged == []
        assert kept.entries == wanted | {"short": b"x"}

    def test_a_beat_that_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        folder = FakeFolder()
        log = open_log(folder)
        folder.broken = True
        for now in (1.0, 2.0):
            log.beat(now)
        folder.broken = False
        log.beat(3.0)
        assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
        assert parse(folder.disk[NAME]).beat == 3.0

    def test_a_file_that_cannot_be_made(self) -> None:
        for folder in (FakeFolder(broken=True), FakeFolder(room=20)):
            with pytest.raises(OSError, match=r"Input/output error|No space left"):
                open_log(folder)
            assert folder.open_descriptors == 0
            assert folder.disk == {}


def lives(folder: FakeFolder, check: Callable[[dict[str, bytes]], None]) -> dict[str, bytes]:
    """The life of a log: writes, new files, ends. ``check`` gets the entries after each step."""
    log, wanted = open_log(folder), {}
    now = 0.0
    for step in range(16):
        now += 20.0
        for n in range(step, step + 30):
            if n % 3:
                wanted[f"consumer/{n % 50}"] = b"%d" % step * 50
                log.put(f"consumer/{n % 50}", wanted[f"consumer/{n % 50}"])
            else:
                wanted.pop(f"consumer/{n % 50}", None)
                log.drop(f"consumer/{n % 50}")
        log.flush(now)
        for _ in range(step % 4):
            log.compact(now)
        log.beat(now)
        check(wanted)
    folder.fail_at = frozenset()
    for change in (log.put, lambda key, _: log.drop(key)):
        change("last", b"")
        now += 2 * SOON
        log.flush(now)
    compact(log, now + SOON)
    log.close()
    assert folder.open_descriptors == 0
    return wanted


def test_any_call_may_fail() -> None:
    """Each once. Nothing is raised, what was kept before stays kept, and all is kept in the end."""
    counted = FakeFolder()
    lives(counted, lambda wanted: None)
    assert {"link", "rename", "remove", "create"} < set(counted.calls)
    for call in range(3, len(counted.calls)):  # 1 and 2 make the first file
        folder = FakeFolder(fail_at=frozenset({call}), remembers=True)
        check = _Check(folder)
        assert lives(folder, check) == entries_of(folder.disk), call
        assert set(folder.disk) == {NAME}, call
        if counted.calls[call - 1] != "write_at":  # that of zeros may have failed
            assert folder.unwiped == [], call


@attrs.define(eq=False)
class _Check:
    """Each moment has the state of one of the last turns: the one before may have failed."""

    folder: FakeFolder
    states: list[dict[str, bytes]] = attrs.field(factory=lambda: [{}])

    def __call__(self, wanted: dict[str, bytes]) -> None:
        self.states = [*self.states[-2:], dict(wanted)]
        logs = dict.fromkeys(disk.get(NAME, b"") for disk in self.folder.left)
        for data in logs:
            if len(data) >= HEADER_SIZE:
                assert parse(data).entries in self.states
        self.folder.left.clear()
