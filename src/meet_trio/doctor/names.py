"""Checks of the addresses and names that clients are told."""

import ipaddress
from collections.abc import Mapping, Sequence

from meet_trio.config import is_loopback
from meet_trio.doctor.findings import Finding, Grade, note, ok, problem, warning
from meet_trio.doctor.inspection import Inspection, as_address, is_for_all

_DOCKER = ipaddress.ip_network("172.17.0.0/16")
_ANNOUNCE = (
    "set WEBRTC_ANNOUNCED_ADDRESS (media.announced_address) to the address that browsers reach"
)
_UNREACHED = (
    "browsers are told to send media there, and nobody on another machine sees or hears anybody"
)


async def check_announced(seen: Inspection) -> Sequence[Finding]:
    """The announced addresses can be reached by others. Of a name those addresses count whose IP
    version media listens on.
    """
    found = []
    public = await _public_addresses(seen)
    for name in seen.settings.media.announced_address:
        if as_address(name) is not None:
            found.append(_judge(seen, name, name, public))
            continue
        try:
            addresses = await seen.machine.look_up(name)
        except OSError as error:
            found.append(
                problem(
                    f"the announced name {name} cannot be looked up: {error.strerror or error}",
                    "not all browsers look names up themselves, so media does not flow",
                    f"getent hosts {name}; correct the name or the DNS, or announce an address",
                )
            )
            continue
        found += _of_name(seen, name, addresses, public)
    return found


def _of_name(
    seen: Inspection, name: str, addresses: Sequence[str], public: Sequence[str]
) -> list[Finding]:
    versions = _listen_versions(seen)
    usable = [a for a in addresses if ipaddress.ip_address(a).version in versions]
    found = [_judge(seen, address, f"{name} ({address})", public) for address in usable]
    unused = [a for a in addresses if a not in usable]
    if not usable:
        return [
            problem(
                f"{name} has only addresses of an IP version that media does not listen on: "
                f"{', '.join(unused)}",
                "no address can be announced",
                "add an address of that version to WEBRTC_LISTEN_IP (media.listen_ip)",
            )
        ]
    if unused:
        found.append(
            note(
                f"{name}: {', '.join(unused)} is not announced, media does not listen on that "
                "IP version",
                "clients that have only that version use TURN or nothing",
                "add an address of that version to WEBRTC_LISTEN_IP (media.listen_ip)",
            )
        )
    return found


def _listen_versions(seen: Inspection) -> set[int]:
    versions = set[int]()
    for ip in map(ipaddress.ip_address, seen.settings.engine.listen_ips):
        versions.add(ip.version)
        if ip.version == 6 and ip.is_unspecified:
            versions.add(4)
    return versions


def _judge(seen: Inspection, address: str, shown: str, public: Sequence[str]) -> Finding:
    ip = ipaddress.ip_address(address)
    if ip.is_loopback and seen.settings.site.demo:
        return note(f"media is announced at {shown}: demo mode, this machine only")
    if ip.is_loopback:
        return _bad(seen, f"media is announced at {shown}, which is loopback", _ANNOUNCE)
    if ip.is_unspecified or ip.is_multicast or ip.is_link_local:
        return _bad(seen, f"media is announced at {shown}, which is nobody's address", _ANNOUNCE)
    if ip.version == 4 and ip in _DOCKER and not is_for_all(address):
        return _bad(
            seen,
            f"media is announced at {shown}, which is of Docker's own network",
            f"{_ANNOUNCE}; run the container with --network host",
        )
    if not is_for_all(address) and any(map(is_for_all, public)):
        return _bad(
            seen,
            f"media is announced at {shown}, a private address, but browsers come by "
            f"{seen.public_host}, a public one",
            f"{_ANNOUNCE}, e.g. {next(filter(is_for_all, public))}",
        )
    if not is_for_all(address):
        return note(
            f"media is announced at {shown}, a private address",
            "only browsers in that network reach it",
            f"if others are meant: {_ANNOUNCE}",
        )
    return ok(f"media is announced at {shown}")


