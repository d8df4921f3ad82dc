"""Settings of the console, and where its socket is."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from meet_trio.settings import kinds
from meet_trio.settings.about import about
from meet_trio.settings.kinds import Kind, seconds, whole

SOCKET_VARIABLE = "KM_SOCK"
SYSTEM_SOCKET = Path("/run/meet-trio/console.sock")
"""Where ``conf/meet-trio.service`` has it (``RuntimeDirectory=meet-trio``)."""

_LONGEST_PATH = 107  # bytes; ``sun_path`` of unix(7) has 108 with the 0 at the end


@attrs.frozen
class ConsoleSocket:
    """``chosen``: an operator named the path. A server that cannot have a path that was chosen does
    not start. At the default path it runs without a console.
    """

    path: Path
    chosen: bool = True


def _read_socket(raw: object) -> ConsoleSocket | None:
    if raw is False:  # TOML's own word
        return None
    text = kinds.read_text(raw)
    if text.lower() in ("off", "none"):
        return None
    path = Path(text).expanduser()
    if len(bytes(path)) > _LONGEST_PATH:
        raise ValueError(f"the path of a unix socket has at most {_LONGEST_PATH} bytes")
    if not path.is_absolute():
        raise ValueError("an absolute path, or off, is wanted")
    return ConsoleSocket(path)


@attrs.frozen(kw_only=True)
class ConsoleSettings:
    """``socket`` None: there is no console."""

    socket: ConsoleSocket | None = attrs.field(
        default=None,
        metadata=about(
            "console.socket",
            Kind("an absolute path, or off,", _read_socket),
            "unix socket of the console, for meet-trio connect",
            env=SOCKET_VARIABLE,
            default="console.sock in systemd's RuntimeDirectory, else "
            "$XDG_RUNTIME_DIR/meet-trio.sock, else for root /run/meet-trio/console.sock",
            operator=True,
            example="/run/meet-trio/console.sock",
        ),
    )
    terminal: bool = attrs.field(
        default=False,
        metadata=about(
            "console.terminal",
            kinds.SWITCH,
            "the console has a Python prompt inside the server, which may do everything",
            operator=True,
        ),
    )
    max_connections: int = attrs.field(
        default=8,
        metadata=about("console.max_connections", whole(1, 1000), "consoles at once"),
    )
    max_line: int = attrs.field(
        default=65536,
        metadata=about(
            "console.max_line", whole(256, 2**24, "bytes"), "size of one line to the server"
        ),
    )
    write_timeout: float = attrs.field(
        default=10.0,
        metadata=about(
            "console.write_timeout",
            seconds(0.1, 600),
            "a console that reads nothing for this time is closed",
        ),
    )


def default_socket(environ: Mapping[str, str], uid: int) -> ConsoleSocket | None:
    """Where a server has its socket without a setting. None if there is no private place for it.

    systemd sets RUNTIME_DIRECTORY for services and XDG_RUNTIME_DIR for people who have logged in.
    """
    if environ.get("RUNTIME_DIRECTORY"):
        # several directories are separated by colons
        first = environ["RUNTIME_DIRECTORY"].partition(":")[0]
        return ConsoleSocket(Path(first) / SYSTEM_SOCKET.name, chosen=False)
    return next((ConsoleSocket(p, chosen=False) for p in _usual(environ, root=uid == 0)), None)


def sockets_to_try(environ: Mapping[str, str]) -> list[Path]:
    """Where a client looks for a server, in this order."""
    if environ.get(SOCKET_VARIABLE, "").strip():
        return [Path(environ[SOCKET_VARIABLE].strip()).expanduser()]
    return list(_usual(environ, root=True))


def _usual(environ: Mapping[str, str], *, root: bool) -> Iterator[Path]:
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "meet-trio.sock"
    if root:
        yield SYSTEM_SOCKET
