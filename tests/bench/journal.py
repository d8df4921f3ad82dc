"""What it costs to keep the state of calls: a change in the log, beside the same record as a
message to a client and as a transaction of SQLite; a new file; reading.

    PYTHONPATH=tests .venv/bin/python tests/bench/journal.py

All files are on /dev/shm. Times are CPU time of the thread, the kernel's part too: the best of some
rounds, whose kinds take turns. Calls and bytes are the kernel's counts of writes
(proc_pid_io(5)).
"""

import argparse
import json
import os
import socket
import sqlite3
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from meet_trio.journal.directory import open_state
from meet_trio.journal.log import StateLog, read_log
from meet_trio.journal.settings import StatePlace, StateSettings
from meet_trio.socketio.frames import data_frame

_ROUNDS, _CALLS = 15, 300
_OBJECTS, _SIZE = 10_000, 1000
_RECORD = {"peer": "6530ee74-5c5a-423d-8f83-81233c9242ce", "role": 17, "note": "x" * 220}
_PAYLOAD = json.dumps(_RECORD, separators=(",", ":")).encode()


@contextmanager
def open_log() -> Iterator[StateLog]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        settings = StateSettings(dir=StatePlace(Path(folder) / "state"))
        with open_state(settings, "bench") as state:
            assert state is not None
            log = StateLog(state.current, settings, bytes(16), 0.0)
            yield log
            log.close()


@contextmanager
def open_client() -> Iterator[Callable[[], None]]:
    """Sends the record to a client over TCP, as a Socket.IO event in a websocket frame."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        client = socket.create_connection(door.getsockname())
        server, _ = door.accept()

    def read() -> None:
        while client.recv(2**16):
            pass

    reader = threading.Thread(target=read)
    reader.start()

    def send() -> None:
        text = "42" + json.dumps(["notification", {"method": "x", "data": _RECORD}])
        server.send(data_frame(text.encode(), text=True))

    try:
        yield send
    finally:
        server.close()
        reader.join()
        client.close()


@contextmanager
def open_database() -> Iterator[Callable[[], None]]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        database = sqlite3.connect(f"{folder}/state.db", isolation_level=None)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = off")
        database.execute("create table entry (key text primary key, payload blob) without rowid")

        def put() -> None:
            database.execute("begin")
            database.execute("replace into entry values (?, ?)", ("peer/1", _PAYLOAD))
            database.execute("commit")

        yield put
        database.close()


def written() -> tuple[int, int]:
    """Calls that write, and their bytes."""
    lines = Path("/proc/self/io").read_text().split("\n")
    counts = dict(line.split(": ") for line in lines if line)
    return int(counts["syscw"]), int(counts["wchar"])


def compare(kinds: dict[str, Callable[[], None]]) -> None:
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(_ROUNDS):
        for name, call in kinds.items():
            began = time.thread_time()
            for _ in range(_CALLS):
                call()
            best[name] = min(best[name], (time.thread_time() - began) / _CALLS * 1e6)
    first = next(iter(best.values()))
    for name, call in kinds.items():
        calls, size = written()
        for _ in range(_CALLS):
            call()
        calls, size = written()[0] - calls, written()[1] - size
        print(
            f"{name:34} {best[name]:7.2f} us {best[name] / first:6.2f} times "
            f"{calls / _CALLS:5.2f} calls {size / _CALLS:8.0f} bytes"
        )


def show_changes() -> None:
    with open_log() as log, open_client() as send, open_database() as transact:

        def change(count: int) -> None:
            for n in range(count):
                log.put(f"peer/{n}", _PAYLOAD)
            log.flush(0.0)
            log.compact(0.0)

        compare(
            {
                "a message to a client": send,
                "a change in the log": lambda: change(1),
                "ten changes in one turn": lambda: change(10),
                "a transaction of SQLite": transact,
            }
        )


def show_new_file() -> None:
    with open_log() as log:
        tracemalloc.start()
        for n in range(_OBJECTS):
            log.put(f"consumer/{n}", os.urandom(_SIZE))
        memory = tracemalloc.get_traced_memory()[0] / _OBJECTS
        tracemalloc.stop()
        began = time.thread_time()
        log.flush(0.0)
        first = time.thread_time() - began
        print(f"\n{_OBJECTS} objects of {_SIZE} bytes: {memory - _SIZE:.0f} bytes more in memory")
        print(f"written in one turn: {first * 1e3:.1f} ms")
        rounds = []
        for n in range(1, 6):
            log.put("brief", b"")
            log.flush(n * 100.0)
            log.drop("brief")
            log.flush(n * 100.0)
            rounds.append(list(_slices(log, n * 100.0 + 90)))
        best = min(rounds, key=sum)
        print(
            f"a new file: {len(best)} turns, {sum(best) * 1e3:.1f} ms in all, "
            f"the longest {max(best) * 1e3:.2f} ms"
        )


def _slices(log: StateLog, now: float) -> Iterator[float]:
    more = True
    while more:
        began = time.thread_time()
        more = log.compact(now)
        yield time.thread_time() - began


def show_reading() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        settings = StateSettings(dir=StatePlace(Path(folder) / "state"))
        with open_state(settings, "bench") as state:
            assert state is not None
            log = StateLog(state.current, settings, bytes(16), 0.0)
            for n in range(_OBJECTS):
                log.put(f"consumer/{n}", os.urandom(_SIZE))
                if n % 10 == 0:
                    log.flush(0.0)
            log.flush(0.0)
            times = []
            for _ in range(5):
                began = time.thread_time()
                kept = read_log(state.current)
                times.append(time.thread_time() - began)
            assert len(kept.entries) == _OBJECTS
            print(f"read: {min(times) * 1e3:.1f} ms")
            log.close()


def main() -> None:
    argparse.ArgumentParser(description="What it costs to keep the state of calls.").parse_args()
    show_changes()
    show_new_file()
    show_reading()


if __name__ == "__main__":
    main()
