"""The command ``meet-trio``: finds the module of the command that was asked for, and runs it.

Each command is a module with ``add_parser(commands, help)`` and ``run(arguments)``, which returns
the exit code, and a row in ``_COMMANDS``. Only the module of the command that runs is loaded, so
``meet-trio connect`` does not wait for the server's settings.

No other part of the package reads the arguments or the environment, sets logging up, or writes to
standard output.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence

import attrs

from meet_trio import __version__


@attrs.frozen
class _Row:
    module: str
    help: str


_COMMANDS: Mapping[str, _Row] = {
    "serve": _Row(
        "meet_trio.cli.serve",
        "run the server; with no settings at all: in demo mode, on this machine only",
    ),
    "doctor": _Row(
        "meet_trio.cli.doctor",
        "say what is wrong with settings, machine and network, and what to type",
    ),
    "bench": _Row(
        "meet_trio.cli.bench",
        "load a server with clients and measure it: how many people can it take?",
    ),
    "upgrade": _Row(
        "meet_trio.cli.upgrade",
        "have a new process take over from the server of this machine; calls go on",
    ),
    "connect": _Row("meet_trio.cli.connect", "the console of a server that runs on this machine"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the process's exit code."""
    if sys.version_info >= (3, 14):
        found = ".".join(map(str, sys.version_info[:2]))
        print(
            f"meet-trio: this is Python {found}, and meet-trio needs 3.11, 3.12 or 3.13: "
            "trio-asyncio, which it is built on, does not work with newer ones",
            file=sys.stderr,
        )
        return 2
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="meet-trio",
        description="A WebRTC selective forwarding server, a drop-in for the Kolab Meet server.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"meet-trio {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    wanted = next((word for word in argv if not word.startswith("-")), None)
    for name, row in _COMMANDS.items():
        if name == wanted:
            importlib.import_module(row.module).add_parser(commands, row.help)
        else:
            commands.add_parser(name, help=row.help)
    arguments = parser.parse_args(argv)
    command = vars(arguments).pop("command")
    if command is None:
        parser.print_help(sys.stderr)
        return 2
    code: int = importlib.import_module(_COMMANDS[command].module).run(arguments)
    return code
