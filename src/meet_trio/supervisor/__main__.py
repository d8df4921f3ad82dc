"""``python -m meet_trio.supervisor WATCHDOG SHUTDOWN COMMAND...``: supervises COMMAND. The
first two are times in seconds, see ``Supervisor``. ``meet-trio serve`` runs this; nobody else does.
"""

import sys

from meet_trio.supervisor.loop import Supervisor

if __name__ == "__main__":
    sys.exit(Supervisor(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]).run())
