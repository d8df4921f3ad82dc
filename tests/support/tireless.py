"""The supervisor without its limit of crashes, for tests that kill a server again and again:
``python -P tests/support/tireless.py COMMAND…``.
"""

import sys

from meet_trio.supervisor import crash_loop
from meet_trio.supervisor.loop import Supervisor

WATCHDOG = 60.0  # seconds; a busy machine is slow
SHUTDOWN = 2.0  # seconds

if __name__ == "__main__":
    crash_loop.MAX_CRASHES = sys.maxsize
    sys.exit(Supervisor(WATCHDOG, SHUTDOWN, sys.argv[1:]).run())
