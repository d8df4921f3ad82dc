"""Reads settings from the environment, then from a TOML file, then from flags. A later source
overrides the earlier ones.

The caller passes the environment, the path and the flags, so nothing is read from the process
itself. The ``Kind`` of a setting parses its value. An unknown key or an invalid value raises a
``ConfigError`` that names the setting and its source. ``_complete`` fills in the defaults that
depend on other settings, and refuses settings that contradict each other.
"""

import difflib
import ipaddress
import os
import re
import secrets
import socket
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from meet_trio.config.settings import Settings
from meet_trio.config.table import TABLES, Entry, build, entries
from meet_trio.console.settings import default_socket
from meet_trio.errors import ConfigError
from meet_trio.journal.settings import default_place

CONFIG_VARIABLE = "MEET_TRIO_CONFIG"


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config_path: Path | None = None,
    *,
    primary_address: Callable[[], str] | None = None,
    present: Settings | None = None,
) -> Settings:
    """The settings of ``environ``, the TOML file and ``flags`` (by key, e.g. ``http.port``).

    Without ``config_path`` the variable MEET_TRIO_CONFIG names the file, if it is set.
    ``primary_address`` returns the address to receive media on if no setting says it. ``present``:
    the settings of the server that reads them again; it keeps its random token. Raises ConfigError.
    """
    table = {entry.key: entry for entry in entries()}
    if config_path is None and environ.get(CONFIG_VARIABLE):
        config_path = Path(environ[CONFIG_VARIABLE])
    given = _from_environment(table, environ)
    if config_path is not None:
        given.update(_from_file(table, config_path))
    for key, raw in flags.items():
        given[key] = _read(table[key], raw, table[key].about.flag)
    # Settings of logging, shutdown, state and the operator's console alone do not end demo mode.
    own = ("process.", "console.", "state.")
    bare = config_path is None and all(key.startswith(own) for key in given)
    given.setdefault("console.socket", default_socket(environ, os.getuid()))
    given.setdefault("state.dir", default_place(environ, os.getuid()))
    random_token = secrets.token_urlsafe(24) if present is None else present.api.auth_token
    drawn = "http.auth_token" not in given
    _complete(given, bare, primary_address or address_of_default_route, random_token)
    _check_redis(given)
    found = build(given)
    return attrs.evolve(found, api=attrs.evolve(found.api, token_drawn=drawn))


def _check_redis(given: Mapping[str, object]) -> None:
    url = given.get("state.redis_url")
    if url and not given.get("state.redis_secret"):
        raise ConfigError("state.redis_secret: state.redis_url needs it")
    if given.get("state.standby") and not url:
        raise ConfigError("state.redis_url: state.standby needs it")


def warnings_about(settings: Settings) -> Iterator[str]:
    """Warnings about settings that work, but are probably not intended."""
    listener = settings.listener
    if not (is_loopback(listener.host) or listener.tls_cert or listener.force_wss):
        yield (
            f"listening on {listener.host} without TLS: browsers give camera and microphone to "
            "https pages only (set SSL_CERT, or FORCE_WSS if a proxy ends TLS)"
        )
    if settings.site.demo and not is_loopback(listener.host):
        yield "demo mode beyond loopback: everybody who reaches this server may open rooms"
    if settings.turn.server is None and all(map(is_loopback, settings.media.announced_address)):
        yield (
            "media is on loopback alone (no other address of this machine was found or set): no "
            "browser on another machine reaches it, nor does Firefox on this one, nor any browser "
            "while this machine has no network"
        )


