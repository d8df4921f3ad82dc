"""The messages that a user may see, as templates, from the source: what the pages of
``docs/errors`` have to explain.

A template is a message's text with ``…`` in place of what is filled in. Found are

- the texts of errors that reach a user (``_SHOWN``, and ValueError where settings are read),
- log lines from WARNING on,
- the texts that carriers bring (``_CARRIERS``): functions that put another text in front,
- texts that are assigned to the names in ``_REASONS``, or stand behind a key ``error``,
- the reasons of ``health``, Engine.IO's refusals and reasons, the sentences of the meeting page.

A text without a letter of its own (``…: …``) only carries another one and is left out. So is a
single word, which is a value and no message.

``PYTHONPATH=tests python -m support.messages > docs/errors/index.md`` writes the index of the
pages.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "meet_trio"
PAGES = ROOT / "docs" / "errors"
WORDS = ROOT / "web" / "src" / "words" / "en.ts"
_OTHER_WORDS = (WORDS.with_name("de.ts"), WORDS.with_name("fr.ts"))

_NOT_HERE = ("doctor",)  # has a page of its own, with all findings
_SHOWN = {
    "BadRequest", "CallTimeout", "CommandFailed", "ConfigError", "DtlsError", "EngineError",
    "Forbidden", "HTTPException", "LimitExceeded", "MalformedLine", "NoServer", "NotFound",
    "ProtocolError", "RequestError", "SocketUnusable", "StateUnusable", "UnknownMethod",
    "UnknownObject", "UsageError", "_Full", "_LineTooLong",
}  # fmt: skip
"""Errors whose text a user reads: in an answer, on a terminal, in the log."""
_READERS = (
    "settings/",
    "admin/settings.py",
    "console/settings.py",
    "journal/settings.py",
    "operator/settings.py",
    "logs/levels.py",
)
"""Where the text of a ValueError completes the error about a setting."""
_CARRIERS = {
    "PlainTextResponse": (0, 2),
    "_fail": (0, 1),
    "_print_line": (0, 1),
    "answer": (2, 3),
    "fail": (1, 2),
    "refuse": (1, 2),
}
"""Functions: the place of the text in their arguments, and how many they have at least."""
_REASONS = {"why", "trouble", "refusal", "refused", "MISDIRECTED", "TOO_MANY"}
_LOG_LEVELS = {"warning", "error", "critical", "exception"}
_WHOLE = ("operator/health.py:_of_", "config/load.py:warnings_about", "live/handlers.py:_too_many")
"""Functions that return or yield messages."""
_REFUSALS = "socketio/request.py"
_ENDS = "socketio/errors.py"
_HOLE = "…"


@cache
def templates() -> Mapping[str, str]:
    """Each template of the code, with a place where it stands."""
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(_NOT_HERE):
            continue
        for line, text in _texts(name, ast.parse(path.read_text())):
            if re.search(r"[A-Za-z]{2}", text) and (" " in text or name == _REFUSALS):
                found.setdefault(text.strip(), f"src/meet_trio/{name}:{line}")
    for line, _, text in _sentences():
        found.setdefault(text, f"web/src/words/en.ts:{line}")
    return found


def _texts(name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for found in _of_node(name, node):
            for text in _filled(found):
                yield found.lineno, text


def _of_node(name: str, node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Raise(exc=ast.Call(func=func, args=args)):
            raised = ast.unparse(func).rpartition(".")[2]
            if raised in _SHOWN or (raised == "ValueError" and name.startswith(_READERS)):
                yield from args
        case ast.Call(func=ast.Attribute(value=value, attr=attr), args=[first, *_]) if (
            attr in _LOG_LEVELS and "logg" in ast.unparse(value).lower()
        ):
            yield first
        case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called), args=args) if (
            called in _CARRIERS and len(args) >= _CARRIERS[called][1]
        ):
            yield args[_CARRIERS[called][0]]
        case ast.Call(func=ast.Attribute(attr="__init__"), args=[ast.JoinedStr() as text]):
            yield text
        case ast.Call(func=ast.Name(id="print"), args=[first, *_]) if (
            ast.unparse(first).lstrip("f\"'").startswith("meet-trio: ")
        ):
            yield first
        case ast.Assign(targets=[ast.Name(id=target) | ast.Attribute(attr=target)], value=value):
            if name == _ENDS or (target in _REASONS and " " in ast.unparse(value)):
                yield value
            elif name == _REFUSALS and isinstance(value, ast.Tuple):
                yield from value.elts
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "error":
                    yield value
        case ast.FunctionDef(name=function) if f"{name}:{function}".startswith(_WHOLE):
            yield from _messages_of(node)


def _messages_of(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """The texts that a function returns or yields, alone or in a list."""
    for node in ast.walk(function):
        match node:
            case ast.List(elts=elements):
                yield from elements
            case ast.Call(func=ast.Attribute(attr="append"), args=[text]):
                yield text
            case ast.Return(value=ast.expr() as text) | ast.Yield(value=ast.expr() as text):
                yield text


def _filled(node: ast.expr) -> Iterator[str]:
    """The templates of an expression. A choice has those of both branches."""
    match node:
        case ast.Constant(value=str(text)):
            # of the logger: %s, %d, %.0f
            yield re.sub(r"%[-\d.]*[a-z]", _HOLE, text)
        case ast.JoinedStr(values=parts):
            texts = [p.value if isinstance(p, ast.Constant) else _HOLE for p in parts]
            yield re.sub("…+", _HOLE, "".join(map(str, texts)).replace("\n", " "))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for start in _filled(left):
                yield start + ("".join(_filled(right)) or _HOLE)
        case ast.BinOp(left=ast.Constant() as left, op=ast.Mod()):
            yield from _filled(left)
        case ast.IfExp(body=body, orelse=other):
            yield from _filled(body)
            yield from _filled(other)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _filled(value)
        case ast.Subscript(value=value):
            yield from _filled(value)


def _sentences(words: Path = WORDS) -> Iterator[tuple[int, str, str]]:
    """The texts of the page that are sentences: line, name and text. Labels, and words while
    something is done (``Joining…``), are no messages.
    """
    text = words.read_text()
    for match in re.finditer(r'(["`])((?:(?!\1).)+[.!?]|(?:(?!\1).)+\. (?:(?!\1).)+…)\1', text):
        line = text.count("\n", 0, match.start()) + 1
        name = re.findall(r"^  (\w+):", text[: match.start()], re.MULTILINE)[-1]
        yield line, name, re.sub("…+", _HOLE, re.sub(r"\$\{[^}]*\}", _HOLE, match[2]))


def _translations() -> dict[str, list[str]]:
    """The sentences of the page in other languages, by the English one."""
    english = {name: text for _, name, text in _sentences()}
    found: dict[str, list[str]] = {}
    for words in _OTHER_WORDS:
        for _, name, text in _sentences(words):
            if name in english:
                found.setdefault(english[name], []).append(text)
    return found


_HEAD = """\
# What a message means

