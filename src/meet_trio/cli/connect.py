"""The command ``meet-trio connect``: the console of a server that runs on this machine.

Exit codes: 0 all went well, 1 a command failed, 2 wrong arguments or an unknown command, 3 there is
no server.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from meet_trio.console.client import Client, NoServer
from meet_trio.console.render import printable
from meet_trio.console.runner import FAILED, FINE, NO_SERVER, USAGE, Runner
from meet_trio.console.settings import SOCKET_VARIABLE, sockets_to_try


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", help: str) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "connect",
        help=help,
        usage="meet-trio connect [--socket PATH] [--json] [--stats | COMMAND [ARGUMENT ...]]",
        description=(
            "The console of a server that runs on this machine. With a COMMAND it runs once. "
            "Without one there is a prompt; if standard input is no terminal, each of its lines is "
            "a command. The command help lists the commands."
        ),
        epilog=(
            "Exit codes: 0 all went well, 1 a command failed, 2 wrong arguments or an unknown "
            "command, 3 there is no server."
        ),
        allow_abbrev=False,
    )
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help=f"the server's socket (env {SOCKET_VARIABLE}; default: where servers have it)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--stats", action="store_true", help="print the numbers of rooms and peers, and end"
    )
    parser.add_argument("line", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the return value is the process's exit code."""
    words = ["stats"] if arguments.stats else arguments.line
    if arguments.stats and arguments.line:
        print("meet-trio: --stats takes no command", file=sys.stderr)
        return USAGE
    paths = [arguments.socket] if arguments.socket else sockets_to_try(os.environ)
    try:
        with Client.connect(paths) as client:
            return _converse(Runner(client, arguments.json), paths, words)
    except NoServer as error:
        print(f"meet-trio: {printable(str(error))}", file=sys.stderr)
        return NO_SERVER
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:  # the reader of our output has gone, as ``head`` does
        # the interpreter must not try to write the rest at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE


def _converse(runner: Runner, paths: Sequence[Path], words: Sequence[str]) -> int:
    if words:
        return runner.run(words)
    if sys.stdin.isatty():
        # prompt_toolkit takes as long to load as all the rest
        from meet_trio.console.prompt import prompt

        return prompt(runner, paths, os.environ)
    # the first failure counts; the lines after it are run all the same
    codes = [runner.run_line(line) for line in sys.stdin]
    return next((code for code in codes if code != FINE), FINE)
