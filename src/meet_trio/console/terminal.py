"""A Python prompt inside the server: each input runs in the task of its command.

``await`` works at the top level of an input (``ast.PyCF_ALLOW_TOP_LEVEL_AWAIT``). The value of a
last expression is shown and kept as ``_``. ``print`` writes to the console instead of the server's
standard output. Cancelling the command cancels the input where it awaits. An input that loops
without awaiting holds the whole server, and nothing can end it but the process's end.
"""

import ast
import builtins
import inspect
import io
import traceback
import types
from typing import Any

import trio

from meet_trio.console.call import Call

_MOST_OUTPUT = 1_000_000  # characters that one input may print


class _Output(io.StringIO):
    """What an input prints, up to ``_MOST_OUTPUT``."""

    def write(self, text: str) -> int:
        room = _MOST_OUTPUT - self.tell()
        super().write(text[: max(0, room)])
        return len(text)


async def run_input(call: Call, source: str) -> None:
    """Compile and run one input, and put what it prints and its value, or its traceback."""
    output = _Output()
    namespace = call.namespace
    if not namespace:
        namespace.update(_namespace(call))
    namespace["print"] = _printer(output)
    try:
        value = await _evaluate(source, namespace)
        if value is not None:
            namespace["_"] = value
            output.write(repr(value) + "\n")
    except trio.Cancelled:
        raise
    except BaseException as error:
        # SystemExit too: the server must not end because somebody types exit()
        cancelled, shown = _apart(error)
        if shown is not None:
            output.write(_traceback(shown))
        if cancelled is not None:
            raise cancelled from None
    if text := output.getvalue():
        await call.put(text.removesuffix("\n"))


def _apart(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Trio's cancellation, which goes on, and the rest, which is shown."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)
    return None, error


async def _evaluate(source: str, namespace: dict[str, Any]) -> object:
    tree = ast.parse(source, "<console>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    await _run(tree, "exec", namespace)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return await _run(ast.Expression(last.value), "eval", namespace)


async def _run(tree: ast.Module | ast.Expression, mode: str, namespace: dict[str, Any]) -> object:
    code = compile(tree, "<console>", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = types.FunctionType(code, namespace)()
    if code.co_flags & inspect.CO_COROUTINE:
        value = await value
    return value


def _namespace(call: Call) -> dict[str, Any]:
    return {
        "__name__": "__console__",
        "__builtins__": builtins,
        "registry": call.registry,
        "rooms": call.registry.rooms,
        "settings": call.server.settings(),
        "trio": trio,
    }


def _printer(output: io.StringIO) -> Any:
    def print_to_console(*values: object, **how: Any) -> None:
        builtins.print(*values, **{"file": output, **how})

    return print_to_console


def _traceback(error: BaseException) -> str:
    """Without the frames of this file, which are always the same."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename == __file__:
        found = found.tb_next
    return "".join(traceback.format_exception(type(error), error, found))
