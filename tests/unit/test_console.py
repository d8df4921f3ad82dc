"""The console without I/O: where its socket is, what people see, whom a name means."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meet_trio.config import load
from meet_trio.console.client import CommandFailed
from meet_trio.console.prompt import _Completer, _is_complete
from meet_trio.console.render import Printer, printable, table
from meet_trio.console.settings import (
    SYSTEM_SOCKET,
    ConsoleSocket,
    default_socket,
    sockets_to_try,
)
from meet_trio.console.watch import watch
from meet_trio.console.wire import MalformedLine, decode_untrusted, encode
from meet_trio.errors import ConfigError
from meet_trio.operator.inventory import Found, UnknownObject, choose
from meet_trio.operator.overview import age, roles
from meet_trio.room import Role

XDG = {"XDG_RUNTIME_DIR": "/run/user/7"}
SYSTEMD = {"RUNTIME_DIRECTORY": "/run/meet-trio"}


@pytest.mark.parametrize(
    ("environ", "uid", "path"),
    [
        (SYSTEMD, 7, "/run/meet-trio/console.sock"),
        (SYSTEMD | XDG, 7, "/run/meet-trio/console.sock"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, 7, "/run/a/console.sock"),
        (XDG, 7, "/run/user/7/meet-trio.sock"),
        (XDG, 0, "/run/user/7/meet-trio.sock"),
        ({}, 0, "/run/meet-trio/console.sock"),
        ({}, 7, None),
    ],
)
def test_where_a_server_has_its_socket(environ: dict[str, str], uid: int, path: str | None) -> None:
    expected = None if path is None else ConsoleSocket(Path(path), chosen=False)
    assert default_socket(environ, uid) == expected


def test_a_client_looks_where_servers_have_it() -> None:
    assert sockets_to_try({}) == [SYSTEM_SOCKET]
    assert sockets_to_try(XDG) == [Path("/run/user/7/meet-trio.sock"), SYSTEM_SOCKET]
    assert sockets_to_try({"KM_SOCK": "/x", **XDG}) == [Path("/x")]


@pytest.mark.parametrize(
    ("environ", "socket"),
    [
        ({"KM_SOCK": "/run/x.sock"}, ConsoleSocket(Path("/run/x.sock"))),
        ({"KM_SOCK": "off"}, None),
        ({"KM_SOCK": "", **XDG}, ConsoleSocket(Path("/run/user/7/meet-trio.sock"), chosen=False)),
    ],
)
def test_the_setting(environ: dict[str, str], socket: ConsoleSocket | None) -> None:
    settings = load({}, environ, primary_address=lambda: "192.0.2.1")
    assert settings.console.socket == socket
    assert settings.console.terminal is False
    assert settings.site.demo, "a console alone does not end demo mode"


@pytest.mark.parametrize("path", ["x.sock", "/" + "x" * 107])
def test_paths_that_cannot_be(path: str) -> None:
    with pytest.raises(ConfigError, match="KM_SOCK"):
        load({}, {"KM_SOCK": path}, primary_address=lambda: "192.0.2.1")


def test_a_line_is_a_json_object() -> None:
    message = {"id": 1, "command": "kick", "arguments": ["ä\n\u2028"]}
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode_untrusted(line) == message
    for wrong in (b"", b"1", b"[]", b"{", b"\xff{}", b"[" * 100_000):
        with pytest.raises(MalformedLine):
            decode_untrusted(wrong)


# What people see

EVIL = "Eve\x1b[2J\u202e\x9b1m\n"


def test_names_of_clients_cannot_control_the_terminal() -> None:
    assert printable("Zoë 🙂\nx") == "Zoë 🙂\nx"
    assert printable(EVIL) == "Eve\\x1b[2J\\u202e\\x9b1m\n"
    for form, item in (("table", {"name": EVIL}), ("objects", {"n": EVIL}), ("counts", {EVIL: 1})):
        out = io.StringIO()
        printer = Printer(out, as_json=False)
        printer.take(form, item)
        printer.end()
        assert "Eve" in out.getvalue()
        assert not set(out.getvalue()) & set("\x1b\u202e\x9b")


def test_a_table() -> None:
    rows: list[dict[str, Any]] = [
        {"peer": "a", "in": 5, "score": None},
        {"peer": "bcdefg", "in": 1234, "score": 10},
    ]
    assert table(rows) == ["peer      in  score", "a          5", "bcdefg  1234     10"]
    assert table([]) == []


@pytest.mark.parametrize(
    ("form", "items", "text", "as_json"),
    [
        ("object", [{"a": 1}], '{\n  "a": 1\n}\n', {"a": 1}),
        ("objects", [{"a": 1}], '{\n  "a": 1\n}\n', [{"a": 1}]),
        ("counts", [{"rooms": 1, "peers": 2}], "rooms:1\npeers:2\n", {"rooms": 1, "peers": 2}),
        ("text", ["one", "two"], "one\ntwo\n", ["one", "two"]),
        ("table", [{"a": 1}], "a\n1\n", [{"a": 1}]),
        ("table", [], "", []),
    ],
)
def test_forms(form: str, items: list[Any], text: str, as_json: Any) -> None:
    for json_wanted in (False, True):
        out = io.StringIO()
        printer = Printer(out, as_json=json_wanted)
        for item in items:
            printer.take(form, item)
        printer.end()
        if json_wanted:
            assert json.loads(out.getvalue()) == as_json
        else:
            assert out.getvalue() == text


def test_the_client_loads_neither_the_server_nor_what_it_may_not_need() -> None:
    code = "import sys, meet_trio.cli.connect; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"trio", "asyncio", "rich", "prompt_toolkit", "meet_trio.config"}


@pytest.mark.parametrize(
    ("source", "complete"),
    [
        ("1", True),
        ("await f()", True),
        ("for x in y:", False),
        ("for x in y:\n  f(x)", False),
        ("for x in y:\n  f(x)\n", True),
        ("f(", False),
        ("1 +", True),
        ("async with a:", False),
        ("\0", True),
    ],
)
def test_when_an_input_is_complete(source: str, complete: bool) -> None:
    assert _is_complete(source) is complete


class _Answers:
    """A client whose server knows one command and two rooms."""

    def items(self, command: str, *arguments: str) -> tuple[str, list[Any]]:
        if command == "commands":
            return "objects", [
                {"name": "dumpRooms", "short": "", "takes": "room"},
                {"name": "dumpTransport", "short": "dt", "takes": "transport"},
                {"name": "stats", "short": "", "takes": None},
            ]
        assert (command, arguments[0]) == ("ids", "room")
        return "text", [room for room in ("aa", "ab") if room.startswith(arguments[1])]


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("d", ["dumpRooms", "dumpTransport", "dt"]),
        ("dumpR", ["dumpRooms"]),
        ("dumpRooms a", ["aa", "ab"]),
        ("dumpRooms aa ", []),
        ("stats a", []),
        ("unknown a", []),
    ],
)
def test_completion(line: str, offers: list[str]) -> None:
    completer = _Completer([])
    completer._client = _Answers()  # type: ignore[assignment]
    assert list(completer._find(line.split(" "))) == offers


def test_watch_refuses_what_is_no_number() -> None:
    with pytest.raises(CommandFailed, match="SECONDS: 'often'") as refused:
        watch(None, ["all", "often"], as_json=False)  # type: ignore[arg-type]
    assert refused.value.usage


# Whom a name means


def found(name: str, order: float) -> Found[Any]:
    return Found(SimpleNamespace(), name, SimpleNamespace(), order)  # type: ignore[arg-type]


def test_an_object_is_chosen() -> None:
    things = [found("abc", 1), found("abd", 3), found("ab", 2)]
    assert choose("room", things, None).id == "abd"
    assert choose("room", things, "abc").id == "abc"
    assert choose("room", things, "ab").id == "ab", "a whole id counts before a beginning"
    assert choose("room", things, "abd").id == "abd"


def test_the_later_one_of_two_that_are_as_old() -> None:
    assert choose("peer", [found("a", 1), found("b", 1)], None).id == "b"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("x", "there is no room whose id begins with 'x'"),
        ("", "there is no room whose id begins with ''"),
        ("ab", "'ab' begins the ids of 7 rooms: ab0, ab1, ab2, ab3, ab4 and 2 more"),
    ],
)
def test_a_name_that_means_no_object_or_several(name: str, says: str) -> None:
    with pytest.raises(UnknownObject) as refused:
        choose("room", [found(f"ab{n}", n) for n in range(7)], name)
    assert str(refused.value) == says


def test_words_of_rows() -> None:
    assert [age(s) for s in (-1, 0.5, 119, 120, 7200, 200_000)] == [
        "0 s",
        "0 s",
        "119 s",
        "2 min",
        "2 h",
        "2 d",
    ]
    assert roles(Role.OWNER | Role.SUBSCRIBER) == "subscriber+owner"
