"""``python -m meet_trio.upgrade.stay``: what a server becomes that nobody supervises, once another
process has taken over.

Who has started the server waits for this process's end, and sends it signals. So it stays, passes
signals on to its child, and ends as the server ends. All later servers become its children too
(PR_SET_CHILD_SUBREAPER). Its memory is that of Python alone.
"""

import ctypes
import os
import signal

_PR_SET_CHILD_SUBREAPER = 36
_PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def stay() -> int:
    """Wait for all children. Returns the exit status of the last."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in _PASSED_ON:
        signal.signal(number, _pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    status = 0
    while True:
        try:
            _, status = os.waitpid(-1, 0)
        except ChildProcessError:
            break
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _pass_on(number: int, frame: object) -> None:
    own = os.getpid()
    with open(f"/proc/self/task/{own}/children") as children:
        for pid in children.read().split():
            os.kill(int(pid), number)  # not reaped yet, so the id is the child's


if __name__ == "__main__":
    raise SystemExit(stay())
