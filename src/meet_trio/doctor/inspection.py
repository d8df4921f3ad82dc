"""What all checks share: settings, machine, and what answers on the server's ports."""

import ipaddress
import socket as sockets
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

import attrs

from meet_trio.config import Settings
from meet_trio.doctor.machine import Machine

UDP, TCP = "UDP", "TCP"


class ServerState(Enum):
    """What answers on the HTTP port of this machine."""

    STOPPED = "nothing"
    RUNNING = "a server that takes our token"
    OTHER_TOKEN = "a server that refuses our token"
    FOREIGN = "another program"


@attrs.frozen
class ServerPort:
    """One port that the server wants. ``error`` None: the doctor could bind it. It then holds it in
    ``socket`` as long as it runs, if the server does not run.
    """

    setting: str
    protocol: str
    address: str
    port: int
    error: OSError | None = None
    socket: sockets.socket | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        return f"{host_port(self.address, self.port)}/{self.protocol.lower()}"


@attrs.frozen
class MediaTrial:
    """A port of media that answers STUN requests with this username: an engine's, which checks the
    password too, or a stand-in's.
    """

    port: int
    username: str = ""
    password: str = attrs.field(default="", repr=False)


@attrs.frozen(kw_only=True)
class Inspection:
    """``given``: whether the settings come from a file, flags or variables. ``nonce`` is the answer
    of the HTTP stand-in. ``trials`` None: the running server could not be asked for any, and
    ``trial_problem`` says why.
    """

    settings: Settings
    machine: Machine
    config_path: Path | None = None
    server: ServerState = ServerState.STOPPED
    health: Mapping[str, object] = attrs.field(factory=dict)
    ports: Sequence[ServerPort] = ()
    trials: Sequence[MediaTrial] | None = ()
    trial_problem: str = ""
    nonce: str = ""

    @property
    def is_running(self) -> bool:
        return self.server is ServerState.RUNNING

    @property
    def public_host(self) -> str | None:
        return split_domain(self.settings.listener.public_domain or "")[0] or None

    @property
    def public_port(self) -> int:
        listener = self.settings.listener
        port = split_domain(listener.public_domain or "")[1]
        return port or (443 if self.says_tls else 80)

    @property
    def says_tls(self) -> bool:
        """Whether token URLs begin with ``wss``."""
        return self.settings.listener.token_base(0).startswith("wss:")


def split_domain(domain: str) -> tuple[str, int | None]:
    """``host:port``, ``[v6]:port`` or ``host``. The setting has been parsed before."""
    host, bracket, rest = domain.removeprefix("[").partition("]")
    if bracket:
        return host, int(rest[1:]) if rest else None
    host, colon, port = domain.partition(":")
    return host, int(port) if colon and port else None


def host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def as_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_for_all(address: str) -> bool:
    """Whether the Internet can reach an address of this kind. (A private or shared one it cannot.)
    ``address`` is no name.
    """
    return ipaddress.ip_address(address).is_global
