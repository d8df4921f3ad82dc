"""Processes with an engine are killed while they forward, and the next one goes on."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.engine_killed import CONSUMER, Lives, Publisher, Viewer
from support.engine_world import Camera

LIVES = 6
LOST = 256  # packets that may be between a socket's queue and a viewer when a process is killed


@pytest.mark.parametrize("seed", [1, 2])
def test_viewers_get_one_stream_from_processes_that_are_killed(seed: int) -> None:
    dice = random.Random(seed)
    lives = Lives()
    alice, bob = Publisher(lives.port), Viewer(lives.port)
    camera = Camera(parts=4)
    sent = 4
    lives.begin()
    try:
        alice.check()
        bob.check()
        alice.send(camera.frame(key=True))
        assert bob.receive(0.5) == 4
        for _ in range(LIVES):
            stop = threading.Event()

            def flood(stop: threading.Event = stop) -> None:
                nonlocal sent
                while not stop.is_set():
                    alice.send(camera.frame())
                    sent += 4
                    time.sleep(0.001)

            thread = threading.Thread(target=flood)
            thread.start()
            bob.receive(0.1, dice.uniform(0.02, 0.2))
            lives.kill()
            stop.set()
            thread.join()
            kept = lives.left()
            bob.receive(0.05)
            assert kept.damaged in ([], [f"consumer {CONSUMER}: an epoch that was changing"])
            assert (len(kept.transports), len(kept.producers), len(kept.consumers)) == (2, 1, 1)
            alice.send(camera.frame())  # it waits in the socket
            sent += 4
            lives.begin()
            assert bob.receive(0.5) >= 4
    finally:
        lives.close()
        alice.sock.close()
        bob.sock.close()
    numbers = [p.sequence_number for p in bob.packets]
    assert len(set(numbers)) == len(numbers)
    assert sent - len(numbers) <= LIVES * LOST
    offsets = {(p.timestamp - 3000 * ((camera.picture - 1) & 0x7FFF)) % 3000 for p in bob.packets}
    assert len(offsets) == 1  # one clock in all lives


STARTER = """
import time
from support.engine_killed import Lives
lives = Lives()
lives.begin()
print(lives.process.pid, flush=True)
time.sleep(600)
"""


def has_ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return state.rpartition(")")[2].split()[0] == "Z"  # nobody reaps it


def test_the_processes_end_with_the_one_that_has_started_them() -> None:
    """So a test that is killed leaves none behind."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    assert not has_ended(pid)
    starter.kill()
    starter.communicate()
    deadline = time.monotonic() + 20
    while not has_ended(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
