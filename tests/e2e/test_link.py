"""The link emulator by itself: it counts datagrams that cross the link. Comparisons with a clock
have only a lower bound.
"""

import itertools
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from e2e.link import Link, LinkUnavailable, Weather, open_link

CHUNK = 50  # datagrams in flight at once, well within any socket buffer


@attrs.define(eq=False)
class Ends:
    """A connected datagram socket at each end; ``client`` is beyond the link."""

    link: Link
    client: socket.socket
    server: socket.socket

    @classmethod
    @contextmanager
    def open(cls, link: Link) -> Iterator["Ends"]:
        with link.inside():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((link.server_ip, 0))
            client.connect(server.getsockname())
            server.connect((link.client_ip, client.getsockname()[1]))
            server.setblocking(False)
            yield cls(link, client, server)

    def carry(self, count: int, size: int = 100) -> list[int]:
        """Send numbered datagrams up and return the numbers in the order in which they arrived."""
        arrived: list[int] = []
        for start in range(0, count, CHUNK):
            numbers = range(start, min(start + CHUNK, count))
            before = self.link.counters()[0].received
            for number in numbers:
                self.client.send(number.to_bytes(4, "big").ljust(size, b"."))
            arrived += self.settle(before + len(numbers))
        return arrived

    def settle(self, received: int) -> list[int]:
        """The datagrams that arrive until the link has seen ``received`` datagrams and none of them
        waits.
        """
        arrived = []
        deadline = time.monotonic() + 20
        while True:
            assert time.monotonic() < deadline, self.link.counters()
            readable, _, _ = select.select([self.server], [], [], 0.01)
            if readable:
                arrived.append(int.from_bytes(self.server.recv(2048)[:4], "big"))
                continue
            c = self.link.counters()[0]
            gone = c.lost + c.queue_dropped + c.outage_dropped + c.overflowed + c.nat_dropped
            if c.received >= received and c.delivered == c.received - gone + c.duplicated:
                break
        return arrived


@contextmanager
def ends(emulator: Path, up: Weather, seed: int = 1) -> Iterator[Ends]:
    with open_link(emulator, up=up, seed=seed) as link, Ends.open(link) as both:
        yield both


def test_fair_link_carries_all_in_order_both_ways(link_emulator: Path) -> None:
    with ends(link_emulator, Weather()) as both:
        assert both.carry(500, size=1400) == list(range(500))
        both.server.send(b"down")
        assert both.client.recv(10) == b"down"
        up, down = both.link.counters()
    assert (up.received, up.delivered, down.received, down.delivered) == (500, 500, 1, 1)


def test_loss_has_its_share_and_follows_the_seed(link_emulator: Path) -> None:
    count, loss = 3000, 0.1
    with ends(link_emulator, Weather(loss=loss), seed=7) as both:
        first = both.carry(count)
        both.link.seed(7)
        again = both.carry(count)
        both.link.seed(8)
        other = both.carry(count)
    assert first == again
    assert first != other
    deviation = math.sqrt(count * loss * (1 - loss))
    for arrived in (first, other):
        assert abs(count - len(arrived) - count * loss) < 4 * deviation
        assert arrived == sorted(arrived)


def test_bursts_have_their_mean_length(link_emulator: Path) -> None:
    with ends(link_emulator, Weather(loss=0.1, burst=5)) as both:
        arrived = both.carry(5000)
    gaps = [b - a - 1 for a, b in itertools.pairwise(arrived) if b - a > 1]
    assert 4 < sum(gaps) / len(gaps) < 6
    assert 0.06 < sum(gaps) / 5000 < 0.14


def test_fates_do_not_depend_on_the_weather_before(link_emulator: Path) -> None:
    with ends(link_emulator, Weather(loss=0.5), seed=3) as both:
        whole = both.carry(200)
        both.link.seed(3)
        both.link.set(up=Weather())
        fair = both.carry(100)
        both.link.set(up=Weather(loss=0.5))
        rest = both.carry(100)
    assert fair == list(range(100))
    assert [number + 100 for number in rest] == [number for number in whole if number >= 100]


def test_delay_is_at_least_what_it_says_in_each_direction(link_emulator: Path) -> None:
    with ends(link_emulator, Weather(delay=0.03)) as both:
        both.link.set(down=Weather(delay=0.05))
        trips = []
        for _ in range(10):
            start = time.monotonic()
            both.client.send(b"ping")
            select.select([both.server], [], [])
            both.server.send(both.server.recv(10))
            both.client.recv(10)
            trips.append(time.monotonic() - start)
    assert all(trip >= 0.08 for trip in trips)
    # The emulator itself adds next to nothing. The best of ten stands for an idle machine.
    assert min(trips) < 0.08 + 0.02


def test_jitter_keeps_the_order_and_reordering_does_not(link_emulator: Path) -> None:
    with ends(link_emulator, Weather(jitter=0.01)) as both:
        assert both.carry(300) == list(range(300))
        both.link.set(up=Weather(reorder=0.1, reorder_delay=0.02))
        arrived = both.carry(300)
        reordered = both.link.counters()[0].reordered
    assert sorted(arrived) == list(range(300))
    assert arrived != sorted(arrived)
    assert 10 < reordered < 60


