"""The command ``meet-trio upgrade``: a new process takes over from the server that runs on this
machine.

It waits until the new process answers. Exit codes: 0 the new process has taken over; 1 it has not,
and the server goes on as before; 2 wrong arguments; 3 there is no server.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meet_trio.console.client import Client, CommandFailed, NoServer
from meet_trio.console.render import printable
from meet_trio.console.runner import FAILED, FINE, NO_SERVER
from meet_trio.console.settings import SOCKET_VARIABLE, sockets_to_try

_ANSWER_TIMEOUT = 10.0  # seconds for the new process's first answer
_LOOK = 0.02  # seconds


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", help: str) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "upgrade",
        help=help,
        usage="meet-trio upgrade [--socket PATH]",
        description=(
            "Have a new process take over from the server that runs on this machine. It is of the "
            "version that is installed now, and reads the settings anew. Calls go on."
        ),
        epilog=(
            "Exit codes: 0 the new process has taken over, 1 it has not and the server goes on as "
            "before, 2 wrong arguments, 3 there is no server."
        ),
        allow_abbrev=False,
    )
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help=f"the server's socket (env {SOCKET_VARIABLE}; default: where servers have it)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the return value is the process's exit code."""
    paths = [arguments.socket] if arguments.socket else sockets_to_try(os.environ)
    told: list[dict[str, Any]] = []
    try:
        with Client.connect(paths) as client:
            try:
                client.ask("upgrade", (), lambda form, item: told.append(item))
            except NoServer:  # the old process has ended
                if not told:
                    raise
    except CommandFailed as error:
        return _fail(f"the server goes on as before: {error}")
    except NoServer as error:
        print(f"meet-trio: {printable(str(error))}", file=sys.stderr)
        return NO_SERVER
    except KeyboardInterrupt:
        return _fail("given up; the server goes on as before")
    return _look(paths, told[0]["pid"], told[0]["version"])


def _look(paths: Sequence[Path], pid: int, version: str) -> int:
    """Wait until the new process answers."""
    deadline = time.monotonic() + _ANSWER_TIMEOUT
    answered: object = None
    while time.monotonic() < deadline:
        try:
            with Client.connect(paths, _ANSWER_TIMEOUT) as client:
                answered = client.items("usage")[1][0]["pid"]
        except (NoServer, CommandFailed):
            answered = None
        if answered == pid:
            print(printable(f"process {pid} has taken over, version {version}"))
            return FINE
        time.sleep(_LOOK)
    who = "nobody" if answered is None else f"process {answered}"
    return _fail(f"process {pid} should have taken over, but {who} answers")


def _fail(why: str) -> int:
    print(f"meet-trio: {printable(why)}", file=sys.stderr)
    return FAILED
