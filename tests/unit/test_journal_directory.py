"""The state directory on the real file system: who may use it, which process's files count, and
that they are overwritten before they are gone.
"""

import fcntl
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from meet_trio.config import load
from meet_trio.errors import ConfigError
from meet_trio.journal import directory as directory_module
from meet_trio.journal.clock import UNKNOWN_BOOT, boot_id
from meet_trio.journal.directory import StateDirectory, open_state, server_name
from meet_trio.journal.folder import overwrite
from meet_trio.journal.log import NAME, StateLog, read_log
from meet_trio.journal.settings import StatePlace, StateSettings, default_place

SERVER = server_name("127.0.0.1", 12443)


@pytest.fixture
def base() -> Iterator[Path]:
    """A path in memory at which nothing is."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="meet-trio-test-") as name:
        yield Path(name) / "state"


def settings_of(base: Path, *, chosen: bool = True, allow_disk: bool = False) -> StateSettings:
    return StateSettings(dir=StatePlace(base, chosen), allow_disk=allow_disk)


def put(directory: StateDirectory, entries: Mapping[str, bytes]) -> None:
    log = StateLog(directory.current, StateSettings(), boot_id(), 1.0)
    for key, payload in entries.items():
        log.put(key, payload)
    log.flush(1.0)
    log.close()


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def refused(base: Path, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_state(settings_of(base), SERVER).__enter__()
    assert str(caught.value).startswith(f"state.dir: {base}")


def test_a_process_goes_on_where_the_one_before_ended(base: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for n in range(3):
        with open_state(settings_of(base), SERVER) as state:
            if n:
                assert read_log(state.before).entries == {"room/1": b"%d" % (n - 1)}
            else:
                assert state.before is None
            put(state, {"room/1": b"%d" % n})
            os.close(state.current.create("engine-0"))
            state.commit()
            state.wipe_before()
        assert names(base / SERVER) == {str(n + 1)}
    with open_state(settings_of(base), SERVER) as state:
        state.commit()
        state.remove()
    assert names(base) == set()
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_that_dies_while_it_resumes_has_changed_nothing(base: Path) -> None:
    with open_state(settings_of(base), SERVER) as state:
        put(state, {"room/1": b"whole"})
        state.commit()
    for _ in range(3):
        with open_state(settings_of(base), SERVER) as state:
            assert read_log(state.before).entries == {"room/1": b"whole"}
            put(state, {"room/1": b"half"})
    assert names(base / SERVER) == {"1", "4.new"}


def test_one_that_dies_before_it_has_wiped_counts(base: Path) -> None:
    for n in range(3):
        with open_state(settings_of(base), SERVER) as state:
            put(state, {"room/1": b"%d" % n})
            state.commit()
    with open_state(settings_of(base), SERVER) as state:
        assert read_log(state.before).entries == {"room/1": b"2"}
        assert names(base / SERVER) == {"3", "4.new"}


def test_files_are_overwritten_before_they_are_removed(base: Path) -> None:
    """A descriptor still shows what the last name's end has left."""
    with open_state(settings_of(base), SERVER) as state:
        put(state, {"transport/1": b"SECRET" * 100_000})
        held = [os.open(base / SERVER / "1.new" / NAME, os.O_RDONLY)]
        sparse = state.current.create("engine-0")
        os.pwrite(sparse, b"SECRET", 0)
        os.pwrite(sparse, b"SECRET", 5_000_000)
        os.ftruncate(sparse, 50_000_000)
        held.append(sparse)
        blocks = os.fstat(sparse).st_blocks
        state.commit()
    with open_state(settings_of(base), SERVER) as state:
        put(state, {})
        state.commit()
        state.wipe_before()
        put_again = state.current.create("engine-0")
        os.pwrite(put_again, b"SECRET", 0)
        held.append(put_again)
        state.remove()
    assert os.fstat(sparse).st_blocks == blocks  # holes took no memory
    for descriptor in held:
        assert os.fstat(descriptor).st_nlink == 0
        with open(descriptor, "rb") as file:
            assert not any(file.read())


