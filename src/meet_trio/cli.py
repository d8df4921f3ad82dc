"""The command ``meet-trio``: reads settings, sets logging up, runs the server.

No other file reads the arguments or the environment, or writes to standard output.
An invalid setting ends the command with exit code 2 and one line that says why. SIGINT and SIGTERM
end it with 0.

Once the server listens, standard output says so to the person who started it. The log goes to
standard error.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from meet_trio import __version__
from meet_trio.config import CONFIG_VARIABLE, Entry, Settings, entries, load, warnings_about
from meet_trio.doctor import command as doctor
from meet_trio.errors import ConfigError

if TYPE_CHECKING:
    from meet_trio.app import Running


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the process's exit code."""
    if sys.version_info >= (3, 14):
        found = ".".join(map(str, sys.version_info[:2]))
        return _refuse(
            f"this is Python {found}, and meet-trio needs 3.11, 3.12 or 3.13: trio-asyncio, which "
            "it is built on, does not work with newer ones"
        )
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    command = arguments.pop("command")
    if command is None:
        parser.print_help(sys.stderr)
        return 2
    if command == "doctor":
        return doctor.run(arguments)
    config_path: Path | None = arguments.pop("config")
    flags = {key: value for key, value in arguments.items() if value is not None}
    try:
        settings = load(flags, os.environ, config_path)
    except ConfigError as error:
        return _refuse(str(error))
    # Imported here, so that --help and an invalid setting do not load structlog.
    from meet_trio.logs.setup import set_up_logging

    set_up_logging(settings.logs)
    for warning in warnings_about(settings):
        logging.getLogger("meet_trio.cli").warning("%s", warning)
    return _serve(settings)


def _serve(settings: Settings) -> int:
    # Imported here, so that --help and an invalid setting do not load the server.
    from meet_trio.app import run

    try:
        run(settings, started=lambda running: _greet(settings, running))
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        if not all(isinstance(leaf, ConfigError) for leaf in leaves):
            raise
        return _refuse("; ".join(map(str, leaves)))
    except ConfigError as error:
        return _refuse(str(error))
    return 0


def _greet(settings: Settings, running: "Running") -> None:
    lines = [f"meet-trio {__version__} listens on {running.url}"]
    if settings.site.serves_page:
        lines.append(f"Open in a browser:  {running.url}")
    if settings.site.demo:
        lines.append(f"Token of the API:   {settings.api.auth_token}")
        lines.append("This is demo mode: anybody who reaches the page may open rooms.")
    print("\n".join(lines), flush=True)


def _refuse(why: str) -> int:
    print(f"meet-trio: {why}", file=sys.stderr)
    return 2


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


# Arguments


class _HelpAll(argparse.Action):
    """Prints the help of ``serve`` with all settings, bounds included, and ends the command."""

    def __call__(self, *_: object) -> None:
        _parser(bounds=True).parse_args(["serve", "--help"])


def _parser(*, bounds: bool = False) -> argparse.ArgumentParser:
    """``bounds``: the help of ``serve`` also shows the settings that are bounds. They are always
    accepted.
    """
    parser = argparse.ArgumentParser(
        prog="meet-trio",
        description="A WebRTC selective forwarding server, a drop-in for the Kolab Meet server.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"meet-trio {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run the server; with no settings at all: in demo mode, on this machine only",
        usage="meet-trio serve [--config FILE] [--SETTING VALUE ...]",
        description=(
            "Run the server. Settings are read from the environment, then from the TOML file, then "
            "from flags; what comes later wins. In the file, --http-port is port in the table "
            "[http], and so on. With no settings at all it runs in demo mode."
        ),
        epilog="Times are in seconds.",
        allow_abbrev=False,
    )
    serve.add_argument(
        "--help-all",
        action=_HelpAll,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show the bounds too, which stand far above what people do, and exit",
    )
    _add_settings(serve, lambda entry: bounds or entry.about.operator)
    doctor.add_parser(commands, partial(_add_settings, shown=lambda entry: False))
    return parser


def _add_settings(parser: argparse.ArgumentParser, shown: Callable[[Entry], bool]) -> None:
    """The file and all settings; ``shown``: those that the help tells of."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"TOML file of settings (env {CONFIG_VARIABLE})"
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for entry in entries():
        if entry.table not in groups:
            groups[entry.table] = parser.add_argument_group(f"[{entry.table}]")
        _add_flag(groups[entry.table], entry, shown=shown(entry))


def _add_flag(group: argparse._ArgumentGroup, entry: Entry, *, shown: bool) -> None:
    text = f"{entry.about.help} (env {entry.about.env}; default: {entry.default_text})"
    text = text.replace("%", "%%") if shown else argparse.SUPPRESS
    if entry.about.kind.switch:
        group.add_argument(
            entry.about.flag,
            dest=entry.key,
            default=None,
            action=argparse.BooleanOptionalAction,
            help=text,
        )
    else:
        name = entry.key.rpartition("_")[2].rpartition(".")[2].upper()
        group.add_argument(entry.about.flag, dest=entry.key, metavar=name, help=text)
