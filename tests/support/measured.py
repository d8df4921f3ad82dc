"""A daemon with honest people and its measurements: how long things take for them, how long the
loop is held, and what is left in the process.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from support.api import MeetApi
from support.daemon import Daemon, api_of, start_daemon, token_of
from support.helper import Helper
from support.lag_figures import quantile
from support.machine import CpuTime


@attrs.frozen
class Figures:
    """Seconds at the 99th percentile. ``held`` and ``worked`` are the loop's lag by either clock.
    ``starved`` is the share of the CPU time that the loop wanted and did not get.
    """

    chat: float
    request: float
    api: float
    held: float
    worked: float
    failed: int
    here: int
    starved: float

    def __str__(self) -> str:
        of = {"chat": self.chat, "ping": self.request, "API": self.api}
        of |= {"lag": self.held, "of CPU": self.worked}
        told = ", ".join(f"{name} {1000 * value:.1f}" for name, value in of.items())
        return f"{told}; starved of {self.starved:.0%}"


@attrs.define(eq=False)
class Server:
    """A daemon with honest people, who are a process of their own."""

    daemon: Daemon
    people: Helper
    crowd: int
    _lag: Any = None
    _cpu: CpuTime = attrs.field(factory=CpuTime)

    @classmethod
    def start(cls, rooms: int, size: int, flags: Sequence[str] = ()) -> "Server":
        daemon = start_daemon(*flags)
        people = Helper.start("support.honest")
        of = {"port": daemon.port, "token": token_of(daemon), "rooms": rooms, "size": size}
        people.ask({"come": of})
        return cls(daemon, people, rooms * size)

    @property
    def api(self) -> MeetApi:
        return api_of(self.daemon)

    @property
    def works(self) -> bool:
        return self.daemon.process.poll() is None

    def stop(self) -> None:
        self.people.stop()
        if self.works:
            code, _ = self.daemon.stop(deadline=60)
            assert code == 0
        else:
            self.daemon.clean_up()

    async def mark(self) -> None:
        """Measuring starts here."""
        await self.people.aask({"mark": True})
        self._lag = await self.api.call("GET", "/lag")
        self._cpu = CpuTime.of(self.daemon.process.pid)

    async def tell(self) -> Figures:
        lag, before = await self.api.call("GET", "/lag"), self._lag
        cpu = CpuTime.of(self.daemon.process.pid)
        told = await self.people.aask({"tell": True})
        return Figures(
            chat=percentile(told["chat"]),
            request=percentile(told["request"]),
            api=percentile(told["api"]),
            held=lag_between(before, lag, "held"),
            worked=lag_between(before, lag, "worked"),
            failed=told["failed"],
            here=told["here"],
            starved=cpu.starved(self._cpu),
        )


def percentile(seconds: list[float]) -> float:
    """The 99th percentile."""
    assert seconds, "nobody did anything"
    return sorted(seconds)[int(0.99 * (len(seconds) - 1))]


def lag_between(before: Any, after: Any, clock: str) -> float:
    counts, seconds = (
        [new - old for new, old in zip(after[clock][of], before[clock][of], strict=True)]
        for of in ("counts", "seconds")
    )
    return quantile(0.99, counts, seconds, after["seconds"] - before["seconds"])


@attrs.frozen
class Footprint:
    files: int
    rooms: dict[str, int]

    def within(self, before: "Footprint") -> bool:
        return self.files <= before.files and self.rooms == before.rooms


async def footprint(server: Server) -> Footprint:
    stats = await server.api.call("GET", "/stats")
    rooms = {room_id: len(peers) for room_id, peers in stats.items()}
    return Footprint(len(os.listdir(f"/proc/{server.daemon.process.pid}/fd")), rooms)


def memory(server: Server) -> int:
    """Resident memory in kB."""
    status = Path(f"/proc/{server.daemon.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