def test_a_hole_is_no_data(base: Path) -> None:
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        file.truncate(10_000_000)
        overwrite(file.fileno())
        assert os.fstat(file.fileno()).st_blocks == 0


def test_nobody_else_can_read_it(base: Path) -> None:
    umask = os.umask(0)
    try:
        with open_state(settings_of(base), SERVER) as state:
            put(state, {"room/1": b"x"})
            os.close(state.current.create("engine-0"))
    finally:
        os.umask(umask)
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (base, *base.rglob("*"))}
    assert len(found) == 5
    assert {mode for path, mode in found.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in found.items() if path.is_file()} == {0o600}


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_others_may_not_write_beside_it(base: Path, mode: int) -> None:
    base.mkdir()
    base.chmod(mode)
    refused(base, rf"it is open to other users \(mode {mode:04o}\)$")
    base.chmod(0o750)  # as systemd makes it
    with open_state(settings_of(base), SERVER) as state:
        assert state is not None


@pytest.mark.parametrize("mode", [0o750, 0o710, 0o704, 0o1777])
def test_others_may_not_look_into_it(base: Path, mode: int) -> None:
    (base / SERVER).mkdir(parents=True)
    base.chmod(0o700)
    (base / SERVER).chmod(mode)
    refused(base, rf"{SERVER}: it is open to other users \(mode {mode:04o}\)$")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_it_is_ours(base: Path) -> None:
    base.mkdir(mode=0o700)
    os.chown(base, 65534, -1)
    refused(base, "it belongs to another user$")
    os.chown(base, 0, -1)
    (base / SERVER).mkdir(mode=0o700)
    os.chown(base / SERVER, 65534, -1)
    refused(base, f"{SERVER}: it belongs to another user$")
    os.chown(base / SERVER, 0, -1)
    with open_state(settings_of(base), SERVER) as state:
        put(state, {"room/1": b"x"})
        os.chown(state.current.path / NAME, 65534, -1)
        assert read_log(state.current).entries == {}


def test_symbolic_links_lead_nowhere(base: Path) -> None:
    elsewhere = base.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    precious = elsewhere / "precious"
    precious.write_text("precious")
    base.symlink_to(elsewhere)
    refused(base, "it is a symbolic link$")
    base.unlink()
    base.mkdir(mode=0o700)
    (base / SERVER).symlink_to(elsewhere)
    refused(base, f"{SERVER}: it is a symbolic link$")
    (base / SERVER).unlink()
    inner = base / SERVER / "1"
    inner.mkdir(parents=True, mode=0o700)
    (base / SERVER).chmod(0o700)
    (inner / NAME).symlink_to(precious)
    os.mkfifo(inner / "engine-0")
    (inner / "engine-1").mkdir()
    (base / SERVER / "2.new").symlink_to(elsewhere)
    with open_state(settings_of(base), SERVER) as state:
        assert "cannot be read" in read_log(state.before).damaged[0]
        with pytest.raises(OSError, match="no file of this user's"):
            state.before.open("engine-0")
        assert names(base / SERVER) == {"1", "3.new"}
        (state.current.path / NAME).symlink_to(precious)
        with pytest.raises(FileExistsError):
            put(state, {})
        state.commit()
        state.wipe_before()
    assert precious.read_text() == "precious"
    assert names(inner) == {"engine-1"}


def test_what_cannot_be_removed_is_told(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    (base / SERVER / "3" / "folder" / "inner").mkdir(parents=True)
    base.chmod(0o700)
    (base / SERVER).chmod(0o700)
    with open_state(settings_of(base), SERVER) as state:
        state.commit()
        state.wipe_before()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"old state is left: {base / SERVER / '3'}: ")


