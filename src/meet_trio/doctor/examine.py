"""The table of checks, and their run."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio

from meet_trio.doctor.certificates import check_certificate_files, check_public_tls
from meet_trio.doctor.configuration import (
    check_files,
    check_secrets,
    check_settings,
    check_variables,
)
from meet_trio.doctor.findings import Diagnosis, Finding, note
from meet_trio.doctor.inspection import Inspection
from meet_trio.doctor.libraries import check_cipher, check_dtls_libraries
from meet_trio.doctor.names import check_announced, check_listen, check_public_domain
from meet_trio.doctor.ports import check_plain_ports, check_ports
from meet_trio.doctor.reach import check_http, check_media
from meet_trio.doctor.system import (
    check_buffers,
    check_clock,
    check_connection_table,
    check_cores,
    check_health,
    check_ipv6,
    check_kernel,
    check_memory,
    check_open_files,
    check_versions,
)
from meet_trio.doctor.turn import check_turn
from meet_trio.doctor.webhook import check_webhook

CHECK_DEADLINE = 7.0  # seconds

Check = Callable[[Inspection], Awaitable[Sequence[Finding]]]

CHECKS: Mapping[str, Check] = {
    "settings": check_settings,
    "variables": check_variables,
    "secret files": check_files,
    "secrets": check_secrets,
    "health": check_health,
    "ports": check_ports,
    "plain ports": check_plain_ports,
    "listen": check_listen,
    "announced": check_announced,
    "public domain": check_public_domain,
    "media": check_media,
    "http": check_http,
    "tls files": check_certificate_files,
    "public tls": check_public_tls,
    "turn": check_turn,
    "webhook": check_webhook,
    "kernel": check_kernel,
    "buffers": check_buffers,
    "open files": check_open_files,
    "memory": check_memory,
    "cores": check_cores,
    "clock": check_clock,
    "connections": check_connection_table,
    "ipv6": check_ipv6,
    "versions": check_versions,
    "cipher": check_cipher,
    "libraries": check_dtls_libraries,
}
"""By name, in the order of the output. ``docs/doctor.md`` has a section for each."""


async def examine(seen: Inspection, checks: Mapping[str, Check] = CHECKS) -> list[Diagnosis]:
    """The findings of all checks, which run at the same time."""
    done: dict[str, Diagnosis] = {}

    async def run(name: str, check: Check) -> None:
        begun = trio.current_time()
        findings = await _findings(check, seen)
        done[name] = Diagnosis(name, findings, trio.current_time() - begun)

    async with trio.open_nursery() as nursery:
        for name, check in checks.items():
            nursery.start_soon(run, name, check)
    return [done[name] for name in checks]


async def _findings(check: Check, seen: Inspection) -> Sequence[Finding]:
    """One check must not take the others with it."""
    try:
        with trio.fail_after(CHECK_DEADLINE):
            return await check(seen)
    except trio.TooSlowError:
        return [note(f"could not check: no result within {CHECK_DEADLINE:g} s")]
    except Exception as error:
        text = str(error) or type(error).__name__
        return [note(f"could not check: {text}", f"{type(error).__name__} in the doctor itself")]
