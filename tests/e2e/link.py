"""Bad networks for tests: one emulated link between this machine and a namespace of its own.

    with open_link(compile_emulator(tmp_path)) as link:
        link.set(Weather(loss=0.03, delay=0.02), Weather(loss=0.03, delay=0.02))
        subprocess.run(link.command("ping", "-c1", link.server_ip))

A server listens on ``link.server_ip`` (or on 0.0.0.0) in the namespace that the tests run in. A
client is started with ``link.command(…)`` or, where a single executable is needed, through
``link.write_wrapper``; it reaches nothing but the link. Each client that needs its own link gets
one. ``link_emulator.c`` does the work and describes what the weather does to a packet. The same
seed gives the n-th packet of a direction the same fate.

It needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN), /dev/net/tun, a C compiler and nsenter. Nothing
outlives the processes in it, however they end. The methods block for some microseconds, so they fit
any kind of test.
"""

import collections
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
from support.namespace import Namespace


class LinkUnavailable(Exception):
    """An emulated link is impossible on this machine; the message says what is missing."""


@attrs.frozen(kw_only=True)
class Weather:
    """Conditions for the packets of one direction. Times are in seconds, probabilities
    from 0 to 1.
    """

    loss: float = 0.0
    """Share of packets that are lost."""
    burst: float = 1.0
    """Mean number of packets lost in a row; 1 = each on its own."""
    delay: float = 0.0
    jitter: float = 0.0
    """At most this much is added to the delay, evenly spread; the order is kept."""
    scatter: float = 0.0
    """At most this much is added to each packet's delay on its own, so that packets overtake each
    other; ``jitter`` is ignored then.
    """
    reorder: float = 0.0
    """Share of packets that wait ``reorder_delay`` longer, so that others overtake them."""
    reorder_delay: float = 0.01
    duplicate: float = 0.0
    rate: float | None = None
    """Bit rate of the bottleneck, IP headers included."""
    queue: int = 64 * 1024
    """Bytes that may wait before the bottleneck; packets that do not fit are dropped."""
    down: bool = False
    """Nothing gets through."""

    def capped(self, rate: float, seconds: float) -> "Weather":
        """The same with a bottleneck of this bit rate and a queue of this length."""
        return attrs.evolve(self, rate=rate, queue=int(rate * seconds / 8))

    def __attrs_post_init__(self) -> None:
        for name in ("loss", "reorder", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: not a probability")
        if self.burst < 1 or min(self.delay, self.jitter, self.scatter, self.reorder_delay) < 0:
            raise ValueError("burst below 1, or a negative time")


@attrs.frozen
class Counters:
    """Packets of one direction so far. ``received`` is the sum of the others, without the
    duplicates in ``delivered`` and plus the packets that still wait.
    """

    received: int
    delivered: int
    lost: int
    queue_dropped: int
    outage_dropped: int
    reordered: int
    duplicated: int
    overflowed: int
    """Lost because the emulator or the receiving device had no room: a sign of an overloaded
    machine.
    """
    nat_dropped: int
    """To a port that the NAT has forgotten."""
    received_bytes: int
    """IP headers included."""
    delivered_bytes: int


@attrs.define(eq=False)
class Link:
    """One link. ``up`` is from the client's namespace to the server."""

    server_ip: str
    client_ip: str
    up: Weather
    down: Weather
    _process: "subprocess.Popen[str]"

    def set(self, up: Weather | None = None, down: Weather | None = None) -> None:
        """Change the weather from the next packet on; None leaves a direction unchanged."""
        for name, weather in (("up", up), ("down", down)):
            if weather is not None:
                self._ask(f"set {name} {_format(weather)}", "ok")
        self.up, self.down = up or self.up, down or self.down

    def seed(self, number: int) -> None:
        """Start the sequence of fates again."""
        self._ask(f"seed {number}", "ok")

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """No packet gets through, in either direction."""
        up, down = self.up, self.down
        self.set(attrs.evolve(up, down=True), attrs.evolve(down, down=True))
        try:
            yield
        finally:
            self.set(up, down)

    def counters(self) -> tuple[Counters, Counters]:
        """The counters of ``up`` and ``down``."""
        numbers = [int(word) for word in self._ask("stats").split()]
        half = len(attrs.fields(Counters))
        return Counters(*numbers[:half]), Counters(*numbers[half:])

    def waits(self, direction: str) -> collections.Counter[int]:
        """The packets so far that have passed the bottleneck of ``up`` or ``down``, by the whole
        milliseconds that they waited before it.
        """
        _, *words = self._ask(f"waits {direction}").split()
        pairs = (word.split(":") for word in words)
        return collections.Counter({int(ms): int(count) for ms, count in pairs})

    def rebind(self) -> None:
        """The client's UDP ports change, as the server sees them; datagrams to the old ones get
        lost. A NAT does this when it restarts or has forgotten the client.
        """
        self._ask("rebind", "ok")

    def command(self, *argv: str) -> list[str]:
        """``argv`` as a command that runs in the client's namespace."""
        return self.namespace.command(*argv)

    def write_wrapper(self, path: Path, executable: str) -> Path:
        """An executable file that runs ``executable`` in the client's namespace with the same
        arguments.
        """
        return self.namespace.write_wrapper(path, executable)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that are made within belong to the client's namespace. Do not wait in here."""
        with self.namespace.inside():
            yield

    @property
    def network_namespace(self) -> str:
        """What ``/proc/PID/ns/net`` of a process in the client's namespace reads as."""
        return os.readlink(f"/proc/{self._process.pid}/ns/net")

    @property
    def namespace(self) -> Namespace:
        """The client's."""
        return Namespace(self._process.pid)

    def _ask(self, line: str, expected: str | None = None) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer or answer.startswith("error") or expected not in (None, answer):
            raise RuntimeError(f"link emulator: {line!r} was answered {answer!r}")
        return answer


def compile_emulator(directory: Path) -> Path:
    """The emulator's executable, built in ``directory``."""
    source = Path(__file__).with_name("link_emulator.c")
    program = directory / "link_emulator"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]
    try:
        subprocess.run(["cc", *flags, "-o", program, source], check=True)
    except FileNotFoundError:
        raise LinkUnavailable("the link emulator needs a C compiler (cc)") from None
    return program


@contextlib.contextmanager
def open_link(
    emulator: Path, *, up: Weather | None = None, down: Weather | None = None, seed: int = 1
) -> Iterator[Link]:
    """A link with the given weather, fair by default. Raises LinkUnavailable."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        raise LinkUnavailable("the link emulator needs root and /dev/net/tun")
    with subprocess.Popen(
        [emulator], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            if len(words) != 3:
                raise LinkUnavailable(" ".join(words) or "the link emulator ended at once")
            fair = Weather()
            link = Link(words[1], words[2], fair, fair, process)
            link.set(up, down)
            link.seed(seed)
            yield link
        finally:
            process.kill()


def _format(weather: Weather) -> str:
    return " ".join(
        format(value, ".9g")
        for value in (
            weather.loss,
            weather.burst,
            weather.delay * 1e6,
            weather.jitter * 1e6,
            weather.scatter * 1e6,
            weather.reorder,
            weather.reorder_delay * 1e6,
            weather.duplicate,
            weather.rate or 0.0,
            weather.queue,
            int(weather.down),
        )
    )
