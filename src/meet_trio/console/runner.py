"""Runs the commands of a person or a script, and prints their answers."""

import shlex
import sys
from collections.abc import Sequence

import attrs

from meet_trio.console import render
from meet_trio.console.client import Client, CommandFailed
from meet_trio.console.recording import Recording
from meet_trio.console.watch import watch

FINE, FAILED, USAGE, NO_SERVER = range(4)
"""Exit codes."""


@attrs.define(eq=False)
class Runner:
    """Runs commands of a person or a script, and prints their answers."""

    client: Client
    as_json: bool

    def run(self, words: Sequence[str]) -> int:
        """Run one command and return its exit code."""
        name, *arguments = words
        try:
            if name in ("watch", "w"):
                watch(self.client, arguments, as_json=self.as_json)
            elif name == "trace":
                self._keep_trace(arguments)
            else:
                self._print_answer(name, arguments)
        except CommandFailed as error:
            print(f"{name}: {render.printable(str(error))}", file=sys.stderr)
            return USAGE if error.usage else FAILED
        return FINE

    def run_line(self, line: str) -> int:
        """Run a line as it was typed. What follows ``terminal`` is one argument."""
        name, _, rest = line.strip().partition(" ")
        if name in ("terminal", "t") and rest:
            return self.run([name, rest])
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return USAGE
        return self.run(words) if words else FINE

    def _keep_trace(self, arguments: Sequence[str]) -> None:
        """The packets go to standard output, or to a new file if that is a terminal. What was
        written is told on standard error.
        """
        with Recording(sys.stdout) as recording:
            self.client.ask("trace", arguments, recording.take)

    def _print_answer(self, name: str, arguments: Sequence[str]) -> None:
        printer = render.Printer(sys.stdout, as_json=self.as_json)
        self.client.ask(name, arguments, printer.take)
        printer.end()
