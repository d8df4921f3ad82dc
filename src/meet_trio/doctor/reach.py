"""Checks of the way from outside: STUN to the announced addresses, HTTP and a websocket to the
public domain. They begin on this machine: a NAT in front of it may not send its own packets back
(hairpinning), so silence behind a NAT proves nothing.
"""

import base64
import errno
import ipaddress
import secrets
import ssl
from collections.abc import Sequence

import httpx
import trio

from meet_trio.doctor import stun
from meet_trio.doctor.findings import Finding, note, ok, problem, warning
from meet_trio.doctor.inspection import TCP, UDP, Inspection, MediaTrial, as_address, host_port
from meet_trio.doctor.lines import open_ice_tcp, open_udp
from meet_trio.doctor.server import open_client
from meet_trio.errors import first_cause, reason_of

NO_PROOF = "Behind a NAT that does not send its own packets back this is no proof of a fault"
TRY_DEADLINE = 2.0  # seconds for one round trip
_MOST_TRIES = 64  # round trips of media in one run
_MOST_ADDRESSES = 16  # of the public domain
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)


async def check_media(seen: Inspection) -> Sequence[Finding]:
    """A STUN round trip to each announced address and each engine's port, by UDP and by TCP."""
    if seen.trials is None:
        return [_no_trials(seen)]
    addresses = await announced_addresses(seen)
    protocols = (UDP, TCP) if seen.settings.engine.max_tcp_connections else (UDP,)
    tries = [(a, t, p) for a in addresses for t in seen.trials for p in protocols][:_MOST_TRIES]
    if not tries:
        return [note("no port of media could be tried", "see the check of ports")]
    outcome: dict[tuple[str, MediaTrial, str], str] = {}

    async def attempt(address: str, trial: MediaTrial, protocol: str) -> None:
        outcome[address, trial, protocol] = await _try(address, trial, protocol)

    async with trio.open_nursery() as nursery:
        for each in tries:
            nursery.start_soon(attempt, *each)
    found = []
    for address in addresses:
        for protocol in protocols:
            of_it = {
                t.port: why for (a, t, p), why in outcome.items() if (a, p) == (address, protocol)
            }
            found += _judge(seen, address, protocol, of_it)
    return found


def _no_trials(seen: Inspection) -> Finding:
    return warning(
        f"the running server opens no trial of media: {seen.trial_problem}",
        "without one its engines do not answer the doctor's STUN requests",
        "curl -X POST -H 'X-Auth-Token: …' …/meetmedia/api/trials shows the answer; "
        "restart a server of an earlier version",
    )


async def announced_addresses(seen: Inspection) -> list[str]:
    found: list[str] = []
    for name in seen.settings.media.announced_address:
        if as_address(name) is not None:
            found.append(name)
            continue
        try:
            found += await seen.machine.look_up(name)
        except OSError:
            continue  # the check of announced addresses says so
    versions = {ipaddress.ip_address(ip).version for ip in seen.settings.engine.listen_ips}
    if "::" in seen.settings.engine.listen_ips:
        versions = {4, 6}
    return [a for a in dict.fromkeys(found) if ipaddress.ip_address(a).version in versions]


async def _try(address: str, trial: MediaTrial, protocol: str) -> str:
    """Why there was no answer; "" if there was."""
    key = trial.password.encode() or None
    opener = open_udp if protocol == UDP else open_ice_tcp
    try:
        with trio.fail_after(TRY_DEADLINE):
            async with opener(address, trial.port) as line:
                request = stun.binding_request(trial.username)
                answer = await line.exchange(request, key, TRY_DEADLINE)
    except (OSError, trio.TooSlowError) as error:
        return reason_of(error)
    code, reason = answer.error
    return f"STUN error {code} {reason}" if code else ""


def _judge(seen: Inspection, address: str, protocol: str, outcome: dict[int, str]) -> list[Finding]:
    good = sorted(port for port, why in outcome.items() if not why)
    found = []
    if good:
        shown = ", ".join(map(str, good))
        found.append(ok(f"{protocol} {address}, port {shown}: a STUN round trip"))
    bad = {port: why for port, why in sorted(outcome.items()) if why}
    if not bad:
        return found
    shown = f"{protocol} {address}, port {', '.join(map(str, bad))}: {next(iter(bad.values()))}"
    rule = f"let {protocol} in: {_ports(bad)} of this machine"
    if seen.machine.has_address(address):
        found.append(
            problem(
                shown,
                "the address is this machine's own, and yet no answer came: a local firewall, or "
                "media listens on another address",
                f"nft list ruleset; {rule}; compare WEBRTC_LISTEN_IP (media.listen_ip)",
            )
        )
        return found
    found.append(
        warning(
            shown,
            f"the address is not this machine's. {NO_PROOF}",
            f"try from another network; in the NAT's forwarding and the firewall {rule}",
        )
    )
    return found


def _ports(ports: dict[int, str]) -> str:
    return f"port {min(ports)}" if len(ports) == 1 else f"ports {min(ports)}-{max(ports)}"


# HTTP


def public_base(seen: Inspection, *, tls: bool) -> str:
    assert seen.public_host is not None
    return f"{'https' if tls else 'http'}://{host_port(seen.public_host, seen.public_port)}"


