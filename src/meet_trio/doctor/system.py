"""Checks of the machine: kernel, socket buffers, files, memory, cores, clock, IPv6, versions."""

import itertools
import re
from collections.abc import Mapping, Sequence

import trio

from meet_trio.doctor.findings import Finding, note, ok, problem, warning
from meet_trio.doctor.inspection import Inspection
from meet_trio.doctor.machine import Machine
from meet_trio.doctor.server import holders_of

SOCKET_BUFFER = 8 << 20  # bytes; what mt_udp_prepare asks for (engine/c/io/udp.c)
OLDEST_KERNEL = (4, 18)
FULL_TABLE = 0.8  # the part of the conntrack table that may be in use
LEAST_MEMORY, LITTLE_MEMORY = 128, 512  # MiB; a problem below, a warning below
OTHER_FILES = 256  # of the process besides its connections
CLOCK_WATCHED = 0.5  # seconds
CLOCK_STEP = 0.05  # seconds between two clocks after that time
_MIB = 1 << 20


async def check_kernel(seen: Inspection) -> Sequence[Finding]:
    machine = seen.machine
    match = re.match(r"(\d+)\.(\d+)", machine.kernel)
    if match is None:
        return [note(f"the kernel's version {machine.kernel} cannot be read")]
    if (int(match[1]), int(match[2])) < OLDEST_KERNEL:
        return [
            warning(
                f"Linux {machine.kernel} is old",
                "nothing older than Linux 4.18 was tried; sending is slower there",
                "apt full-upgrade, or a newer release of the distribution",
            )
        ]
    found = [ok(f"Linux {machine.kernel}")]
    if not machine.segments_udp():
        found.append(
            note(
                "the kernel does not segment UDP (GSO)",
                "the engines of this version do without; later ones may send faster with it",
            )
        )
    return found


async def check_buffers(seen: Inspection) -> Sequence[Finding]:
    """The limits of socket buffers. The engine asks for more than most systems allow by default."""
    found = []
    for name, what in (("rmem_max", "receive"), ("wmem_max", "send")):
        limit = _number(seen.machine, f"/proc/sys/net/core/{name}")
        if limit is None:
            found.append(note(f"net.core.{name} cannot be read here (a container hides it)"))
        elif limit < SOCKET_BUFFER:
            found.append(
                warning(
                    f"net.core.{name} is {limit}: sockets {what} with {limit / _MIB:.1f} MiB "
                    "instead of 8",
                    "bursts of packets are lost under load, unless the server has CAP_NET_ADMIN",
                    f"sysctl -w net.core.{name}={SOCKET_BUFFER}; the same line in "
                    "/etc/sysctl.d/meet-trio.conf keeps it",
                )
            )
    return found or [ok("socket buffers may be as large as the engines want them (8 MiB)")]


async def check_open_files(seen: Inspection) -> Sequence[Finding]:
    """RLIMIT_NOFILE of the running server, or of this shell."""
    settings = seen.settings
    connections = settings.front_door.max_connections
    media = settings.media.workers * settings.engine.max_tcp_connections
    needed = connections + media + OTHER_FILES
    limit, whose = await _limit_of_server(seen)
    shown = f"{whose} may open {limit} files; {needed} are needed for all connections"
    if limit >= needed:
        return [ok(shown)]
    return [
        warning(
            shown,
            f"http.max_connections is {connections}, and {settings.media.workers} workers take "
            f"{settings.engine.max_tcp_connections} each: later ones wait or fail",
            f"in the unit: LimitNOFILE={max(65536, needed)}; in a shell: ulimit -n {needed}",
        )
    ]


async def _limit_of_server(seen: Inspection) -> tuple[int, str]:
    if seen.is_running:
        holders = await holders_of(seen.machine, seen.ports)
        for holder in itertools.chain(*holders.values()):
            limits = seen.machine.read(f"/proc/{holder.pid}/limits") or ""
            if match := re.search(r"^Max open files\s+(\d+)", limits, re.MULTILINE):
                return int(match[1]), "the server"
    return seen.machine.open_files[0], "this shell"


async def check_memory(seen: Inspection) -> Sequence[Finding]:
    """What is free on the machine, and in the control group."""
    fields = _fields(seen.machine.read("/proc/meminfo") or "")
    if "MemAvailable" not in fields:
        return [note("/proc/meminfo cannot be read")]
    free, where = fields["MemAvailable"] // 1024, "of this machine"
    limit = _group_limit(seen.machine)
    if limit is not None and limit < free:
        free, where = limit, "of this control group (container or unit)"
    shown = f"{free} MiB {where} are free"
    do = "a larger machine, or MemoryMax= of the unit; the limit of the container"
    why = "the server takes about 100 MiB at rest; if memory runs out, the kernel ends it"
    if free < LEAST_MEMORY:
        return [problem(shown, why, do)]
    if free < LITTLE_MEMORY:
        return [warning(shown, why, do)]
    return [ok(shown)]


def _group_limit(machine: Machine) -> int | None:
    """MiB that the control group leaves; None without a limit."""
    for limit_path, used_path in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        limit = _number(machine, limit_path)
        if limit is not None:
            return max(0, limit - (_number(machine, used_path) or 0)) // _MIB
    return None


async def check_cores(seen: Inspection) -> Sequence[Finding]:
    """One core for each engine, and what the control group leaves of them."""
    workers, cores = seen.settings.media.workers, seen.machine.cores
    quota = _quota(seen.machine)
    do = "unset MEDIASOUP_NUM_WORKERS (media.workers), or set it to the number of cores"
    if workers > cores:
        return [
            warning(
                f"{workers} media workers share {cores} cores",
                "engines wait for each other, and packets wait with them",
                do,
            )
        ]
    if quota is not None and quota < workers:
        return [
            warning(
                f"the control group has {quota:g} cores for {workers} media workers",
                "when the share is used up, all threads stop for up to 100 ms: sound breaks",
                "raise the limit (CPUQuota= of the unit, --cpus of the container), or set "
                f"MEDIASOUP_NUM_WORKERS to {max(1, int(quota))}",
            )
        ]
    return [ok(f"{cores} cores for {workers} media workers")]


