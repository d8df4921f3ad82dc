"""Makes ``docs/costs.md``: ``PYTHONPATH=tests python tests/bench/costs.py > docs/costs.md``."""

import platform

import trio
from support.costs import PUBLISHERS, measure, table
from trio.testing import MockClock

HEAD = """\
# What requests cost

What a request costs the server's one Python thread, as bytecode instructions that this package
executes from the request to the last of its consequences (CPython {version}): counted, so that it
is the same everywhere, and not timed. `tests/trio/test_costs.py` fails when a request begins to
grow with something that it does not grow with here.

- *Each further peer*: in a room with one stream that all get.
- *Each further stream*: in a room of {publishers} who all get it.
- Engine and sockets are fakes, and loops inside of C (copying a set, writing JSON) are not counted;
  they grow with the same things.
"""

TAIL = """
A request that tells nobody anything costs the same in a room of one and of hundreds, whoever else
is there: also with guests who can receive and have not joined. The others cost what they change and
whom they tell. On a real socket a message to one client takes about 85 µs of the thread, with the
kernel's part (measured on a busy machine with two cores, Python 3.11), and a stream that a client
is offered about eight times that. By these, requests are paid for (`limits.work_per_second`, see
[settings](settings.md)): 1000 messages a second are 8 % of the thread, and no peer gets more in the
long run.

`dumpStats` has the engine asked once in ten seconds at most, for all rooms together; what that
takes grows with all of the engine's streams and is not in the table.

Made by `PYTHONPATH=tests python tests/bench/costs.py > docs/costs.md`.
"""

if __name__ == "__main__":
    lines = table(*trio.run(measure, clock=MockClock(autojump_threshold=0)))
    version = ".".join(platform.python_version_tuple()[:2])
    print(HEAD.format(version=version, publishers=PUBLISHERS))
    print("\n".join(lines))
    print(TAIL, end="")
