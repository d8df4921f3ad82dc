"""The command ``meet-trio doctor``, see ``doctor.command``."""

import argparse
from functools import partial

from meet_trio.cli.flags import add_settings
from meet_trio.doctor import command


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", help: str) -> None:
    """Add the command's arguments."""
    command.add_parser(commands, partial(add_settings, shown=lambda entry: False))


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the return value is the process's exit code."""
    return command.run(vars(arguments))
