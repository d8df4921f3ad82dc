"""The listening sockets of the HTTP side, and their TLS."""

import re
import ssl
from collections.abc import Sequence
from pathlib import Path

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
