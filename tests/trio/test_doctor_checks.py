"""The doctor's checks that send nothing, on a machine in memory: each against a sound set-up and
against broken ones.
"""

import errno
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from support.c_sources import C
from support.patient import PUBLIC, TOKEN, grades, inspect, sound_machine, worst_of

from meet_trio.doctor import system
from meet_trio.doctor.examine import CHECK_DEADLINE, CHECKS, examine
from meet_trio.doctor.findings import Finding, Grade, ok, worst
from meet_trio.doctor.inspection import TCP, UDP, Inspection, ServerPort, ServerState
from meet_trio.doctor.machine import Holder

QUIET = ("media", "http", "public tls", "turn", "webhook")
"""Checks that send something. Others have tests of them."""

GROUP = "/sys/fs/cgroup"
TRACKED = "/proc/sys/net/netfilter"
V6_LINE = "20010db8000000000000000000000001 02 40 00 80     eth0\n"


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in QUIET])
async def test_a_sound_machine(autojump_clock: trio.testing.MockClock, name: str) -> None:
    ports = [ServerPort("http.port", TCP, "0.0.0.0", 12443)]
    seen = inspect(server=ServerState.RUNNING, health={"success": True}, ports=ports)
    if name == "ports":
        taken = OSError(errno.EADDRINUSE, "")
        seen = attrs.evolve(seen, ports=[attrs.evolve(port, error=taken) for port in ports])
    found = await CHECKS[name](seen)
    assert set(grades(found)) == {"ok"}, found


def limits(most: int) -> str:
    return f"Limit    Soft Limit  Hard Limit  Units\nMax open files   {most}   {most}   files\n"


