"""From the command's arguments to its output: opens the API, runs, shows, writes."""

import argparse
import json
import resource
import signal
import ssl
import sys
from functools import partial

import trio

from meet_trio.bench.api import open_api
from meet_trio.bench.errors import BenchError
from meet_trio.bench.process import family
from meet_trio.bench.result import Result
from meet_trio.bench.scenario import Scenario
from meet_trio.bench.trial import Trial

_SOCKETS_PER_PEER = 6  # signaling, two transports of two sockets each, and one to spare
_OTHER_FILES = 100


def run(arguments: argparse.Namespace, token: str, scenario: Scenario) -> int:
    """Returns the exit code. Raises BenchError."""
    _allow_files(scenario)
    result = trio.run(partial(_run, arguments, token, scenario))
    print(json.dumps(result.figures(), indent=2))
    return 1 if result.warnings() else 0


async def _run(arguments: argparse.Namespace, token: str, scenario: Scenario) -> Result:
    pids = family(arguments.pid)
    context = ssl.create_default_context()
    if arguments.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    async with open_api(arguments.url, token, verify=not arguments.insecure) as api:
        await api.ping()
        trial = Trial(api, scenario, pids, context, on_phase=lambda t: print(t, file=sys.stderr))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_at_signal, trial, nursery.cancel_scope)
            result = await trial.run()
            nursery.cancel_scope.cancel()
    return result


async def _stop_at_signal(trial: Trial, everything: trio.CancelScope) -> None:
    """The first signal ends the work, the second one everything."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        count = 0
        async for _ in signals:
            count += 1
            if count > 1:
                everything.cancel()
            trial.stop()


def _allow_files(scenario: Scenario) -> None:
    """Raise our limit of open files as far as is needed. Raises BenchError."""
    wanted = scenario.peers * _SOCKETS_PER_PEER + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchError(
            f"{scenario.peers} peers need {wanted} open files, and {hard} are allowed: ulimit -n"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
