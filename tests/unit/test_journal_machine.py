"""A log lives at random, beside a dict. Whenever its process is killed, at each system call and in
the middle of each write, the next process reads the dict as it was at the end of some turn, and
nothing older than the last one that was written.
"""

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from support.fake_folder import Disk, FakeFolder

from meet_trio.journal import log as log_module
from meet_trio.journal.format import parse
from meet_trio.journal.log import NAME, StateLog
from meet_trio.journal.settings import StateSettings

SETTINGS = StateSettings(max_size=2**20)
BOOT = bytes(16)

keys = st.integers(0, 9).map("key/{}".format)
payloads = st.integers(0, 3000).map(lambda size: b"x" * size)


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.wanted: dict[str, bytes] = {}
        self.now = 0.0
        self.begin({})

    def begin(self, entries: dict[str, bytes]) -> None:
        """A process starts, and puts what it has read from the one before."""
        self.folder = FakeFolder(remembers=True)
        self.log = StateLog(self.folder, SETTINGS, BOOT, self.now)
        for key, payload in entries.items():
            self.log.put(key, payload)
        self.log.flush(self.now)
        assert parse(self.folder.disk[NAME]).entries == entries
        self.folder.left.clear()
        self.kept = dict(entries)
        self.may_fail = self.has_failed = False

    def check(self) -> None:
        """What was on the disk since the last check, moment by moment, was the state of before,
        and then the present one.
        """
        now_kept = False
        for disk in (*self.folder.left, self.folder.disk):
            found = parse(disk[NAME]).entries
            now_kept = now_kept or found != self.kept
            assert found == (self.wanted if now_kept else self.kept)
        if now_kept:
            self.kept = dict(self.wanted)
        self.folder.left.clear()

    @rule(key=keys, payload=payloads)
    def put(self, key: str, payload: bytes) -> None:
        self.log.put(key, payload)
        self.wanted[key] = payload
        assert not self.folder.left

    @rule(key=keys)
    def drop(self, key: str) -> None:
        self.log.drop(key)
        self.wanted.pop(key, None)
        assert not self.folder.left

    @rule()
    def flush_once(self) -> None:
        """After trouble this is a slice."""
        self.log.flush(self.now)
        self.check()

    @rule()
    def flush(self) -> None:
        while self.log.flush(self.now):
            self.check()
        self.check()
        if not self.may_fail:
            assert self.kept == self.wanted
            assert self.log.unwritten == 0

    @rule(passed=st.sampled_from([0.0, 1.0, 40.0]), slices=st.integers(1, 9))
    def compact(self, passed: float, slices: int) -> None:
        self.now += passed
        for _ in range(slices):
            self.log.compact(self.now)
            self.check()

    @rule()
    def beat(self) -> None:
        self.now += 1
        self.log.beat(self.now)
        self.check()
        if not self.may_fail:
            assert parse(self.folder.disk[NAME]).beat == self.now

    @rule(room=st.integers(0, 5000))
    def fill_the_disk(self, room: int) -> None:
        self.folder.room = sum(map(len, self.folder.disk.values())) + room
        self.may_fail = True

    @rule(calls=st.sets(st.integers(1, 6)))
    def break_calls(self, calls: set[int]) -> None:
        self.folder.fail_at = frozenset(len(self.folder.calls) + n for n in calls)
        self.may_fail = self.has_failed = True

    @precondition(lambda self: self.may_fail)
    @rule()
    def mend(self) -> None:
        self.folder.room = 2**40
        self.folder.fail_at = frozenset()
        self.now += 20
        self.may_fail = False
        self.flush()

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """In the middle of a write, and the next process goes on."""
        self.log.flush(self.now)
        self.log.compact(self.now)
        moments: list[Disk] = [*self.folder.left, self.folder.disk]
        self.check()
        kept = parse(data.draw(st.sampled_from(moments))[NAME])
        self.log.close()
        self.wanted = dict(kept.entries)
        self.begin(kept.entries)

    def teardown(self) -> None:
        self.mend()
        self.put("last", b"")
        self.flush()
        self.drop("last")
        self.flush()
        self.now += 100
        while self.log.compact(self.now):
            self.check()
        assert self.kept == self.wanted
        assert set(self.folder.disk) == {NAME}
        assert self.log.size == self.log.live_size
        assert self.has_failed or not self.folder.unwiped
        self.log.close()
        assert self.folder.open_descriptors == 0


class TestLife(Life.TestCase):
    """Slices are small, so that even these few entries take several."""

    def setUp(self) -> None:
        patch = pytest.MonkeyPatch()
        self.addCleanup(patch.undo)
        patch.setattr(log_module, "SLICE_ENTRIES", 2)