BROKEN: dict[str, tuple[str, Mapping[str, Any], Mapping[str, Any], str, str, str]] = {
    # what is broken: check, settings, machine; grade, part of what was found, part of what to do
    "no TLS": ("settings", {"http.force_wss": False}, {}, "warning", "without TLS", "--help"),
    "demo for all": (
        "settings",
        {"demo.enabled": True},
        {},
        "warning",
        "demo mode beyond loopback",
        "--help",
    ),
    "a mistyped variable": (
        "variables",
        {},
        {"environ": {"WEBRTC_ANNOUNCED_ADRESS": "1", "PATH": "/bin", "AUTH_TOKEN": "x"}},
        "warning",
        "WEBRTC_ANNOUNCED_ADRESS",
        "rename it to WEBRTC_ANNOUNCED_ADDRESS",
    ),
    "an open key": (
        "secret files",
        {"http.tls_cert": Path("/c.pem"), "http.tls_key": Path("/k.pem")},
        {"mode": lambda path: 0o644},
        "warning",
        "the private key /k.pem",
        "chmod o-rwx /k.pem",
    ),
    "a short token": (
        "secrets",
        {"http.auth_token": "sesame"},
        {},
        "problem",
        "AUTH_TOKEN) can be guessed: it has 6",
        "openssl rand",
    ),
    "Kolab's default": (
        "secrets",
        {"webhook.token": "MY_SECRET"},
        {},
        "problem",
        "WEBHOOK_TOKEN) can be guessed: it is Kolab's default",
        "openssl rand",
    ),
    "the example's secret": (
        "secrets",
        {"turn.static_secret": "a long random text"},
        {},
        "problem",
        "TURN_STATIC_SECRET) can be guessed",
        "openssl rand",
    ),
    "one letter": ("secrets", {"http.auth_token": "a" * 32}, {}, "problem", "1 different", ""),
    "one token for both": ("secrets", {"webhook.token": TOKEN}, {}, "note", "are the same", ""),
    "no token for the webhook": (
        "secrets",
        {"webhook.token": None},
        {},
        "problem",
        "WEBHOOK_TOKEN is not",
        "MEET_WEBHOOK_TOKEN",
    ),
    "an old kernel": ("kernel", {}, {"kernel": "4.17.3"}, "warning", "is old", "upgrade"),
    "a kernel without GSO": ("kernel", {}, {"segments_udp": lambda: False}, "note", "GSO", ""),
    "a kernel of no number": ("kernel", {}, {"kernel": "?"}, "note", "cannot be read", ""),
    "small buffers": (
        "buffers",
        {},
        {"files": {"/proc/sys/net/core/rmem_max": "212992"}},
        "warning",
        "net.core.rmem_max is 212992: sockets receive with 0.2 MiB",
        "sysctl -w net.core.rmem_max=8388608",
    ),
    "hidden buffers": (
        "buffers",
        {},
        {"files": {"/proc/sys/net/core/wmem_max": None}},
        "note",
        "wmem_max cannot be read",
        "",
    ),
    "few files": (
        "open files",
        {"media.workers": 2, "media.max_tcp_connections": 10_000},
        {"open_files": (1024, 4096)},
        "warning",
        "this shell may open 1024 files; 28448 are needed",
        "LimitNOFILE=65536",
    ),
    "hardly any memory": (
        "memory",
        {},
        {"files": {"/proc/meminfo": "MemAvailable: 102400 kB"}},
        "problem",
        "100 MiB of this machine",
        "MemoryMax",
    ),
    "a small container": (
        "memory",
        {},
        {"files": {f"{GROUP}/memory.max": f"{300 << 20}", f"{GROUP}/memory.current": "1048576"}},
        "warning",
        "299 MiB of this control group",
        "container",
    ),
    "a small container of version 1": (
        "memory",
        {},
        {"files": {f"{GROUP}/memory/memory.limit_in_bytes": f"{100 << 20}"}},
        "problem",
        "100 MiB of this control group",
        "container",
    ),
    "no memory to see": ("memory", {}, {"files": {"/proc/meminfo": None}}, "note", "meminfo", ""),
    "more workers than cores": (
        "cores",
        {"media.workers": 8},
        {},
        "warning",
        "8 media workers share 4 cores",
        "MEDIASOUP_NUM_WORKERS",
    ),
    "half a core": (
        "cores",
        {},
        {"files": {f"{GROUP}/cpu.max": "50000 100000"}},
        "warning",
        "has 0.5 cores for 1",
        "MEDIASOUP_NUM_WORKERS to 1",
    ),
    "half a core of version 1": (
        "cores",
        {},
        {
            "files": {
                f"{GROUP}/cpu/cpu.cfs_quota_us": "50000",
                f"{GROUP}/cpu/cpu.cfs_period_us": "100000",
            }
        },
        "warning",
        "has 0.5 cores for 1",
        "",
    ),
    "a free clock": (
        "clock",
        {},
        {"clock_synchronised": lambda: False},
        "warning",
        "not synchronised",
        "timedatectl",
    ),
    "a clock without a state": (
        "clock",
        {},
        {"clock_synchronised": lambda: None},
        "note",
        "does not say",
        "",
    ),
    "a clock that is set": (
        "clock",
        {},
        {"now": iter([100.0, 102.0]).__next__},
        "warning",
        "was set by +2.00 s",
        "chrony",
    ),
    "a full table": (
        "connections",
        {},
        {"files": {f"{TRACKED}/nf_conntrack_count": "900", f"{TRACKED}/nf_conntrack_max": "1000"}},
        "problem",
        "900 of 1000",
        "nf_conntrack_max=4000",
    ),
    "IPv6 off": (
        "ipv6",
        {"media.listen_ip": ("2001:db8::1",)},
        {"files": {"/proc/sys/net/ipv6/conf/all/disable_ipv6": "1"}},
        "problem",
        "IPv6 is off",
        "disable_ipv6=0",
    ),
    "no IPv6 at all": (
        "ipv6",
        {"media.listen_ip": ("2001:db8::1",)},
        {"files": {"/proc/net/if_inet6": None}},
        "problem",
        "IPv6 is off",
        "",
    ),
    "IPv6 unused": (
        "ipv6",
        {},
        {"files": {"/proc/net/if_inet6": V6_LINE}},
        "note",
        "media does not listen on it",
        "WEBRTC_LISTEN_IP",
    ),
    "an old OpenSSL": (
        "versions",
        {},
        {"openssl": "OpenSSL 1.1.1w"},
        "warning",
        "OpenSSL 1.1.1w",
        "newer",
    ),
    "a Python that is not optimized": (
        "versions",
        {},
        {"python_optimized": False},
        "note",
        "without profile-guided optimization",
        "--enable-optimizations",
    ),
    # the trap of the original's README
    "announced at loopback": (
        "announced",
        {"media.announced_address": ("127.0.0.1",)},
        {},
        "problem",
        "127.0.0.1, which is loopback",
        "WEBRTC_ANNOUNCED_ADDRESS",
    ),
    "announced at loopback, with TURN": (
        "announced",
        {"media.announced_address": ("127.0.0.1",), "turn.server": "turn:t.test"},
        {},
        "warning",
        "loopback",
        "",
    ),
    "a name of loopback": (
        "announced",
        {"media.announced_address": ("here.test",)},
        {"names": {"here.test": ["127.0.1.1"]}},
        "problem",
        "here.test (127.0.1.1), which is loopback",
        "",
    ),
    "announced in Docker's network": (
        "announced",
        {"media.announced_address": ("172.17.0.2",)},
        {},
        "problem",
        "Docker",
        "--network host",
    ),
    "announced within, public name": (
        "announced",
        {"media.announced_address": ("10.0.0.5",)},
        {},
        "problem",
        "10.0.0.5, a private address, but browsers come by meet.test",
        f"e.g. {PUBLIC}",
    ),
    "announced within, private name": (
        "announced",
        {"media.announced_address": ("10.0.0.5",)},
        {"names": {"meet.test": ["10.0.0.5"]}},
        "note",
        "10.0.0.5, a private address",
        "if others",
    ),
    "announced nowhere": (
        "announced",
        {"media.announced_address": ("0.0.0.0",)},
        {},
        "problem",
        "nobody's address",
        "",
    ),
    "an unknown name announced": (
        "announced",
        {"media.announced_address": ("gone.test",)},
        {},
        "problem",
        "gone.test cannot be looked up: Name or service",
        "getent hosts gone.test",
    ),
    "a name of the other version": (
        "announced",
        {"media.announced_address": ("six.test",)},
        {"names": {"six.test": ["2600::1"]}},
        "problem",
        "only addresses of an IP version",
        "WEBRTC_LISTEN_IP",
    ),
    "a name of both versions": (
        "announced",
        {"media.announced_address": ("both.test",)},
        {"names": {"both.test": [PUBLIC, "2600::1"]}},
        "note",
        "2600::1 is not announced",
        "WEBRTC_LISTEN_IP",
    ),
    "no public domain": (
        "public domain",
        {"http.public_domain": None},
        {},
        "problem",
        "PUBLIC_DOMAIN is not set",
        "PUBLIC_DOMAIN",
    ),
    "an unknown public domain": (
        "public domain",
        {"http.public_domain": "gone.test"},
        {},
        "problem",
        "gone.test cannot be looked up",
        "getent",
    ),
    "a public domain of loopback": (
        "public domain",
        {"http.public_domain": "localhost:12443"},
        {"names": {"localhost": ["127.0.0.1"]}},
        "problem",
        "localhost is loopback",
        "/etc/hosts",
    ),
    "a public domain of a proxy": (
        "public domain",
        {"http.public_domain": "proxy.test"},
        {"names": {"proxy.test": ["11.0.0.2"]}},
        "note",
        "proxy.test is not this machine (11.0.0.2)",
        "",
    ),
    "media listens on loopback": (
        "listen",
        {"media.listen_ip": ("127.0.0.1",)},
        {},
        "problem",
        "loopback alone",
        "WEBRTC_LISTEN_IP",
    ),
    "media listens on loopback, with TURN": (
        "listen",
        {"media.listen_ip": ("127.0.0.1",), "turn.server": "turn:t.test"},
        {},
        "warning",
        "loopback alone",
        "WEBRTC_LISTEN_IP",
    ),
    "HTTP listens on loopback": (
        "listen",
        {"http.host": "127.0.0.1"},
        {},
        "note",
        "HTTP listens on loopback",
        "LISTENING_HOST",
    ),
    "HTTP listens on no name": (
        "listen",
        {"http.host": "gone.test"},
        {},
        "problem",
        "gone.test cannot be looked up",
        "LISTENING_HOST",
    ),
    "few plain ports": (
        "plain ports",
        {"media.plain_ports": (50000, 50003)},
        {"files": {"/proc/net/udp": f"head\n 0: 0:{50001:X} 0:0 07 a b c 0 0 77 2\n"}},
        "warning",
        "3 of the ports 50000-50003",
        "MEET_TRIO_MEDIA_PLAIN_PORTS",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_one(autojump_clock: trio.testing.MockClock, case: str) -> None:
    name, settings, machine, grade, found, do = BROKEN[case]
    finding = worst_of(await CHECKS[name](inspect(settings, sound_machine(**machine))))
    assert finding.grade.value == grade, finding
    assert found in finding.found
    assert do in finding.do
    assert finding.why or grade == "note"


async def test_a_file_of_settings_with_a_secret_that_all_may_read() -> None:
    text = f'[http]\nauth_token = "{TOKEN}"\n'
    for content, mode, grade in ((text, 0o644, "warning"), (text, 0o640, "ok"), ("", 0o644, "ok")):
        machine = sound_machine({"/etc/meet.toml": content}, mode=lambda path, mode=mode: mode)
        seen = inspect(None, machine, config_path=Path("/etc/meet.toml"))
        assert grades(await CHECKS["secret files"](seen)) == [grade]


async def test_no_finding_shows_a_secret(autojump_clock: trio.testing.MockClock) -> None:
    secrets = {"http.auth_token": "hush-1", "webhook.token": "hush-2"}
    seen = inspect({**secrets, "turn.static_secret": "hush-3"})
    checks = {name: check for name, check in CHECKS.items() if name not in QUIET}
    assert "hush" not in str(await examine(seen, checks))


def port(error: int | None, protocol: str = UDP, setting: str = "media.port") -> ServerPort:
    found = None if error is None else OSError(error, "")
    return ServerPort(setting, protocol, "192.0.2.1", 44444, found)


HOLDER = {
    "files": {"/proc/net/udp": f"head\n 0: 0:{44444:X} 0:0 07 a b c 0 0 77 2\n"},
    "holders": lambda inodes: {77: Holder(12, "/usr/bin/other --flag")} if inodes == {77} else {},
}


@pytest.mark.parametrize(
    ("error", "machine", "found", "do"),
    [
        (errno.EADDRINUSE, HOLDER, "is taken by other (pid 12)", "media.port"),
        (errno.EADDRINUSE, {}, "may not see", "media.port"),
        (errno.EACCES, {}, "may not be bound", "AmbientCapabilities"),
        (errno.EADDRNOTAVAIL, {}, "does not have the address 192.0.2.1", "media.listen_ip"),
        (errno.EAFNOSUPPORT, {}, "no IPv6", "media.listen_ip"),
        (errno.EINVAL, {}, "192.0.2.1:44444/udp", "media.port"),
    ],
)
async def test_a_port_that_cannot_be_bound(
    error: int, machine: Mapping[str, Any], found: str, do: str
) -> None:
    seen = inspect(None, sound_machine(**machine), ports=[port(error)])
    finding = worst_of(await CHECKS["ports"](seen))
    assert finding.grade is Grade.PROBLEM
    assert found in finding.found
    assert do in finding.do


async def test_the_running_server_has_its_ports() -> None:
    ports = [port(errno.EADDRINUSE), port(None, TCP)]
    seen = inspect(server=ServerState.RUNNING, ports=ports)
    found = await CHECKS["ports"](seen)
    assert grades(found) == ["ok", "warning"]
    assert "does not listen on 192.0.2.1:44444/tcp" in found[1].found
    stranger = attrs.evolve(seen, server=ServerState.FOREIGN)
    assert "problem" in grades(await CHECKS["ports"](stranger))


async def test_two_settings_with_one_port() -> None:
    seen = inspect(ports=[port(None, TCP), port(None, TCP, "http.port")])
    assert "both http.port's and media.port's" in worst_of(await CHECKS["ports"](seen)).found


async def test_ports_of_0_are_noted() -> None:
    assert "any free port" in worst_of(await CHECKS["ports"](inspect({"media.port": 0}))).found


async def test_the_limit_of_files_is_that_of_the_running_server() -> None:
    files = {"/proc/net/udp": HOLDER["files"]["/proc/net/udp"], "/proc/12/limits": limits(2048)}  # type: ignore[index]
    machine = sound_machine(files, holders=HOLDER["holders"])
    seen = inspect(None, machine, server=ServerState.RUNNING, ports=[port(errno.EADDRINUSE)])
    finding = worst_of(await CHECKS["open files"](seen))
    assert "the server may open 2048 files" in finding.found


@pytest.mark.parametrize(
    ("state", "demo", "grade"),
    [
        (ServerState.OTHER_TOKEN, False, "problem"),
        (ServerState.OTHER_TOKEN, True, "note"),
        (ServerState.FOREIGN, False, "ok"),
    ],
)
async def test_a_server_with_another_token(state: ServerState, demo: bool, grade: str) -> None:
    seen = inspect({"demo.enabled": demo}, server=state)
    assert worst_of(await CHECKS["secrets"](seen)).grade.value == grade


async def test_a_server_that_is_not_well() -> None:
    health = {"success": False, "message": "no", "reasons": ["a media engine has failed", "b"]}
    finding = worst_of(await CHECKS["health"](inspect(server=ServerState.RUNNING, health=health)))
    assert finding.grade is Grade.PROBLEM
    assert "a media engine has failed; b" in finding.found
    short = {"success": False, "message": "a media engine has failed"}
    finding = worst_of(await CHECKS["health"](inspect(server=ServerState.RUNNING, health=short)))
    assert "a media engine has failed" in finding.found


def test_the_wanted_buffer_is_the_engines() -> None:
    text = (C / "io" / "udp.c").read_text()
    assert f"SOCKET_BUFFER = {system.SOCKET_BUFFER >> 20} << 20" in text


# The run


async def test_one_check_takes_no_other_with_it(autojump_clock: trio.testing.MockClock) -> None:
    async def sound(seen: Inspection) -> list[Finding]:
        return [ok("fine")]

    async def faulty(seen: Inspection) -> list[Finding]:
        raise ZeroDivisionError("division by zero")

    async def endless(seen: Inspection) -> list[Finding]:
        await trio.sleep_forever()
        raise AssertionError

    checks = {"endless": endless, "faulty": faulty, "other": endless, "sound": sound}
    found = await examine(inspect(), checks)
    assert [diagnosis.check for diagnosis in found] == list(checks)
    says = [diagnosis.findings[0].found for diagnosis in found]
    assert says[0] == says[2] == "could not check: no result within 7 s"
    assert says[1] == "could not check: division by zero"
    assert says[3] == "fine"
    # they run at the same time
    assert trio.current_time() == CHECK_DEADLINE
    assert worst(found) is Grade.NOTE


async def test_a_look_up_that_hangs_costs_its_own_check_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def hang(name: str) -> tuple[str, ...]:
        await trio.sleep_forever()
        raise socket.gaierror

    seen = inspect(None, sound_machine(look_up=hang))
    found = await examine(seen, {name: CHECKS[name] for name in ("public domain", "kernel")})
    assert [d.findings[0].grade for d in found] == [Grade.NOTE, Grade.OK]
