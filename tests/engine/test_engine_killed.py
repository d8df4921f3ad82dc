"""Processes with an engine are killed while they forward, and the next one goes on."""

import random
import threading
import time

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
