"""How one setting is declared and read.

A setting is a field of an attrs record in ``records``; ``about`` is what the field carries as
metadata: what it is for, what values it takes, and by which environment variable it is known. The
TOML key is ``group.field``, the flag ``--group-field``, the variable ``MEET_TRIO_GROUP_FIELD``
unless the field names another. Everything that reads or shows settings (parser, help, docs) walks
these fields, so a setting is written down once.

A ``Kind`` turns what a person wrote (a string from a flag or a variable, or a TOML value) into the
value, or raises ``ValueError`` with a text that says what is wanted.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

_METADATA = "meet_trio.setting"


@attrs.frozen
class Kind:
    """``wanted`` completes the sentence "… is wanted" and stands in the docs."""

    wanted: str
    read: Callable[[object], object]
    switch: bool = False

    def __call__(self, raw: object) -> object:
        """The value that ``raw`` means; ``ValueError`` if none."""
        try:
            return self.read(raw)
        except ValueError as error:
            raise ValueError(str(error) or f"{self.wanted} is wanted") from None


@attrs.frozen
class About:
    kind: Kind
    help: str
    env: str | None
    default_text: str | None
    planned: bool


def about(
    kind: Kind,
    help: str,
    *,
    env: str | None = None,
    default: str | None = None,
    planned: bool = False,
) -> Mapping[str, Any]:
    """Metadata of a field. ``default`` says in words what a default is that depends on others;
    ``planned`` is a setting that is taken but that nothing heeds yet, and is shown as such.
    """
    if planned:
        help += " (no effect yet)"
    return {_METADATA: About(kind, help, env, default, planned)}


def about_of(field: "attrs.Attribute[Any]") -> About:
    found: About = field.metadata[_METADATA]
    return found


def _text(raw: object) -> str:
    # bool is an int; "true" for a name is as likely a mistake as a number
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        raise ValueError
    return raw.strip()


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError
    try:
        number = float(raw)
    except ValueError:
        raise ValueError from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def seconds(least: float, most: float) -> Kind:
    def read(raw: object) -> float:
        number = _number(raw)
        if not least <= number <= most:
            raise ValueError
        return number

    return Kind(f"a number of seconds from {least:g} to {most:g}", read)


def whole(least: int, most: int, unit: str = "") -> Kind:
    def read(raw: object) -> int:
        number = _number(raw)
        if number != int(number) or not least <= number <= most:
            raise ValueError
        return int(number)

    of = f" of {unit}" if unit else ""
    return Kind(f"a whole number{of} from {least} to {most}", read)


def number(least: float, most: float) -> Kind:
    def read(raw: object) -> float:
        value = _number(raw)
        if not least <= value <= most:
            raise ValueError
        return value

    return Kind(f"a number from {least:g} to {most:g}", read)


def one_of(*words: str) -> Kind:
    def read(raw: object) -> str:
        # TOML and YAML habits: on and off are often written as booleans
        if isinstance(raw, bool) and {"on", "off"} <= set(words):
            return "on" if raw else "off"
        word = _text(raw).lower()
        if word not in words:
            raise ValueError
        return word

    return Kind("one of " + ", ".join(words), read)


def or_none(kind: Kind) -> Kind:
    """Takes the word ``none`` too, as the original's variables do."""

    def read(raw: object) -> object:
        if isinstance(raw, str) and raw.strip().lower() == "none":
            return None
        return kind(raw)

    return Kind(f"{kind.wanted}, or none,", read)


_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word not in _SWITCH:
        raise ValueError
    return _SWITCH[word]


_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


def _host(raw: object) -> str:
    text = _text(raw)
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        # what looks like an address and is none: no name ends in a number
        if _HOST_NAME.fullmatch(text) and not text.rsplit(".", 1)[-1].isdecimal():
            return text
        raise ValueError from None


def _address(raw: object) -> str:
    return str(ipaddress.ip_address(_text(raw).strip("[]")))


def _domain(raw: object) -> str:
    text = _text(raw)
    try:
        parts = urlsplit(f"//{text}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError from None
    if not host or parts.netloc != text or "@" in text:
        raise ValueError
    return text


def _prefix(raw: object) -> str:
    text = "/" + _text(raw).strip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError
    return text


def _token(raw: object) -> str:
    text = _text(raw)
    if not text.isascii() or " " in text:
        raise ValueError
    return text


def _existing_file(raw: object) -> Path:
    path = Path(_text(raw)).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def _http_url(raw: object) -> str:
    text = _text(raw)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    return text


def _turn_url(raw: object) -> str:
    text = _text(raw)
    # RFC 7065 §3.1
    if not re.fullmatch(
        r"turns?:([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(\?transport=\w+)?", text
    ):
        raise ValueError
    return text


def _ports(raw: object) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})\s*-\s*(\d{1,5})", _text(raw))
    if match is None:
        raise ValueError
    first, last = int(match[1]), int(match[2])
    if not 1 <= first < last <= 65535:
        raise ValueError
    return first, last


def _items(raw: object) -> Sequence[object]:
    """A list as TOML has it, or separated by commas as a variable or a flag must have it."""
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple):
        raise ValueError
    return items


def list_of(kind: Kind, wanted: str) -> Kind:
    """One or several of a kind, each once."""

    def read(raw: object) -> tuple[object, ...]:
        found = tuple(dict.fromkeys(kind(item) for item in _items(raw)))
        if not found:
            raise ValueError
        return found

    return Kind(f"{wanted} (several: separated by commas)", read)


def _origins(raw: object) -> tuple[str, ...]:
    origins = tuple(_text(item).rstrip("/") for item in _items(raw))
    for origin in origins:
        if origin == "*":
            continue
        url = urlsplit(_http_url(origin))
        if url.path or url.query or url.fragment:
            raise ValueError
    return origins


def _networks(raw: object) -> tuple[str, ...]:
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list):
        raise ValueError
    return tuple(str(ipaddress.ip_network(_text(item))) for item in items)


_MAX_PLAIN = 15  # networks; the engine takes 16, of which one is a client's own address


def _plain_networks(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str) and raw.strip().lower() == "none":
        return ()
    found = _networks(raw)
    if len(found) > _MAX_PLAIN:
        raise ValueError
    return found


TEXT = Kind("a text", _text)
SWITCH = Kind("on or off", _switch, switch=True)
HOST = Kind("an IP address or a host name", _host)
ADDRESSES = list_of(Kind("an IP address", _address), "an IP address")
HOSTS = list_of(HOST, "an IP address or a host name")
DOMAIN = Kind("a host or host:port, without a scheme,", _domain)
PORT = whole(0, 65535)
PORTS = Kind("a range of ports like 40000-49999", _ports)
PLAIN_NETWORKS = Kind(
    f"at most {_MAX_PLAIN} networks like 10.0.0.0/8 (separated by commas), or none,",
    _plain_networks,
)
PREFIX = Kind("a path like /meetmedia", _prefix)
TOKEN = Kind("a token of ASCII characters without spaces", _token)
FILE = Kind("the path of a file", _existing_file)
HTTP_URL = Kind("an http:// or https:// URL", _http_url)
TURN_URL = Kind("a TURN URL like turn:turn.example:3478?transport=udp", _turn_url)
ORIGINS = Kind(
    "a list of origins like https://kolab.example (separated by commas), or *,", _origins
)
NETWORKS = Kind(
    "a list of addresses and networks like 10.0.0.0/8, ::1 (separated by commas)", _networks
)
