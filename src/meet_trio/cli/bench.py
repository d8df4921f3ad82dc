"""The command ``meet-trio bench``, see ``bench.command``."""

import argparse

from meet_trio.bench import command


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", help: str) -> None:
    """Add the command's arguments."""
    command.add_parser(commands, help)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the return value is the process's exit code."""
    return command.run(arguments)
