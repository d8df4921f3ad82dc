"""The check of TURN: an allocation with the credentials that clients get, and a packet through the
relay to our port of media.
"""

import ipaddress
import ssl
from collections.abc import Sequence

import trio

from meet_trio.doctor import stun
from meet_trio.doctor.findings import Finding, note, ok, problem, warning
from meet_trio.doctor.inspection import Inspection, as_address, host_port
from meet_trio.doctor.reach import NO_PROOF, announced_addresses
from meet_trio.doctor.relay import Allocation, TurnRefused, TurnUrl, open_line
from meet_trio.errors import reason_of
from meet_trio.media.turn import turn_credentials

_FAR = 10 * 365 * 86400  # seconds: beyond every error of a clock
_URL_SETTING = "TURN_SERVER (turn.server)"
_WHO = "clients whose network lets no UDP out have no other way"


async def check_turn(seen: Inspection) -> Sequence[Finding]:
    turn = seen.settings.turn
    if turn.server is None or turn.static_secret is None:
        if seen.settings.site.demo:
            return [ok("no TURN server: demo mode")]
        return [
            note(
                "no TURN server is set",
                "clients whose network lets nothing out but HTTPS cannot take part",
                "install coturn with conf/turnserver.conf, set TURN_SERVER and TURN_STATIC_SECRET",
            )
        ]
    url = TurnUrl.parse(turn.server)
    try:
        addresses = await seen.machine.look_up(url.host)
    except OSError as error:
        return [
            problem(
                f"the TURN server {url.host} cannot be looked up: {error.strerror or error}",
                _WHO,
                f"correct {_URL_SETTING} or the DNS",
            )
        ]
    found = [_loopback(seen, url)] if ipaddress.ip_address(addresses[0]).is_loopback else []
    return [*found, *await _allocate(seen, url, addresses[0])]


def _loopback(seen: Inspection, url: TurnUrl) -> Finding:
    if seen.settings.site.demo:
        return note(f"clients are told of the TURN server {url.host}: loopback, this machine only")
    return problem(
        f"clients are told of the TURN server {url.host}, which is loopback",
        "each client asks its own machine for a relay",
        f"set {_URL_SETTING} to a name or an address that clients reach",
    )


async def _allocate(seen: Inspection, url: TurnUrl, address: str) -> Sequence[Finding]:
    where = f"{seen.settings.turn.server}"
    try:
        async with open_line(url, address) as line:
            username, password = _credentials(seen, 0)
            allocation = Allocation(line, username, password)
            try:
                await allocation.allocate()
            except TurnRefused as error:
                return [await _refused(seen, url, address, error)]
            try:
                relayed = host_port(*allocation.relayed)
                if allocation.is_for_all:
                    found = _open_relay(where)
                else:
                    found = ok(f"{where} relays for our credentials, from {relayed}")
                return [found, *await _through(seen, allocation)]
            finally:
                await allocation.close()
    except (ssl.SSLError, trio.BrokenResourceError) as error:
        return [
            problem(
                f"{where}: TLS fails: {reason_of(error)}",
                "browsers refuse the relay too",
                f"{_show_tls(url)}; correct coturn's cert and pkey",
            )
        ]
    except OSError as error:
        return [await _silent(seen, url, address, reason_of(error))]


async def _silent(seen: Inspection, url: TurnUrl, address: str, reason: str) -> Finding:
    """No answer at the address where media is announced, too, is no proof, if it is a NAT's."""
    found = f"{seen.settings.turn.server} does not answer: {reason}"
    do = (
        f"systemctl status coturn; check {_URL_SETTING}, and the firewall for port "
        f"{url.port}/{url.transport}"
    )
    if url.secure:
        do += f"; {_show_tls(url)} shows whether it speaks TLS"
    if address in await announced_addresses(seen) and not seen.machine.has_address(address):
        return warning(found, f"{_WHO}. {NO_PROOF}", f"try from another network; {do}")
    return problem(found, _WHO, do)


def _open_relay(where: str) -> Finding:
    return problem(
        f"{where} relays for everybody: it wants no credentials",
        "strangers hide behind its address and use its bandwidth",
        "set use-auth-secret and static-auth-secret in turnserver.conf",
    )


def _show_tls(url: TurnUrl) -> str:
    return f"openssl s_client -connect {host_port(url.host, url.port)}"


def _credentials(seen: Inspection, later: int) -> tuple[str, str]:
    turn = seen.settings.turn
    assert turn.static_secret is not None
    now = seen.machine.now() + later
    return turn_credentials(turn.static_secret, "doctor", now, int(turn.credential_lifetime))


async def _refused(seen: Inspection, url: TurnUrl, address: str, error: TurnRefused) -> Finding:
    where = f"{seen.settings.turn.server} refuses an allocation ({error})"
    if error.code == 486:
        return warning(where, "its quota is used up", "raise user-quota and total-quota of coturn")
    if error.code != 401:
        return problem(where, _WHO, "look into coturn's log: journalctl -u coturn")
    if await _accepts(seen, url, address, _FAR):
        hours = seen.settings.turn.credential_lifetime / 3600
        return problem(
            f"{seen.settings.turn.server} takes our secret, but our credentials have expired there",
            f"the two clocks differ by more than {hours:g} hours (turn.credential_lifetime)",
            "timedatectl on both machines; raise turn.credential_lifetime if it is short",
        )
    return problem(
        f"{where}: the secret is not the same",
        "every client is refused",
        "set TURN_STATIC_SECRET to coturn's static-auth-secret; coturn needs use-auth-secret too",
    )


async def _accepts(seen: Inspection, url: TurnUrl, address: str, later: int) -> bool:
    """Whether credentials that end much later are taken: then the clocks differ."""
    try:
        async with open_line(url, address) as line:
            allocation = Allocation(line, *_credentials(seen, later))
            await allocation.allocate()
            await allocation.close()
    except (OSError, TurnRefused, trio.BrokenResourceError):
        return False
    return True


async def _through(seen: Inspection, allocation: Allocation) -> list[Finding]:
    """A permission for our address, and a STUN round trip through the relay."""
    v4 = as_address(allocation.relayed[0])
    version = 4 if v4 is None else v4.version
    addresses = [
        a for a in await announced_addresses(seen) if ipaddress.ip_address(a).version == version
    ]
    if not addresses or not seen.trials:
        return [note("nothing could be sent through the relay: no port of media answers here")]
    address, trial = addresses[0], seen.trials[0]
    where = host_port(address, trial.port)
    try:
        await allocation.permit(address)
    except TurnRefused as error:
        return [
            problem(
                f"the relay may not send to our address {address} ({error})",
                "clients get a relay that reaches nobody",
                f"add allowed-peer-ip={address} to turnserver.conf"
                + (
                    "; allow-loopback-peers too"
                    if ipaddress.ip_address(address).is_loopback
                    else ""
                ),
            )
        ]
    key = trial.password.encode() or None
    request = stun.build(stun.binding_request(trial.username), key)
    try:
        await allocation.ask_peer(address, trial.port, request)
    except OSError:
        return [
            warning(
                f"nothing comes back from {where} through the relay",
                "clients that need TURN see and hear nobody, if it is not the NAT that keeps "
                "coturn from it",
                f"let UDP from coturn in to {where}; announce an address that coturn reaches",
            )
        ]
    return [ok(f"{where} answers through the relay")]