def test_two_servers_have_a_directory_each(base: Path) -> None:
    other = server_name("127.0.0.1", 12444)
    with (
        open_state(settings_of(base), SERVER) as one,
        open_state(settings_of(base), other) as two,
    ):
        put(one, {"room/1": b"one"})
        put(two, {"room/1": b"two"})
        one.commit()
        two.commit()
    with open_state(settings_of(base), SERVER) as one:
        assert read_log(one.before).entries == {"room/1": b"one"}
        one.remove()
    with open_state(settings_of(base), other) as two:
        assert read_log(two.before).entries == {"room/1": b"two"}


def test_two_processes_of_one_server_are_one_too_many(base: Path) -> None:
    with open_state(settings_of(base), SERVER) as state:
        put(state, {"room/1": b"x"})
        refused(base, f"{SERVER}: another server uses it$")
        assert names(base / SERVER) == {"1.new"}
    with open_state(settings_of(base), SERVER):
        pass


_DIES = """
import os, signal, sys
from meet_trio.journal.directory import open_state
from meet_trio.journal.settings import StatePlace, StateSettings
from pathlib import Path
with open_state(StateSettings(dir=StatePlace(Path(sys.argv[1]))), sys.argv[2]) as state:
    state.commit()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_lock_ends_with_its_process(base: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _DIES, base, SERVER], check=False)
    assert done.returncode == -9
    with open_state(settings_of(base), SERVER) as state:
        assert state.before is not None


def test_a_directory_that_is_removed_while_it_is_opened(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process before ends cleanly, between another one's ``open`` and its lock."""
    taken: list[int] = []

    def flock(descriptor: int, how: int) -> None:
        if not taken:
            os.rmdir(base / SERVER)
        taken.append(descriptor)

    monkeypatch.setattr(fcntl, "flock", flock)
    with open_state(settings_of(base), SERVER) as state:
        assert len(taken) == 2
        put(state, {"room/1": b"x"})
        state.commit()
        assert names(base / SERVER) == {"1"}