def _bad(seen: Inspection, found: str, do: str) -> Finding:
    if seen.settings.turn.server is not None:
        return warning(found, f"{_UNREACHED}, but for those who use TURN", do)
    return problem(found, _UNREACHED, do)


async def _public_addresses(seen: Inspection) -> Sequence[str]:
    """The addresses of ``http.public_domain``; none if it cannot be looked up."""
    host = seen.public_host
    if host is None or as_address(host) is not None:
        return [host] if host else []
    try:
        return await seen.machine.look_up(host)
    except OSError:
        return []  # the check of that name says so


async def check_public_domain(seen: Inspection) -> Sequence[Finding]:
    """The host in token URLs is one that browsers can look up."""
    host = seen.public_host
    if host is None:
        return [_no_domain(seen)]
    try:
        addresses = await seen.machine.look_up(host)
    except OSError as error:
        return [
            problem(
                f"PUBLIC_DOMAIN {host} cannot be looked up: {error.strerror or error}",
                "browsers get it in token URLs and cannot connect",
                f"getent hosts {host}; correct PUBLIC_DOMAIN (http.public_domain) or the DNS",
            )
        ]
    here = {address: seen.machine.has_address(address) for address in addresses}
    loopback = [a for a in addresses if ipaddress.ip_address(a).is_loopback]
    if loopback and not seen.settings.site.demo:
        return [
            problem(
                f"PUBLIC_DOMAIN {host} is loopback ({', '.join(loopback)})",
                "each browser connects to its own machine",
                "set PUBLIC_DOMAIN (http.public_domain) to the name that browsers use; "
                "look into /etc/hosts",
            )
        ]
    return [_where(host, here)]


def _no_domain(seen: Inspection) -> Finding:
    if seen.settings.site.demo:
        return ok("PUBLIC_DOMAIN is not set: demo mode, this machine only")
    return problem(
        "PUBLIC_DOMAIN is not set",
        "token URLs begin with 127.0.0.1: each browser connects to its own machine",
        "set PUBLIC_DOMAIN (http.public_domain) to host:port that browsers reach",
    )


def _where(host: str, here: Mapping[str, bool]) -> Finding:
    shown = ", ".join(here)
    if all(here.values()):
        return ok(f"{host} is this machine ({shown})")
    return note(
        f"{host} is not this machine ({', '.join(a for a, own in here.items() if not own)})",
        "that is right if a proxy or a NAT passes requests on; the check of http tries it",
    )


async def check_listen(seen: Inspection) -> Sequence[Finding]:
    """Media and HTTP listen where others can reach them."""
    found = []
    ips = seen.settings.engine.listen_ips
    announced = seen.settings.media.announced_address
    if all(map(is_loopback, ips)) and not seen.settings.site.demo:
        grade = Grade.WARNING if seen.settings.turn.server else Grade.PROBLEM
        found.append(
            Finding(
                grade,
                f"media listens on loopback alone ({', '.join(ips)})",
                "no packet from another machine arrives, whatever is announced"
                if grade is Grade.PROBLEM
                else "no packet from another machine arrives but from a TURN relay on this one",
                "unset WEBRTC_LISTEN_IP (media.listen_ip), or set it to an address of this machine",
            )
        )
    listener = seen.settings.listener
    if is_loopback(listener.host) and not seen.settings.site.demo:
        found.append(
            note(
                f"HTTP listens on loopback alone ({listener.host})",
                "that is right behind a proxy on this machine only",
                "else set LISTENING_HOST (http.host) to 0.0.0.0",
            )
        )
    if listener.host not in ("0.0.0.0", "::") and as_address(listener.host) is None:
        try:
            await seen.machine.look_up(listener.host)
        except OSError as error:
            found.append(
                problem(
                    f"http.host {listener.host} cannot be looked up: {error.strerror or error}",
                    "the server does not start",
                    "set LISTENING_HOST (http.host) to an address of this machine",
                )
            )
    return found or [ok(f"media listens on {', '.join(ips)} for {', '.join(announced)}")]