def is_loopback(host: str) -> bool:
    """Whether an address or a name is certainly on loopback. Names are not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def address_of_default_route() -> str:
    """The address that this machine sends from, of IPv6 if it has no other; loopback without a
    network. Sends no packet.
    """
    # These networks (RFC 5737, RFC 3849) are routed like any other and belong to nobody.
    for family, anywhere in ((socket.AF_INET, "203.0.113.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((anywhere, 9))
                address: str = probe.getsockname()[0]
        except OSError:
            continue
        # A link-local address is of no use without the name of its interface.
        if not ipaddress.ip_address(address).is_link_local:
            return address
    return "127.0.0.1"


def _read(entry: Entry, raw: object, source: str) -> object:
    try:
        return entry.about.kind(raw)
    except ValueError as error:
        # A secret is not shown on a terminal, even if it is invalid.
        shown = "" if _is_secret(entry.key) else f" {raw!r}:"
        raise ConfigError(f"{source}:{shown} {error}") from None


def _is_secret(key: str) -> bool:
    return key.endswith(("token", "secret"))


def _from_environment(table: Mapping[str, Entry], environ: Mapping[str, str]) -> dict[str, object]:
    by_env = {entry.about.env: entry for entry in table.values()}
    for name in environ:
        if (
            name.startswith("MEET_TRIO_")
            and name not in by_env
            and name != CONFIG_VARIABLE
            # Kubernetes sets these variables for a service called meet-trio.
            and not re.match(r"MEET_TRIO_(SERVICE|PORT)(_|$)", name)
        ):
            raise ConfigError(f"{name}: unknown setting{_did_you_mean(name, by_env)}")
    # Compose files pass on an unset variable as an empty one.
    return {
        entry.key: _read(entry, environ[name], name)
        for name, entry in by_env.items()
        if environ.get(name, "").strip()
    }


def _from_file(table: Mapping[str, Entry], path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    found: dict[str, object] = {}
    for group, values in document.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {group}: a setting stands in a table, such as [http]")
        if group not in TABLES:
            raise ConfigError(f"{path}: [{group}]: unknown table{_did_you_mean(group, TABLES)}")
        names = [key.partition(".")[2] for key in table if key.startswith(f"{group}.")]
        for name, raw in values.items():
            if name not in names:
                raise ConfigError(
                    f"{path}: [{group}] {name}: unknown setting{_did_you_mean(name, names)}"
                )
            key = f"{group}.{name}"
            found[key] = _read(table[key], raw, f"{path}: [{group}] {name}")
    return found


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _complete(
    given: dict[str, Any], bare: bool, primary_address: Callable[[], str], random_token: str
) -> None:
    """Fill in defaults that depend on other settings. Refuse settings that contradict others."""
    demo = given.setdefault("demo.enabled", bare)
    if demo:
        given.setdefault("http.host", "127.0.0.1")
        given.setdefault("http.auth_token", random_token)
        # Firefox gathers no candidates on loopback, so it needs another address. Media takes
        # credentials, which only the page and the API give out, so it may leave loopback.
        both = dict.fromkeys(("127.0.0.1", primary_address()))
        given.setdefault("media.listen_ip", tuple(both))
        if not (is_loopback(given["http.host"]) or given.get("demo.allow_remote")):
            raise ConfigError(
                f"http.host: demo mode listens on loopback only, not on {given['http.host']}: it "
                "lets everybody open rooms. If that is meant: --demo-allow-remote"
            )
    elif "http.auth_token" not in given:
        raise ConfigError(
            "http.auth_token: the API would be open to all; set AUTH_TOKEN. To try the server on "
            "this machine: --demo"
        )
    given.setdefault("media.workers", len(os.sched_getaffinity(0)))
    listen_ips = given.setdefault("media.listen_ip", (primary_address(),))
    if "media.announced_address" not in given:
        given["media.announced_address"] = tuple(
            dict.fromkeys(
                primary_address() if ipaddress.ip_address(ip).is_unspecified else ip
                for ip in listen_ips
            )
        )
    metrics_at = given.get("metrics.listen")
    alone = given.get("metrics.token") is None
    if metrics_at is not None and not is_loopback(metrics_at[0]) and alone:
        raise ConfigError(
            f"metrics.listen: {metrics_at[0]} is not on loopback, so the metrics would be open to "
            "all; set metrics.token too"
        )
    if given.get("turn.static_secret") is not None:
        given.setdefault("turn.server", "turn:127.0.0.1:3478?transport=tcp")
    elif given.get("turn.server") is not None:
        raise ConfigError("turn.static_secret: needed for turn.server (set TURN_STATIC_SECRET)")
    if given.get("http.tls_cert") is None:
        # With SSL_CERT=none the original server serves plain HTTP and ignores SSL_KEY.
        given["http.tls_key"] = None
