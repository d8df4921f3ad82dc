"""The prompt of ``meet-trio connect``: history, completion of commands and of ids, and the Python
prompt.
"""

import codeop
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from meet_trio.console.client import Client, CommandFailed, NoServer
from meet_trio.console.runner import FINE, Runner

_COMPLETION_TIMEOUT = 1.0  # seconds
_TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def prompt(runner: Runner, paths: Sequence[Path], environ: Mapping[str, str]) -> int:
    """Read commands until Ctrl-D, ``exit`` or ``quit``. Returns the exit code."""
    completer = _Completer(paths)
    reader: PromptSession[str] = PromptSession(
        history=_history(environ), completer=completer, complete_in_thread=True
    )
    try:
        while (line := _next_line(reader, "meet-trio> ")) is not None:
            words = line.split()
            if words in (["exit"], ["quit"]):
                break
            try:
                if words in (["terminal"], ["t"]):
                    _python_prompt(runner)
                else:
                    runner.run_line(line)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
    finally:
        completer.close()
    return FINE


def _next_line(reader: "PromptSession[str]", text: str) -> str | None:
    """A line, None after Ctrl-D. Ctrl-C begins a new one."""
    while True:
        try:
            return reader.prompt(text)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return None


def _python_prompt(runner: Runner) -> None:
    """What is typed here is not kept: it may have secrets in it."""
    if runner.run(["terminal"]) != FINE:  # it is switched off
        return
    reader: PromptSession[str] = PromptSession(history=InMemoryHistory())
    print("Python inside the server; registry, rooms and settings are there; Ctrl-D ends it.")
    lines: list[str] = []
    while (line := _next_line(reader, "... " if lines else ">>> ")) is not None:
        lines.append(line)
        source = "\n".join(lines)
        if source.strip() and ((len(lines) > 1 and line) or not _is_complete(source)):
            continue
        lines.clear()
        if source.strip() in ("exit", "exit()", "quit", "quit()"):
            return
        if source.strip():
            runner.run(["terminal", source])


def _is_complete(source: str) -> bool:
    """Whether an input can be run as it is. A wrong one can: the server says what is wrong."""
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= _TOP_LEVEL_AWAIT
    try:
        return compiler(source, "<console>", "single") is not None
    except (SyntaxError, ValueError, OverflowError):
        return True


def _history(environ: Mapping[str, str]) -> History:
    """A file that only its owner can read. Without a place for it the history ends with the
    console.
    """
    state = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    path = state / "meet-trio" / "console-history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


@attrs.define(eq=False)
class _Completer(Completer):
    """Completes commands, then the ids of the kind that a command takes. It runs in a thread of
    prompt_toolkit, with a connection of its own. A server that does not answer completes nothing.
    """

    _paths: Sequence[Path]
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _client: Client | None = None
    _kinds: dict[str, str | None] = attrs.field(factory=dict)

    def close(self) -> None:
        with self._lock:
            self._drop()

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        words = document.text_before_cursor.split(" ")
        with self._lock:
            try:
                found = list(self._find(words))
            except (NoServer, CommandFailed):
                self._drop()
                found = []
        for text in found:
            yield Completion(text, start_position=-len(words[-1]))

    def _find(self, words: Sequence[str]) -> Iterator[str]:
        if self._client is None:
            self._client = Client.connect(self._paths, timeout=_COMPLETION_TIMEOUT)
        if not self._kinds:
            for command in self._client.items("commands")[1]:
                for name in filter(None, (command["name"], command["short"])):
                    self._kinds[name] = command["takes"]
        if len(words) == 1:
            yield from (name for name in self._kinds if name.startswith(words[0]))
        elif len(words) == 2 and (kind := self._kinds.get(words[0])):
            yield from self._client.items("ids", kind, words[1])[1]

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
