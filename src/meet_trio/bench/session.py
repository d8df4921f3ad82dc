"""From the command's arguments to its output: opens the API, runs, shows, writes."""

import argparse
import json
import resource
import signal
import ssl
from typing import Any

import attrs
import trio

from meet_trio.bench.api import Api, open_api
from meet_trio.bench.errors import BenchError, bench_error_of
from meet_trio.bench.limit import Bars, LimitSearch, shortfalls
from meet_trio.bench.plots import write_plots
from meet_trio.bench.process import family
from meet_trio.bench.result import Result
from meet_trio.bench.scenario import MAX_PEERS, Scenario
from meet_trio.bench.tables import Progress, loads, show, show_limit
from meet_trio.bench.trial import Trial

_SOCKETS_PER_PEER = 6  # signaling, two transports of two sockets each, and one to spare
_OTHER_FILES = 100


@attrs.define(eq=False)
class BenchSession:
    """One call of the command."""

    arguments: argparse.Namespace
    token: str
    progress: Progress
    trial: Trial | None = None
    stopped: bool = False

    async def run_one(self, scenario: Scenario) -> Result:
        """One run. Raises BenchError."""
        _allow_files(scenario)
        context = ssl.create_default_context()
        if self.arguments.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        async with open_api(self.arguments.url, self.token, context) as api:
            await api.ping()
            return await self._run_trial(api, scenario, context)

    async def _run_trial(self, api: Api, scenario: Scenario, context: ssl.SSLContext) -> Result:
        pids = family(self.arguments.pid)
        take, phase = self.progress.take, self.progress.phase
        self.trial = Trial(api, scenario, pids, context, on_phase=phase, on_sample=take)
        if self.stopped:
            self.trial.stop()
        return await self.trial.run()

    def stop(self) -> None:
        self.stopped = True
        if self.trial is not None:
            self.trial.stop()


@attrs.frozen
class LimitFound:
    """``runs``: each load, what it missed, and its result, None if the server could not be used any
    more. ``open``: why no more was tried.
    """

    search: LimitSearch
    unit: str
    people: int
    runs: list[tuple[int, list[str], Result | None]]
    open: list[str]

    @property
    def reasons(self) -> list[str]:
        """What the least load missed that was too much, or why no more was tried."""
        for load, missed, _ in self.runs:
            if load == self.search.refused and missed:
                return missed
        return self.open

    def figures(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "carried": self.search.carried,
            "refused": self.search.refused,
            "people": self.people,
            "reasons": self.reasons,
            "runs": [
                {"load": load, "missed": missed, "figures": result and _without_samples(result)}
                for load, missed, result in self.runs
            ],
        }


def run(arguments: argparse.Namespace, token: str, scenario: Scenario) -> int:
    """Returns the exit code. Raises BenchError, alone or in groups."""
    with Progress() as progress:
        session = BenchSession(arguments, token, progress)
        found = trio.run(_until_stopped, session, scenario)
    if isinstance(found, LimitFound):
        return _tell_limit(arguments, found)
    figures = found.figures()
    if arguments.plots is not None:
        try:
            write_plots(arguments.plots, figures["samples"])
        except OSError as error:
            raise BenchError(f"--plots: {error}") from None
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)
    return 1 if figures["warnings"] else 0


def _tell_limit(arguments: argparse.Namespace, found: LimitFound) -> int:
    if arguments.json:
        print(json.dumps(found.figures(), indent=2))
    else:
        results = [result for _, _, result in found.runs if result is not None]
        carried = [result for _, missed, result in found.runs if result is not None and not missed]
        for result in (carried or results)[-1:]:
            show(result.figures())
        show_limit(found.search, found.unit, found.people, found.reasons)
    known = not found.open and not any(
        result is not None and result.saturated
        for load, _, result in found.runs
        if load == found.search.refused
    )
    return 0 if found.search.carried and known else 1


async def _until_stopped(session: BenchSession, scenario: Scenario) -> Result | LimitFound:
    """The first signal ends the work in order, the second one everything."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_take_signals, session, nursery.cancel_scope)
        found = await _run_as_asked(session, scenario)
        nursery.cancel_scope.cancel()
        return found
    raise BenchError("stopped at once: rooms may be left, and the server closes them soon")


async def _run_as_asked(session: BenchSession, scenario: Scenario) -> Result | LimitFound:
    if session.arguments.find_limit:
        return await find_limit(session, scenario, session.arguments.find_limit)
    return await session.run_one(scenario)


async def find_limit(session: BenchSession, scenario: Scenario, unit: str) -> LimitFound:
    """Run with more and more rooms or subscribers."""
    others = scenario.publishers + scenario.subscribers
    if unit == "subscribers":
        others = scenario.rooms
        most = MAX_PEERS // scenario.rooms - scenario.publishers
    else:
        most = MAX_PEERS // others
    bars = Bars(session.arguments.max_loss, delay_p99=session.arguments.max_delay)
    search = LimitSearch(getattr(scenario, unit), most)
    runs: list[tuple[int, list[str], Result | None]] = []
    while not session.stopped and (load := search.next()) is not None:
        session.progress.head(loads(load, unit))
        result: Result | None = None
        try:
            result = await session.run_one(_with(scenario, unit, load))
            missed = shortfalls(result, bars)
        except (BenchError, BaseExceptionGroup) as error:
            missed = [str(bench_error_of(error))]
            if not search.carried:  # it is not the load
                raise
        if result is None or not result.stopped:
            search.tell(load, not missed)
            runs.append((load, missed, result))
    doubts = ["the search was stopped"] if session.stopped else []
    people = _with(scenario, unit, max(1, search.carried)).peers
    return LimitFound(search, unit, people if search.carried else 0, runs, doubts)


def _without_samples(result: Result) -> dict[str, Any]:
    return {**result.figures(), "samples": []}


def _with(scenario: Scenario, unit: str, load: int) -> Scenario:
    if unit == "rooms":
        return attrs.evolve(scenario, rooms=load)
    return attrs.evolve(scenario, subscribers=load)


async def _take_signals(session: BenchSession, everything: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            if session.stopped:
                everything.cancel()
            session.stop()


def _allow_files(scenario: Scenario) -> None:
    """Raise our limit of open files as far as is needed. Raises BenchError."""
    peers = scenario.everybody
    wanted = peers * _SOCKETS_PER_PEER + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchError(
            f"{peers} peers need {wanted} open files, and {hard} are allowed: ulimit -n"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
