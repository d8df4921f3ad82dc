"""The listening sockets of the HTTP side, and their TLS."""

import ssl
from collections.abc import Sequence

import trio

from meet_trio.edge.settings import ListenerSettings
from meet_trio.errors import ConfigError


async def open_listeners(host: str, port: int, names: str) -> Sequence[trio.SocketListener]:
    """Raises ConfigError when the address cannot be listened on. ``names`` are those of the
    settings that say it.
    """
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise ConfigError(f"{names}: cannot listen on {host}:{port}: {error}") from None


def tls_context(settings: ListenerSettings) -> ssl.SSLContext | None:
    """None without a certificate. Raises ConfigError when the files cannot be used."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # the front door recognises a websocket of HTTP/1.1 only, so HTTP/2 is not offered
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"http.tls_cert, http.tls_key: cannot be used: {error}") from None
    return context
