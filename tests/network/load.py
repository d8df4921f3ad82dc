"""Who used the CPUs during a run: each core, the engine's thread, the browsers.

A figure of a run in which a core had nothing left may be the machine's and not the server's.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import attrs

ENGINE_THREAD = "meet-engine"
BUSY = 0.95
"""The share of a second from which on a core had nothing left."""
SATURATED = 0.25
"""A run is saturated if a core had nothing left in this share of its seconds."""
STARVED = 0.1
"""A run is saturated, too, if the engine's thread did not get this share of the CPU time that it
wanted, and a second of it.
"""


@attrs.frozen
class Use:
    """Seconds on a CPU, and ready to run without one."""

    used: float = 0.0
    waited: float = 0.0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.used + other.used, self.waited + other.waited)

    def __sub__(self, other: "Use") -> "Use":
        return Use(max(0.0, self.used - other.used), max(0.0, self.waited - other.waited))


@attrs.frozen
class Load:
    """Shares of the time of one run; 1 is one core."""

    cores: tuple[float, ...]
    """How busy each core was."""
    full: tuple[float, ...]
    """The share of the seconds in which each core had nothing left."""
    of: dict[str, Use]
    """The CPU time of the engine, the server, the publisher's and the viewer's side."""

    @property
    def saturated(self) -> bool:
        engine = self.of["engine"]
        wanted = engine.used + engine.waited
        starved = engine.waited > 1 / 25 and engine.waited > STARVED * wanted
        return max(self.full) > SATURATED or starved

    def __str__(self) -> str:
        cores = ", ".join(
            f"{busy:.0%} (full {full:.0%} of the seconds)"
            for busy, full in zip(self.cores, self.full, strict=True)
        )
        of = ", ".join(f"{name} {u.used:.0%} + {u.waited:.0%}" for name, u in self.of.items())
        return f"cores {cores}; used + waited for a core: {of}"


@attrs.define(eq=False)
class LoadMeter:
    """Reads ``/proc`` from ``start`` to ``stop``; ``tick`` at least once a second."""

    server: int
    """The pid of the server."""
    far: str
    """The network namespace of the browser behind the link."""
    names: tuple[str, str]
    """What the near and the far browser are called in ``Load``."""
    _begun: float = 0.0
    _uses: dict[str, Use] = attrs.field(factory=dict)
    _first: list[tuple[int, int]] = attrs.field(factory=list)
    _last: list[tuple[int, int]] = attrs.field(factory=list)
    _last_time: float = 0.0
    _seconds: list[list[bool]] = attrs.field(factory=list)

    def start(self, now: float) -> None:
        self._begun = self._last_time = now
        self._uses = self._read()
        self._first = self._last = _cores()
        self._seconds = []

    def tick(self, now: float) -> None:
        if now - self._last_time < 1:
            return
        cores = _cores()
        self._seconds.append(
            [share > BUSY for share in _shares(self._last, cores)],
        )
        self._last, self._last_time = cores, now

    def stop(self, now: float) -> Load:
        seconds = now - self._begun
        uses = {name: use - self._uses.get(name, Use()) for name, use in self._read().items()}
        cores = _cores()
        count = max(1, len(self._seconds))
        return Load(
            tuple(_shares(self._first, cores)),
            tuple(sum(s[i] for s in self._seconds) / count for i in range(len(cores))),
            {name: Use(use.used / seconds, use.waited / seconds) for name, use in uses.items()},
        )

    def _read(self) -> dict[str, Use]:
        near, far = self.names
        uses = {"engine": Use(), "server": Use(), near: Use(), far: Use()}
        for pid in _descendants(os.getpid()):
            for name, use in _threads(pid):
                if pid == self.server:
                    of = "engine" if name == ENGINE_THREAD else "server"
                elif not _is_browser(pid):
                    continue
                else:
                    of = far if _namespace(pid) == self.far else near
                uses[of] += use
        return uses


def _cores() -> list[tuple[int, int]]:
    """The ticks of each core so far: busy, and all."""
    found = []
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            ticks = [int(field) for field in fields[:8]]
            found.append((sum(ticks) - ticks[3] - ticks[4], sum(ticks)))
    return found


def _shares(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> list[float]:
    return [
        (busy - old_busy) / max(1, ticks - old_ticks)
        for (old_busy, old_ticks), (busy, ticks) in zip(before, after, strict=True)
    ]


def _descendants(pid: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    waiting = [pid]
    while waiting:
        found = children.get(waiting.pop(), [])
        yield from found
        waiting += found


def _threads(pid: int) -> Iterator[tuple[str, Use]]:
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            name = (task / "comm").read_text().strip()
            used, waited, _ = (task / "schedstat").read_text().split()
        except OSError:
            continue
        yield name, Use(int(used) / 1e9, int(waited) / 1e9)


def _is_browser(pid: int) -> bool:
    try:
        return "chrom" in Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return False


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""
