"""Checks of the ports that the server binds."""

import errno
from collections import defaultdict
from collections.abc import Sequence

from meet_trio.doctor.findings import Finding, note, ok, problem, warning
from meet_trio.doctor.inspection import UDP, Inspection, ServerPort, ServerState
from meet_trio.doctor.machine import Holder
from meet_trio.doctor.server import holders_of, sockets_of

_ADDRESS_SETTING = {"http.port": "http.host", "media.port": "media.listen_ip"}
_VARIABLE = {"http.port": "LISTENING_PORT", "media.port": "MEET_TRIO_MEDIA_PORT"}
_LEAST_FREE = 100  # ports of plain RTP


async def check_ports(seen: Inspection) -> Sequence[Finding]:
    """Each port is free, or our own running server has it."""
    failed = [port for port in seen.ports if port.error is not None]
    own = [port for port in failed if seen.is_running and _is_taken(port)]
    others = [port for port in failed if port not in own]
    holders = await holders_of(seen.machine, [port for port in others if _is_taken(port)])
    found = [
        _finding(port, _by(seen, holders.get((port.protocol, port.port), ()))) for port in others
    ]
    found += _clashes(seen)
    if own:
        names = ", ".join(map(str, own))
        found.insert(0, ok(f"the server runs and has its ports: {names}"))
        if missing := [port for port in seen.ports if port.error is None]:
            found.append(_not_listening(missing))
    elif free := [port for port in seen.ports if port.error is None]:
        found.insert(0, ok(f"free: {', '.join(map(str, free))}"))
    if not seen.settings.listener.port or not seen.settings.engine.port:
        found.append(
            note(
                "http.port or media.port is 0: any free port is taken",
                "a firewall, Kolab and the doctor need ports that are known beforehand",
                "set http.port (LISTENING_PORT) and media.port",
            )
        )
    return found


def _is_taken(port: ServerPort) -> bool:
    return port.error is not None and port.error.errno == errno.EADDRINUSE


def _not_listening(missing: Sequence[ServerPort]) -> Finding:
    return warning(
        f"the running server does not listen on {', '.join(map(str, missing))}",
        "it runs with other settings than these, or an engine has failed",
        "restart it; or give the doctor the same --config and environment",
    )


def _finding(port: ServerPort, by: str) -> Finding:
    assert port.error is not None
    where, setting, variable = str(port), port.setting, _VARIABLE[port.setting]
    address = _ADDRESS_SETTING[setting]
    match port.error.errno:
        case errno.EADDRINUSE:
            return problem(
                f"{where} is taken{by}",
                "the server does not start",
                f"end that program, or set {setting} ({variable}) to another port",
            )
        case errno.EACCES | errno.EPERM:
            return problem(
                f"{where} may not be bound by this user",
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
                f"in the unit: AmbientCapabilities=CAP_NET_BIND_SERVICE; or set {setting} "
                "to 1024 or more",
            )
        case errno.EADDRNOTAVAIL:
            return problem(
                f"{where}: this machine does not have the address {port.address}",
                "the server can listen on its own addresses only",
                f"ip -brief address shows them; set {address} to one of them",
            )
        case errno.EAFNOSUPPORT:
            return problem(
                f"{where}: this machine has no IPv6",
                "the server does not start",
                f"set {address} to an IPv4 address",
            )
    return problem(f"{where}: {port.error}", "the server does not start", f"change {setting}")


def _by(seen: Inspection, holders: Sequence[Holder]) -> str:
    if holders:
        return " by " + ", ".join(sorted(set(map(str, holders))))
    if seen.server is ServerState.OTHER_TOKEN:
        return " by a meet-trio with other settings"
    return ", by a process that this user may not see (try as root)"


def _clashes(seen: Inspection) -> list[Finding]:
    wanted = defaultdict(set)
    for port in seen.ports:
        wanted[port.protocol, port.port].add(port.setting)
    return [
        problem(
            f"{protocol.lower()} port {port} is both http.port's and media.port's",
            "the server does not start",
            "set media.port so that it and the ports of further workers are others",
        )
        for (protocol, port), settings in wanted.items()
        if len(settings) > 1
    ]


async def check_plain_ports(seen: Inspection) -> Sequence[Finding]:
    """The range of plain RTP: how much of it is free, and who else uses it."""
    plain = seen.settings.plain
    if not plain.enabled:
        return [ok("plain RTP is off")]
    first, last = plain.ports
    taken = {port for port, _ in sockets_of(seen.machine, UDP) if first <= port <= last}
    media = {p.port for p in seen.ports if p.setting == "media.port" and first <= p.port <= last}
    free = last - first + 1 - len(taken | media)
    if free < min(_LEAST_FREE, last - first + 1):
        return [
            warning(
                f"{free} of the ports {first}-{last} are free",
                "each plain transport takes two; none left means that requests fail",
                "set media.plain_ports (MEET_TRIO_MEDIA_PLAIN_PORTS) to another range, or "
                "media.plain_transports to off",
            )
        ]
    own = f"; {', '.join(map(str, sorted(media)))} of them are media.port's" if media else ""
    return [ok(f"{free} of the {last - first + 1} ports of plain RTP are free{own}")]
