"""Makes ``docs/costs.md``: ``PYTHONPATH=tests python tests/bench/costs.py > docs/costs.md``."""

import argparse
import platform

import trio
from support.costs import PUBLISHERS, measure, table
from support.steps import OTHERS, measure_calls, measure_steps
from trio.testing import MockClock

HEAD = """\
# What requests cost

The cost of a request for the server's one Python thread, in bytecode instructions that this package
executes from the request to the last of its consequences (CPython {version}). Instructions are
counted, not timed, so the figures are the same on every machine. `tests/trio/test_costs.py` fails
when the cost of a request starts to grow with something that is not in its last column.

- *Each further peer*: in a room with one stream that all peers get.
- *Each further stream*: in a room of {publishers} peers who all get it.
- Engine and sockets are fakes, and loops inside of C (copying a set, writing JSON) are not counted.
  Their cost grows with the same things.
"""

TAIL = """
A request without notices costs the same in a room of one and of hundreds of peers, even with guests
who can receive and have not joined. The cost of the others grows with the objects they change and
the peers they notify. On a real socket a message to one client takes about 85 µs of the thread,
including the kernel's part (measured on a busy machine with two cores, Python 3.11). Offering a
stream to a client takes about eight times that. Requests are charged at these prices
(`limits.work_per_second`, see [settings](settings.md)): 1000 messages a second are 8 % of the
thread, and no peer gets more in the long run.

A join on real sockets, from Kolab's call to the offers of two streams, takes {steps} steps of
tasks, however many are told of it: in rooms of {few} and of {many} others. A step is what a task
does between two waits. `tests/trio/test_costs.py` fails when they become many more.

Kolab's call is {call_steps} of these steps, from accepting its connection to closing it, with the
new peer's first one. Of the edge, the log, Hypercorn and Starlette it calls {functions} functions.
The same file of tests bounds both.

`dumpStats` queries the engine at most once in ten seconds, for all rooms together. The cost of the
query grows with all of the engine's streams and is not in the table.

Made by `PYTHONPATH=tests python tests/bench/costs.py > docs/costs.md`.
"""


def main() -> None:
    argparse.ArgumentParser(description="Makes docs/costs.md.").parse_args()
    steps = trio.run(measure_steps)
    call_steps, functions = trio.run(measure_calls)
    few, many = OTHERS
    lines = table(*trio.run(measure, clock=MockClock(autojump_threshold=0)))
    version = ".".join(platform.python_version_tuple()[:2])
    print(HEAD.format(version=version, publishers=PUBLISHERS))
    print("\n".join(lines))
    counts = {"steps": steps[few], "call_steps": call_steps, "functions": functions}
    print(TAIL.format(few=few, many=many, **counts), end="")


if __name__ == "__main__":
    main()