async def check_http(seen: Inspection) -> Sequence[Finding]:
    """A request and a websocket's handshake to the public domain reach this server."""
    if seen.public_host is None:
        return [ok("no public domain to try")]
    base = public_base(seen, tls=seen.says_tls)
    try:
        answer, with_token = await _ping(seen, base)
    except httpx.HTTPError as error:
        return [_no_http(base, error, here=await _is_here(seen))]
    if seen.is_running and not with_token and (answer.status_code, answer.text) == (403, ""):
        found = note(
            f"{base} answers as this server does to a request without its token",
            "the doctor does not send the token to a host that no certificate proves",
        )
        return [found, await _try_websocket(seen, base)]
    wanted = "PONG" if seen.is_running else seen.nonce
    if answer.status_code != 200 or answer.text != wanted:
        return [_wrong_answer(seen, base, answer)]
    reached = ok(f"{base} reaches this machine's server")
    return [reached, await _try_websocket(seen, base), *await _closed_addresses(seen, base)]


async def _closed_addresses(seen: Inspection, base: str) -> list[Finding]:
    """Addresses of the public domain that refuse a connection although another one takes it."""
    refused: dict[str, str] = {}

    async def attempt(address: str) -> None:
        try:
            with trio.fail_after(TRY_DEADLINE):
                await (await trio.open_tcp_stream(address, seen.public_port)).aclose()
        except (OSError, trio.TooSlowError) as error:
            cause = first_cause(error)
            # a machine without IPv6 cannot tell
            if getattr(cause, "errno", None) not in _NO_WAY:
                refused[address] = reason_of(error)

    async with trio.open_nursery() as nursery:
        for address in (await seen.machine.look_up(seen.public_host or ""))[:_MOST_ADDRESSES]:
            nursery.start_soon(attempt, address)
    return [
        warning(
            f"{base} does not answer at {address}: {why}",
            "clients that have no other way to it cannot enter",
            f"let the server or proxy listen there (nginx: listen [::]:{seen.public_port} ssl), "
            "or take the address out of the DNS",
        )
        for address, why in sorted(refused.items())
    ]


async def _ping(seen: Inspection, base: str) -> tuple[httpx.Response, bool]:
    """The answer, and whether the token was sent. It goes to this machine itself, or to a host that
    a trusted certificate proves. Stand-ins need none.
    """
    url = f"{base}{seen.settings.api.path_prefix}/api/ping"
    token = {"X-Auth-Token": seen.settings.api.auth_token}
    if seen.is_running and await _is_here(seen):
        async with open_client(TRY_DEADLINE) as client:
            return await client.get(url, headers=token), True
    if seen.is_running and seen.says_tls:
        strict = await trio.to_thread.run_sync(ssl.create_default_context)
        try:
            async with open_client(TRY_DEADLINE, strict) as client:
                return await client.get(url, headers=token), True
        except httpx.ConnectError as error:
            if not isinstance(first_cause(error), ssl.SSLCertVerificationError):
                raise
    async with open_client(TRY_DEADLINE) as client:
        return await client.get(url), False


async def _is_here(seen: Inspection) -> bool:
    """Whether the public domain is this machine, without a proxy on another one."""
    try:
        addresses = await seen.machine.look_up(seen.public_host or "")
    except OSError:
        return False
    return all(map(seen.machine.has_address, addresses))


def _no_http(base: str, error: httpx.HTTPError, *, here: bool) -> Finding:
    text = reason_of(error)
    # OpenSSL's name for an answer that is no TLS depends on its version.
    if text in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return problem(
            f"{base} does not speak TLS",
            "token URLs begin with wss://, and browsers cannot connect",
            "set SSL_CERT and SSL_KEY, let a proxy end TLS there, or unset FORCE_WSS",
        )
    found = f"{base} does not answer: {text}"
    why = "browsers connect there for signaling"
    do = "check PUBLIC_DOMAIN (http.public_domain), the proxy, and the firewall for that port"
    if here:
        return problem(found, why, do)
    return warning(
        found,
        f"{why}. {NO_PROOF}",
        f"curl -i {base}/ping from another network; {do}",
    )


def _wrong_answer(seen: Inspection, base: str, answer: httpx.Response) -> Finding:
    path = f"{seen.settings.api.path_prefix}/api/ping"
    if answer.status_code in (502, 503, 504):
        return problem(
            f"{base}{path} answers {answer.status_code}: a proxy does not reach this server",
            "browsers get errors instead of a meeting",
            f"let the proxy pass requests to port {seen.settings.listener.port} of this machine",
        )
    if not seen.is_running and answer.text == "PONG":
        return warning(
            f"{base} is another server's: it answers, and here none runs",
            "browsers meet there, and not on this server",
            "check PUBLIC_DOMAIN (http.public_domain) and where the proxy passes requests to",
        )
    return problem(
        f"{base}{path} answers {answer.status_code}, and it is not this server",
        "browsers connect to another program",
        f"let the proxy pass {seen.settings.api.path_prefix}/ on to port "
        f"{seen.settings.listener.port}; check PUBLIC_DOMAIN (http.public_domain)",
    )


async def _try_websocket(seen: Inspection, base: str) -> Finding:
    url = f"{base}{seen.settings.api.path_prefix}/signaling/?EIO=4&transport=websocket"
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
    }
    try:
        async with (
            open_client(TRY_DEADLINE) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            status = answer.status_code
    except httpx.HTTPError as error:
        return problem(
            f"a websocket through {base} fails: {reason_of(error)}",
            "signaling needs websockets",
            _PROXY,
        )
    if status == 101:
        return ok("a websocket's handshake arrives too")
    return problem(
        f"a websocket through {base} is answered with {status}",
        "the proxy does not pass the handshake on, and signaling needs websockets",
        _PROXY,
    )


_PROXY = (
    "in nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    'proxy_set_header Connection "upgrade"'
)
