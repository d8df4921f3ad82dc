"""The command ``meet-trio``: reads settings, sets logging up, runs the server.

No other file reads the arguments or the environment, sets logging up, or writes to standard output.
An invalid setting ends the command with exit code 2 and one line that says why. SIGINT and SIGTERM
end it with 0.

Once the server listens, standard output says so to the person who started it. The log goes to
standard error.
"""

import argparse
import fnmatch
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from meet_trio import __version__
from meet_trio.config import CONFIG_VARIABLE, Entry, Settings, entries, load, warnings_about
from meet_trio.doctor import command as doctor
from meet_trio.errors import ConfigError
from meet_trio.logs import LineFormatter, LogSettings, RepeatFilter
from meet_trio.rates import Rate

if TYPE_CHECKING:
    from meet_trio.app import Running

_LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


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
    set_up_logging(settings.logs)
    for warning in warnings_about(settings):
        logging.getLogger("meet_trio.cli").warning("%s", warning)
    return _serve(settings, partial(_reread, flags, config_path))


def _reread(flags: Mapping[str, object], config_path: Path | None, present: Settings) -> Settings:
    return load(flags, os.environ, config_path, present=present)


def _serve(settings: Settings, reread: Callable[[Settings], Settings]) -> int:
    # Imported here, so that --help and an invalid setting do not load the server.
    from meet_trio.daemon import run
    from meet_trio.operator.notify import Notifier

    def started(running: "Running") -> None:
        running.reload.parts.append(lambda settings: set_up_logging(settings.logs))
        _greet(settings, running)

    try:
        run(settings, started=started, reread=reread, notifier=Notifier.from_environ(os.environ))
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


# Logging


def set_up_logging(settings: LogSettings) -> None:
    """Log to standard error: this package from ``level`` on, libraries from warnings on.

    ``debug`` has patterns of loggers, as the DEBUG variable of the original server. Commas or
    blanks separate them, and a leading ``-`` excludes. Matching loggers are logged in full. The
    names of the original work too: ``kolabmeet-server`` is this package, and
    ``kolabmeet-server:room`` is ``meet_trio.room``.

    A second call replaces what the first has set up.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(_LOG_FORMAT))
    least = logging.getLevelNamesMapping()[settings.level.upper()]
    pattern = DebugPattern(settings.debug or "")
    handler.addFilter(
        lambda record: (
            record.levelno >= (least if _is_ours(record.name) else logging.WARNING)
            or pattern.matches(record.name)
        )
    )
    # It comes after the other filter, because only records that are shown count.
    handler.addFilter(RepeatFilter(Rate(per_second=1, burst=settings.repeats)))
    root = logging.getLogger()
    for earlier in list(root.handlers):
        if isinstance(earlier.formatter, LineFormatter):
            root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if pattern.foreign else logging.WARNING)
    logging.getLogger("meet_trio").setLevel(logging.DEBUG if pattern.wanted else least)


def _is_ours(name: str) -> bool:
    return name == "meet_trio" or name.startswith("meet_trio.")


class DebugPattern:
    """The patterns of the variable DEBUG."""

    def __init__(self, text: str) -> None:
        words = [word for word in re.split(r"[\s,]+", text) if word]
        self.excluded = [word[1:] for word in words if word.startswith("-")]
        self.wanted = [word for word in words if not word.startswith("-")]
        # A pattern that names neither this package nor the original may match a library's logger.
        self.foreign = any(
            not word.startswith(("kolabmeet-server", "meet_trio")) for word in self.wanted
        )

    def matches(self, logger: str) -> bool:
        """Whether all records of a logger are shown."""
        names = [logger]
        if _is_ours(logger):
            part = logger.removeprefix("meet_trio").removeprefix(".")
            names.append(f"kolabmeet-server:{part}" if part else "kolabmeet-server")
        return _any_match(names, self.wanted) and not _any_match(names, self.excluded)


def _any_match(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)