def _quota(machine: Machine) -> float | None:
    words = (machine.read("/sys/fs/cgroup/cpu.max") or "").split()
    if len(words) == 2 and words[0].isdecimal():
        return int(words[0]) / int(words[1])
    quota = _number(machine, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = _number(machine, "/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    return quota / period if quota and period else None


async def check_clock(seen: Inspection) -> Sequence[Finding]:
    """The clock is synchronised, and does not step while the doctor looks."""
    machine = seen.machine
    offset = machine.now() - machine.monotonic()
    await trio.sleep(CLOCK_WATCHED)
    step = machine.now() - machine.monotonic() - offset
    found = []
    if abs(step) > CLOCK_STEP:
        found.append(
            warning(
                f"the clock was set by {step:+.2f} s while the doctor looked",
                "TURN credentials and certificates depend on it",
                "let one service alone set it, which slews: systemd-timesyncd or chrony",
            )
        )
    match machine.clock_synchronised():
        case None:
            found.append(note("the kernel does not say whether the clock is synchronised"))
        case False:
            found.append(
                warning(
                    "the clock is not synchronised",
                    "a clock that is wrong makes TURN credentials and certificates invalid",
                    "timedatectl set-ntp true; timedatectl shows the state. In a virtual machine "
                    "or a container the host keeps the time",
                )
            )
        case True:
            found.append(ok("the clock is synchronised"))
    return found


async def check_connection_table(seen: Inspection) -> Sequence[Finding]:
    """The table in which the firewall notes connections, UDP among them."""
    folder = "/proc/sys/net/netfilter"
    count = _number(seen.machine, f"{folder}/nf_conntrack_count")
    most = _number(seen.machine, f"{folder}/nf_conntrack_max")
    if count is None or not most:
        return [ok("no table of connections (conntrack) is in use here")]
    shown = f"{count} of {most} entries of the table of connections (conntrack) are in use"
    if count < FULL_TABLE * most:
        return [ok(shown)]
    return [
        problem(
            shown,
            "when it is full, the kernel drops packets of new clients",
            f"sysctl -w net.netfilter.nf_conntrack_max={4 * most}; or no tracking of the ports "
            "of media (notrack of nft)",
        )
    ]


async def check_ipv6(seen: Inspection) -> Sequence[Finding]:
    machine = seen.machine
    listens = any(":" in ip for ip in seen.settings.engine.listen_ips)
    off = machine.read("/proc/net/if_inet6") is None or (
        _number(machine, "/proc/sys/net/ipv6/conf/all/disable_ipv6") == 1
    )
    if listens and off:
        return [
            problem(
                "media listens on an IPv6 address, but IPv6 is off on this machine",
                "the server does not start, or receives nothing there",
                "sysctl -w net.ipv6.conf.all.disable_ipv6=0, or take the address out of "
                "WEBRTC_LISTEN_IP (media.listen_ip)",
            )
        ]
    if off:
        return [ok("IPv6 is off on this machine, and media does not use it")]
    # The fourth field is the scope (proc(5)); 00 is global.
    own = [
        line.split()[0]
        for line in (machine.read("/proc/net/if_inet6") or "").splitlines()
        if line.split()[3] == "00" and line[0] in "23"
    ]
    if own and not listens:
        return [
            note(
                "this machine has a public IPv6 address, and media does not listen on it",
                "clients without IPv4 need NAT64 or TURN",
                "add it to WEBRTC_LISTEN_IP and WEBRTC_ANNOUNCED_ADDRESS",
            )
        ]
    return [ok("media listens on IPv6" if listens else "no public IPv6 address on this machine")]


async def check_versions(seen: Inspection) -> Sequence[Finding]:
    machine = seen.machine
    python = ".".join(map(str, machine.python))
    match = re.search(r"(\d+)\.(\d+)", machine.openssl)
    if match is not None and int(match[1]) < 3:
        return [
            warning(
                f"Python {python}, {machine.openssl}",
                "OpenSSL before 3 has no security updates any more",
                "a newer release of the distribution",
            )
        ]
    if not machine.python_optimized:
        return [
            note(
                f"Python {python} is built without profile-guided optimization, {machine.openssl}",
                "joining takes half as much CPU time again; media is not touched",
                "install meet-trio with the distribution's Python, or with one that was built with "
                "--enable-optimizations",
            )
        ]
    return [ok(f"Python {python}, {machine.openssl}")]


async def check_health(seen: Inspection) -> Sequence[Finding]:
    """What the running server says of itself."""
    if not seen.is_running:
        return [note("the server does not run; the doctor takes its ports for these seconds")]
    if seen.health.get("success") is True:
        return [ok("the server runs and is healthy")]
    reasons = seen.health.get("reasons") or seen.health.get("message") or "no reason given"
    shown = "; ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)
    return [
        problem(
            f"the running server is not well: {shown}",
            "new meetings may not begin",
            "journalctl -u meet-trio; systemctl restart meet-trio ends all meetings",
        )
    ]


def _number(machine: Machine, path: str) -> int | None:
    text = (machine.read(path) or "").strip()
    return int(text) if text.isdecimal() else None


def _fields(text: str) -> Mapping[str, int]:
    """The numbers of ``/proc/meminfo``, in KiB."""
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+):\s+(\d+)", text, re.MULTILINE)}
