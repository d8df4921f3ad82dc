"""The listening sockets of the HTTP side, and their TLS."""

import errno
import re
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import trio

from meet_trio.edge.settings import ListenerSettings
from meet_trio.errors import ConfigError
from meet_trio.kept_sockets import KeptSockets

_IP_FREEBIND = 15  # linux/in.h
_IPV6_FREEBIND = 78  # linux/in6.h
_BACKLOG = 0xFFFF  # the kernel takes as many as it has room for, as with trio.open_tcp_listeners

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


async def open_listeners(
    host: str,
    port: int,
    names: str,
    kept: KeptSockets | None = None,
    part: str = "http",
    *,
    free: bool = False,
) -> Sequence[trio.SocketListener]:
    """A listener for each address of ``host``: the inherited one of ``part``, or else a new one,
    which is kept.

    ``free``: this machine need not have the address yet (IP_FREEBIND of ip(7)).

    Raises ConfigError when the address cannot be listened on. ``names`` are those of the settings
    that say it.
    """
    kept = kept or KeptSockets()
    found: list[trio.SocketListener] = []
    unsupported: OSError | None = None
    try:
        for family, address in await _addresses(host, port):
            try:
                found.append(await _open(family, address, kept, part, free))
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                unsupported = error  # a machine without IPv6 may have addresses of it in a file
        if not found and unsupported is not None:
            raise unsupported
    except BaseException as error:
        for listener in found:
            listener.socket.close()
        if not isinstance(error, OSError):
            raise
        raise ConfigError(f"{names}: cannot listen on {host}:{port}: {error}") from None
    return found


async def _addresses(host: str, port: int) -> Sequence[tuple[int, SocketAddress]]:
    """Families and addresses of ``host``, each once."""
    found = await trio.socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    # (int, bytes) is an IPv6 address in a Python that was built without IPv6
    return list(
        dict.fromkeys(
            (int(family), address)
            for family, _, _, _, address in found
            if not isinstance(address[1], bytes)
        )
    )


async def _open(
    family: int, address: SocketAddress, kept: KeptSockets, part: str, free: bool
) -> trio.SocketListener:
    name = f"{part}-{address[0].replace(':', '_')}-{address[1]}"  # a name has no colon
    inherited = kept.take(name, lambda one: _listens_at(one, family, address))
    if inherited is not None:
        return trio.SocketListener(trio.socket.from_stdlib_socket(inherited))
    if free:
        listener = _open_free(family, address)
        kept.keep(name, listener.socket.fileno())
        return listener
    host = f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else address[0]
    try:
        (listener,) = await trio.open_tcp_listeners(address[1], host=host)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not kept.make_room(address[1]):
            raise
        (listener,) = await trio.open_tcp_listeners(address[1], host=host)
    kept.keep(name, listener.socket.fileno())
    return listener


def _open_free(family: int, address: SocketAddress) -> trio.SocketListener:
    """A listener, as trio makes one, at an address that this machine may get later."""
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            one.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        one.bind(address)
        one.listen(_BACKLOG)
        one.setblocking(False)
        return trio.SocketListener(trio.socket.from_stdlib_socket(one))
    except BaseException:
        one.close()
        raise


def _listens_at(one: socket.socket, family: int, wanted: SocketAddress) -> bool:
    """Whether it listens at the address, or, if the wanted port is 0, at any port of it."""
    if (one.family, one.type) != (family, socket.SOCK_STREAM):
        return False
    if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    one.setblocking(False)
    has = one.getsockname()
    return (
        socket.inet_pton(family, has[0].partition("%")[0])
        == socket.inet_pton(family, wanted[0].partition("%")[0])
        and wanted[1] in (0, has[1])
        and has[2:] == wanted[2:]
    )


def tls_context(settings: ListenerSettings) -> ssl.SSLContext | None:
    """None without a certificate. Raises ConfigError when the files cannot be used; its message
    names the file.

    Reads files: a running server calls this in a thread.
    """
    if settings.tls_cert is None:
        return None
    key = settings.tls_key or settings.tls_cert
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # the front door recognises a websocket of HTTP/1.1 only, so HTTP/2 is not offered
    context.set_alpn_protocols(["http/1.1"])
    _check_certificate(settings.tls_cert)
    try:
        key.read_bytes()
    except OSError as error:
        raise ConfigError(f"http.tls_key: {key}: {error.strerror}") from None
    try:
        # Without a password for it, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(settings.tls_cert, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"is not the key of the first certificate in {settings.tls_cert}"
        else:
            why = f"no private key in PEM without a password ({error})"
        raise ConfigError(f"http.tls_key: {key}: {why}") from None
    return context


def _check_certificate(path: Path) -> None:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=_certificates(text))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"http.tls_cert: {path}: no certificate in PEM ({error})") from None
    except OSError as error:  # the base of SSLError
        raise ConfigError(f"http.tls_cert: {path}: {error.strerror}") from None


def _certificates(text: str) -> str:
    """The certificates of a PEM file, which may have a key too. OpenSSL takes no other text when it
    is given a text and no file.
    """
    found = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    return "\n".join(found)