def test_duplicates(link_emulator: Path) -> None:
    with ends(link_emulator, Weather(duplicate=0.2)) as both:
        arrived = both.carry(300)
        duplicated = both.link.counters()[0].duplicated
    assert sorted(set(arrived)) == list(range(300))
    assert len(arrived) == 300 + duplicated
    assert 30 < duplicated < 95


def test_rate_limit_spreads_and_its_queue_drops(link_emulator: Path) -> None:
    rate, size, overhead = 1_000_000, 972, 28
    queue = 20 * (size + overhead)
    with ends(link_emulator, Weather(rate=rate, queue=queue)) as both:
        start = time.monotonic()
        arrived = both.carry(CHUNK, size=size)
        took = time.monotonic() - start
        dropped = both.link.counters()[0].queue_dropped
    assert arrived[:20] == list(range(20))
    assert len(arrived) == CHUNK - dropped
    # The bottleneck let some go while they were sent, which made room for others.
    assert len(arrived) * (size + overhead) * 8 <= rate * took + (size + overhead) * 8
    assert dropped > 0


def test_waits_before_the_bottleneck_are_counted(link_emulator: Path) -> None:
    slow = Weather().capped(400_000, 0.2)  # a datagram of 1000 bytes takes 20 ms
    with ends(link_emulator, slow) as both:
        arrived = both.carry(CHUNK, size=972)
        waits = both.link.waits("up")
        up, _ = both.link.counters()
        assert both.link.waits("down") == {}
    assert waits.total() == len(arrived) == up.delivered
    assert up.received_bytes == 1000 * CHUNK
    assert up.delivered_bytes == 1000 * len(arrived)
    # The sender is faster than the link: the queue fills, and the next to fit waits long.
    assert min(waits) < 20
    assert 150 < max(waits) <= 200


def test_scatter_mixes_the_order(link_emulator: Path) -> None:
    with ends(link_emulator, Weather(scatter=0.03)) as both:
        arrived = both.carry(300)
        reordered = both.link.counters()[0].reordered
    assert sorted(arrived) == list(range(300))
    assert arrived != sorted(arrived)
    assert reordered > 100


def test_rebinding_changes_the_ports_and_forgets_the_old_ones(link_emulator: Path) -> None:
    with open_link(link_emulator) as link:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((link.server_ip, 0))
            server.settimeout(5)
            with link.inside():
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with client:
                client.settimeout(5)
                client.bind((link.client_ip, 0))
                seen = []
                for number in range(3):
                    client.sendto(b"up %d" % number, server.getsockname())
                    data, address = server.recvfrom(100)
                    assert data == b"up %d" % number
                    server.sendto(b"down %d" % number, address)
                    assert client.recvfrom(100) == (b"down %d" % number, server.getsockname())
                    for old in seen:
                        server.sendto(b"lost", old)
                    seen.append(address)
                    link.rebind()
                wait_until(lambda: link.counters()[1].nat_dropped == 3)
    assert {ip for ip, _ in seen} == {link.client_ip}
    assert len(set(seen)) == 3


def test_outage(link_emulator: Path) -> None:
    with ends(link_emulator, Weather(delay=0.001)) as both:
        with both.link.outage():
            assert both.carry(20) == []
            assert both.link.counters()[0].outage_dropped == 20
        assert both.carry(20) == list(range(20))
        assert both.link.up == Weather(delay=0.001)


def test_commands_run_beyond_the_link(link_emulator: Path, tmp_path: Path) -> None:
    with open_link(link_emulator) as link:
        wrapper = link.write_wrapper(tmp_path / "cat beyond", "cat")
        devices = subprocess.run(
            [wrapper, "/proc/self/net/dev"], check=True, capture_output=True, text=True
        ).stdout
    assert {line.split(":")[0].strip() for line in devices.splitlines()[2:]} == {"lo", "link"}


def test_links_are_independent(link_emulator: Path) -> None:
    with (
        ends(link_emulator, Weather(down=True)) as broken,
        ends(link_emulator, Weather()) as fair,
    ):
        assert broken.carry(5) == []
        assert fair.carry(5) == list(range(5))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_is_left_when_the_owner_is_killed(link_emulator: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from e2e.link import open_link\n"
        "with open_link(Path(sys.argv[1])) as link:\n"
        "    print(link.server_ip, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program, link_emulator],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as owner:
        assert owner.stdout is not None
        number = owner.stdout.readline().split(".")[2]
        device = Path(f"/sys/class/net/meet{number}")
        assert device.exists()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        wait_until(lambda: not device.exists())


def test_device_is_gone_after_use(link_emulator: Path) -> None:
    with open_link(link_emulator) as link:
        device = Path(f"/sys/class/net/meet{link.server_ip.split('.')[2]}")
        assert device.exists()
    assert not device.exists()


def test_without_root_it_says_what_is_missing(
    link_emulator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LinkUnavailable, match="root"), open_link(link_emulator):
        pass


@pytest.mark.parametrize("wrong", [{"loss": 1.5}, {"burst": 0.0}, {"delay": -1.0}])
def test_impossible_weather(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Weather(**wrong)  # type: ignore[arg-type]