def test_it_must_be_in_memory(base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = os.stat(base.parent).st_dev
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(directory_module, "_MOUNTS", mounts)
    line = "36 35 {}:{} / /mnt rw,noatime master:1 - {} /dev/sda1 rw\n"
    others = line.format(98, 0, "tmpfs")
    for kind in ("ext4", "overlay"):
        mounts.write_text(others + line.format(os.major(device), os.minor(device), kind))
        refused(base, rf"it is on {kind}, and not in memory \(tmpfs\)$")
    mounts.write_text(others)
    refused(base, "it is on another file system, and not in memory")
    with open_state(settings_of(base, allow_disk=True), SERVER) as state:
        assert state is not None
    for kind in ("tmpfs", "ramfs"):
        mounts.write_text(others + line.format(os.major(device), os.minor(device), kind))
        with open_state(settings_of(base), SERVER) as state:
            assert state is not None


def test_the_default_one_may_be_missing(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    base.touch()
    with open_state(settings_of(base, chosen=False), SERVER) as state:
        assert state is None
    (record,) = caplog.records
    assert record.getMessage().startswith(f"a restart will end all calls: {base}: ")
    refused(base, "Not a directory$")
    refused(base / "inner", "Not a directory$")
    refused(base.parent / "none" / "inner", "No such file or directory$")
    with open_state(StateSettings(), SERVER) as state:
        assert state is None


def test_what_others_have_left_is_forgotten(base: Path) -> None:
    servers = [server_name("::", port) for port in range(1, 6)]
    running, recent, _, refreshed, empty = servers
    held = []
    for name in servers:
        with open_state(settings_of(base), name) as state:
            put(state, {"transport/1": b"SECRET"})
            held.append(os.open(base / name / "1.new" / NAME, os.O_RDONLY))
            state.commit()
    (base / "notes").mkdir()
    for path in base.rglob("*"):
        if recent not in path.parts:
            os.utime(path, (1000, 1000))
    os.utime(base / refreshed / "1" / NAME)
    with open_state(settings_of(base), empty) as state:
        state.remove()
    with (
        open_state(settings_of(base), running) as first,
        open_state(settings_of(base), SERVER) as state,
    ):
        assert first is not None
        for path in (base / running).rglob("*"):
            os.utime(path, (1000, 1000))
        os.utime(base / running, (1000, 1000))
        state.forget_others()
    assert names(base) == {SERVER, running, recent, refreshed, "notes"}
    assert [any(os.pread(descriptor, 10_000, 0)) for descriptor in held] == [
        True, True, False, True, False
    ]  # fmt: skip
    for descriptor in held:
        os.close(descriptor)


def test_logs_that_are_none(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_state(settings_of(base), SERVER) as state:
        assert read_log(state.current).damaged == ["there is no log"]
        put(state, {"room/1": b"x"})
        assert read_log(state.current).entries == {"room/1": b"x"}
        monkeypatch.setattr("meet_trio.journal.log.LARGEST", 64)
        assert read_log(state.current).damaged == ["it is larger than 64 bytes"]


_FULL = """
import logging, os, resource, sys
from meet_trio.journal.directory import open_state
from meet_trio.journal.log import StateLog, read_log
from meet_trio.journal.settings import StatePlace, StateSettings
from pathlib import Path
settings = StateSettings(dir=StatePlace(Path(sys.argv[1])))
logging.basicConfig(format="%(message)s", level="INFO", stream=sys.stdout)
with open_state(settings, "1-::") as state:
    log = StateLog(state.current, settings, bytes(16), 0.0)
    log.put("room/1", b"x" * 5000)
    log.flush(1.0)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    log.put("room/2", b"y" * 5000)
    log.flush(2.0)
    kept = read_log(state.current)
    print(sorted(kept.entries), kept.damaged, log.size)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    log.flush(4.0)
    kept = read_log(state.current)
    print(sorted(kept.entries), kept.damaged)
"""


def test_the_kernel_refuses_a_write(base: Path) -> None:
    """A part of the turn fits, as on a file system that is full."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL, base], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "the state of calls is not kept: File too large",
        f"['room/1'] [] {64 + 30 + 6 + 5000}",
        "the state of calls is kept again",
        "['room/1', 'room/2'] []",
    ]


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"RUNTIME_DIRECTORY": "/run/meet-trio:/run/b", "XDG_RUNTIME_DIR": "/x"},
         "/run/meet-trio/state"),
        ({"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/meet-trio"),
        ({"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}, "/dev/shm/meet-trio-1000"),
    ],
)  # fmt: skip
def test_where_it_is(environ: Mapping[str, str], path: str) -> None:
    assert default_place(environ, 1000) == StatePlace(Path(path), chosen=False)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/dev/shm/x", StatePlace(Path("/dev/shm/x"))),
        ("off", None),
        ("None", None),
        (None, default_place(os.environ, os.getuid())),
    ],
)
def test_an_operator_chooses_it(text: str | None, place: StatePlace | None) -> None:
    flags = {} if text is None else {"state.dir": text}
    settings = load(flags, dict(os.environ), primary_address=lambda: "10.0.0.1")
    assert settings.state.dir == place
    assert settings.site.demo


def test_an_empty_path_of_toml_means_off(tmp_path: Path) -> None:
    for word in ('""', "false"):
        (tmp_path / "t.toml").write_text(f"[state]\ndir = {word}\n")
        assert load({}, {"AUTH_TOKEN": "t"}, tmp_path / "t.toml").state.dir is None
    (tmp_path / "t.toml").write_text('[state]\ndir = "here"\n')
    with pytest.raises(ConfigError, match="an absolute path, or off, is wanted"):
        load({}, {"AUTH_TOKEN": "t"}, tmp_path / "t.toml")


def test_boot_id_that_is_hidden(tmp_path: Path) -> None:
    assert boot_id(tmp_path / "none") == UNKNOWN_BOOT
    (tmp_path / "odd").write_text("no id\n")
    assert boot_id(tmp_path / "odd") == UNKNOWN_BOOT
