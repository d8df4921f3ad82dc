"""Kinds of addresses: hosts, ports, URLs, origins, networks."""

import ipaddress
import re
from urllib.parse import urlsplit

from meet_trio.settings.kinds import Kind, list_of, read_items, read_text, whole

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


def _host(raw: object) -> str:
    text = read_text(raw)
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        # A name does not end in a number: such a text is an invalid IPv4 address.
        if _HOST_NAME.fullmatch(text) and not text.rsplit(".", 1)[-1].isdecimal():
            return text
        raise ValueError from None


def _address(raw: object) -> str:
    return str(ipaddress.ip_address(read_text(raw).strip("[]")))


def _domain(raw: object) -> str:
    text = read_text(raw)
    try:
        parts = urlsplit(f"//{text}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError from None
    if not host or parts.netloc != text or "@" in text:
        raise ValueError
    return text


def _endpoint(raw: object) -> tuple[str, int]:
    text = read_text(raw)
    try:
        parts = urlsplit(f"//{text}")
        host, port = _host(parts.hostname), parts.port
    except ValueError:
        raise ValueError from None
    if port is None or parts.netloc != text or "@" in text:
        raise ValueError
    return host, port


def _prefix(raw: object) -> str:
    text = "/" + read_text(raw).strip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError
    return text


def _http_url(raw: object) -> str:
    text = read_text(raw)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    return text


def _turn_url(raw: object) -> str:
    text = read_text(raw)
    # RFC 7065 §3.1
    if not re.fullmatch(
        r"turns?:([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(\?transport=\w+)?", text
    ):
        raise ValueError
    return text


def _ports(raw: object) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})\s*-\s*(\d{1,5})", read_text(raw))
    if match is None:
        raise ValueError
    first, last = int(match[1]), int(match[2])
    if not 1 <= first < last <= 65535:
        raise ValueError
    return first, last


def _origins(raw: object) -> frozenset[str] | None:
    origins = frozenset(read_text(item).rstrip("/") for item in read_items(raw))
    for origin in origins - {"*"}:
        url = urlsplit(_http_url(origin))
        if url.path or url.query or url.fragment:
            raise ValueError
    return origins or None


def read_networks(raw: object) -> tuple[str, ...]:
    """Addresses and networks, in CIDR notation. Raises a ValueError that names the invalid one."""
    return tuple(str(ipaddress.ip_network(read_text(item))) for item in read_items(raw))


HOST = Kind("an IP address or a host name", _host)
ADDRESSES = list_of(Kind("an IP address", _address), "an IP address")
HOSTS = list_of(HOST, "an IP address or a host name")
DOMAIN = Kind("a host or host:port, without a scheme,", _domain)
PORT = whole(0, 65535)
ENDPOINT = Kind("an address and a port like 127.0.0.1:9464 or [::1]:9464", _endpoint)
PORTS = Kind("a range of ports like 40000-49999", _ports)
PREFIX = Kind("a path like /meetmedia", _prefix)
HTTP_URL = Kind("an http:// or https:// URL", _http_url)
TURN_URL = Kind("a TURN URL like turn:turn.example:3478?transport=udp", _turn_url)
ORIGINS = Kind(  # the value is a set, or None if the list is empty
    "a list of origins like https://kolab.example (separated by commas), or *,", _origins
)
NETWORKS = Kind(
    "a list of addresses and networks like 10.0.0.0/8, ::1 (separated by commas)", read_networks
)
