"""Helper processes of a test: they get a question in a line of JSON, and answer with a line.

``Helper`` is the test's side, ``conversation`` the helper's. Other output of a helper goes to its
standard error, which is the test's own.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

_LONGEST = 1 << 24  # bytes of a line
END_DEADLINE = 10.0


@attrs.define(eq=False)
class Helper:
    """``python -m MODULE`` for the time of one test or several."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, module: str) -> "Helper":
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return cls(
            subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        )

    def ask(self, question: object) -> Any:
        """The helper's answer. Raises AssertionError if the helper raised or has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError("the helper has ended") from None
        line = self.process.stdout.readline()
        assert line, "the helper has ended"
        answer = json.loads(line)
        assert not (isinstance(answer, dict) and "raised" in answer), answer["raised"]
        return answer

    async def aask(self, question: object) -> Any:
        """The same without holding the loop. A cancelled call loses its answer: stop the helper
        then.
        """
        return await trio.to_thread.run_sync(self.ask, question, abandon_on_cancel=True)

    def stop(self) -> None:
        """End the helper by closing its input; kill it if it does not end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(END_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


async def conversation(answer: Callable[[Any], Awaitable[object]]) -> None:
    """Answer each line of standard input until its end."""
    stdin = trio.lowlevel.FdStream(os.dup(0))
    rest = b""
    async with stdin:
        while chunk := await stdin.receive_some(65536):
            rest += chunk
            assert len(rest) < _LONGEST
            *lines, rest = rest.split(b"\n")
            for line in lines:
                said: object
                try:
                    said = await answer(json.loads(line))
                except Exception as error:
                    said = {"raised": "".join(map(_told, _leaves(error)))}
                print(json.dumps(said), flush=True)


def _leaves(error: BaseException) -> list[BaseException]:
    """The exceptions inside the groups that nurseries make of them."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
