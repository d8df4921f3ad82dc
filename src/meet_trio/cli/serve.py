"""The command ``meet-trio serve``: reads settings, sets logging up, runs the server.

Outside of a service manager the process first becomes the supervisor, see ``supervisor``.

An invalid setting ends it with exit code 2 and one line that says why. SIGINT and SIGTERM end it
with 0.

Once the server listens, standard output says so to the person who started it. The log goes to
standard error.
"""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from meet_trio import __version__
from meet_trio.cli.flags import add_settings
from meet_trio.config import Settings, load, warnings_about
from meet_trio.errors import ConfigError
from meet_trio.late import late_modules

if TYPE_CHECKING:
    from meet_trio.app import Running
    from meet_trio.logs.levels import LogLevels
    from meet_trio.upgrade.takeover import Takeover


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the return value is the process's exit code."""
    takeover = _takeover()
    given = vars(arguments)
    config_path: Path | None = given.pop("config")
    flags = {key: value for key, value in given.items() if value is not None}
    try:
        settings = load(flags, os.environ, config_path)
    except ConfigError as error:
        if takeover is not None:
            takeover.fail(error)
        return _refuse(str(error))
    if takeover is None and settings.process.supervised and not os.environ.get("NOTIFY_SOCKET"):
        _become_supervisor(settings)
    # Imported here, so that --help and an invalid setting do not load it.
    from meet_trio.logs.setup import set_up_logging

    levels = set_up_logging(settings.logs)
    for warning in warnings_about(settings):
        logging.getLogger("meet_trio.cli").warning("%s", warning)
    return _serve(settings, levels, partial(_reread, flags, config_path), takeover)


def _takeover() -> "Takeover | None":
    """None: no other server has started this process."""
    if "UPGRADE_CHANNEL" not in os.environ:
        return None
    from meet_trio.upgrade.takeover import Takeover

    return Takeover.from_environ(os.environ)


def _become_supervisor(settings: Settings) -> NoReturn:
    """Replace this process by the supervisor, which starts the same command once more. Its child
    finds NOTIFY_SOCKET.
    """
    process = settings.process
    command = [sys.executable, *sys.orig_argv[1:]]
    # -P: modules in the working directory are not the supervisor's
    module = ["-I" if sys.flags.isolated else "-P", "-m", "meet_trio.supervisor"]
    times = [str(process.watchdog), str(process.shutdown_timeout)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *module, *times, *command])


def _reread(flags: Mapping[str, object], config_path: Path | None, present: Settings) -> Settings:
    return load(flags, os.environ, config_path, present=present)


def _serve(
    settings: Settings,
    levels: "LogLevels",
    reread: Callable[[Settings], Settings],
    takeover: "Takeover | None",
) -> int:
    # Imported here, so that --help and an invalid setting do not load the server.
    with contextlib.nullcontext() if takeover is None else takeover.guard():
        from meet_trio import collector

        collector.hold()
        from meet_trio.daemon import run
    from meet_trio.kept_sockets import KeptSockets
    from meet_trio.operator.notify import Notifier

    notifier = Notifier.from_environ(os.environ)
    kept = KeptSockets.from_environ(os.environ, notifier.store, notifier.remove, notifier.main_is)
    if takeover is not None:
        takeover.begin(kept, lambda dtls: late_modules(settings, dtls=dtls))

    def started(running: "Running") -> None:
        running.reload.parts.append(lambda settings: levels.configure(settings.logs))
        if takeover is None:
            _greet(running.reload.settings, running)

    try:
        run(
            settings,
            levels=levels,
            started=started,
            reread=reread,
            notifier=notifier,
            kept=kept,
            takeover=takeover,
        )
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
    """Prints the help with all settings, bounds included, and ends the command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        everything = argparse.ArgumentParser(prog=parser.prog)
        _describe(everything, bounds=True)
        everything.print_help()
        parser.exit()


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", help: str) -> None:
    """Add the command's arguments."""
    _describe(commands.add_parser("serve", help=help, allow_abbrev=False), bounds=False)


def _describe(parser: argparse.ArgumentParser, *, bounds: bool) -> None:
    """``bounds``: the help also shows the settings that are bounds. They are always accepted."""
    parser.usage = "meet-trio serve [--config FILE] [--SETTING VALUE ...]"
    parser.description = (
        "Run the server. Settings are read from the environment, then from the TOML file, then "
        "from flags; what comes later wins. In the file, --http-port is port in the table "
        "[http], and so on. With no settings at all it runs in demo mode."
    )
    parser.epilog = "Times are in seconds."
    parser.add_argument(
        "--help-all",
        action=_HelpAll,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show the bounds too, which stand far above what people do, and exit",
    )
    add_settings(parser, lambda entry: bounds or entry.about.operator)