This page has every message that a user may see, with the page that says what it means, why it
comes and what to do. Messages of the meeting page are here in each of its languages. `…` stands for
what is filled in: search for a part of the message without numbers and names. What `meet-trio
doctor` finds is on [its own page](../doctor.md). What people say who see no message is on
[troubleshooting](../troubleshooting.md).

Made by `PYTHONPATH=tests python -m support.messages > docs/errors/index.md`."""


@attrs.frozen
class ErrorPage:
    """``seen_by``: keys of ``AUDIENCES``."""

    path: Path
    title: str
    seen_by: tuple[str, ...]
    templates: tuple[str, ...]


AUDIENCES = {
    "person": "People in a meeting, from the page",
    "start": "Operators, at the start and on a reload",
    "log": "Operators, in the log",
    "health": "Operators, from health",
    "console": "Operators, at the console",
    "admin": "Operators, on the admin page",
    "http": "Developers, from the HTTP API",
    "signaling": "Developers, from signaling requests",
    "socket": "Developers, from the socket",
}
_AUDIENCE_NAMES = {whom: name for name, whom in AUDIENCES.items()}


def pages() -> list[ErrorPage]:
    """The pages. A page begins with its title, who sees it, and the list of its templates."""
    found = []
    for path in sorted(PAGES.glob("*.md")):
        if path.name == "index.md":
            continue
        head, _, rest = path.read_text().partition("\n\n")
        seen, _, rest = rest.partition("\n\n")
        listed = rest.partition("\n\n")[0].splitlines()
        audiences = seen.removeprefix("Seen by: ").removesuffix(".").split("; ")
        found.append(
            ErrorPage(
                path,
                head.removeprefix("# ").strip(),
                tuple(_AUDIENCE_NAMES.get(whom, whom) for whom in audiences),
                tuple(line[3:-1] for line in listed if re.fullmatch(r"- `.+`", line)),
            )
        )
    return found


def index() -> str:
    """The index of the pages, by who sees a message."""
    lines = [_HEAD]
    translated = _translations()
    found = pages()
    for key, whom in AUDIENCES.items():
        lines += ["", f"## {whom}", "", "| message | page |", "|---|---|"]
        for page in (page for page in found if key in page.seen_by):
            link = f"[{page.title}]({page.path.name})"
            for template in page.templates:
                texts = (template, *translated.get(template, ()))
                lines += [f"| `{text.replace('|', chr(92) + '|')}` | {link} |" for text in texts]
    return "\n".join(lines)


if __name__ == "__main__":
    print(index())
