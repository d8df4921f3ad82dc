"""What the doctor's checks are tried on: a machine in memory, sound settings, certificates."""

import datetime
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from meet_trio.config import build
from meet_trio.doctor.findings import Finding, Grade
from meet_trio.doctor.inspection import Inspection
from meet_trio.doctor.machine import Machine, this_machine

TOKEN = "a0b1c2d3e4f5061728394a5b6c7d8e9f"
PUBLIC = "11.0.0.1"  # of the kind that the Internet reaches; no packet is sent to it
NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)

FILES = {
    "/proc/sys/net/core/rmem_max": "16777216\n",
    "/proc/sys/net/core/wmem_max": "16777216\n",
    "/proc/meminfo": "MemTotal:  8000000 kB\nMemAvailable:   4000000 kB\n",
    "/proc/net/if_inet6": "00000000000000000000000000000001 01 80 10 80       lo\n",
    "/proc/sys/net/ipv6/conf/all/disable_ipv6": "0\n",
}


@attrs.define
class FakeNames:
    """The DNS. A name that it does not have does not exist."""

    addresses: Mapping[str, Sequence[str]] = attrs.field(factory=dict)

    async def look_up(self, name: str) -> tuple[str, ...]:
        try:
            return (str(ipaddress.ip_address(name)),)
        except ValueError:
            pass
        if name not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return tuple(self.addresses[name])


async def python_says(code: int, output: str, errors: str) -> tuple[int, str, str]:
    """What a program in a process of its own does."""
    return code, output, errors


def sound_machine(
    files: Mapping[str, str | None] | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
    **changed: Any,
) -> Machine:
    """A machine without a fault. ``files`` replaces some; None: it cannot be read."""
    texts: dict[str, str | None] = {**FILES, **(files or {})}
    values: dict[str, Any] = {
        "environ": {},
        "kernel": "6.1.0-30-amd64",
        "python": (3, 12, 3),
        "python_optimized": True,
        "openssl": "OpenSSL 3.0.15 3 Sep 2024",
        "cores": 4,
        "open_files": (65536, 65536),
        "read": texts.get,
        "mode": lambda path: 0o600,
        "holders": lambda inodes: {},
        "look_up": FakeNames({"meet.test": [PUBLIC], **(names or {})}).look_up,
        "has_address": lambda address: address in (PUBLIC, "127.0.0.1"),
        "clock_synchronised": lambda: True,
        "segments_udp": lambda: True,
        "run_python": lambda program: python_says(0, '["libcrypto", ""]', ""),
        "now": lambda: NOW.timestamp(),
        "monotonic": lambda: 0.0,
        **changed,
    }
    return Machine(**values)


def real_machine(names: Mapping[str, Sequence[str]] | None = None, **changed: Any) -> Machine:
    """This machine, with a DNS in memory and without its variables."""
    names = {"localhost": ["127.0.0.1"], **(names or {})}
    return attrs.evolve(this_machine(), environ={}, look_up=FakeNames(names).look_up, **changed)


def settings_of(changed: Mapping[str, object] | None = None) -> dict[str, object]:
    return {
        "http.auth_token": TOKEN,
        "http.public_domain": "meet.test:12443",
        "http.force_wss": True,
        "media.announced_address": (PUBLIC,),
        "media.listen_ip": (PUBLIC,),
        "webhook.url": "https://kolab.test/api/webhooks/meet",
        "webhook.token": TOKEN[::-1],
        **(changed or {}),
    }


def inspect(
    changed: Mapping[str, object] | None = None, machine: Machine | None = None, **fields: Any
) -> Inspection:
    """Sound settings on a sound machine, but for what is changed."""
    settings = build(settings_of(changed))
    return Inspection(settings=settings, machine=machine or sound_machine(), **fields)


def grades(findings: Sequence[Finding]) -> list[str]:
    return [finding.grade.value for finding in findings]


def worst_of(findings: Sequence[Finding]) -> Finding:
    order = list(Grade)
    return max(findings, key=lambda finding: order.index(finding.grade))


def free_ports(number: int = 1, kind: int = socket.SOCK_STREAM) -> int:
    """The first of ``number`` ports in a row that are free on loopback, for TCP and UDP."""
    while True:
        made = []
        try:
            first = 0
            for index in range(number):
                for each in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    made.append(socket.socket(socket.AF_INET, each))
                    made[-1].bind(("127.0.0.1", first + index if first else 0))
                    first = first or made[-1].getsockname()[1]
            return first
        except (OSError, OverflowError):
            continue
        finally:
            for each_socket in made:
                each_socket.close()


# Certificates


@attrs.frozen
class Identity:
    """A certificate with its key. ``issuer`` None: self-signed."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(
        cls,
        name: str,
        issuer: "Identity | None" = None,
        *,
        hosts: Sequence[str] = (),
        days: float = 90,
        begun: float = 1,
        now: datetime.datetime = NOW,
        authority: bool = False,
    ) -> "Identity":
        """Valid from ``begun`` days ago, for ``days`` from now on."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=begun))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        signer = issuer.key if issuer else key
        return cls(builder.sign(signer, hashes.SHA256()), key)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, folder: Path, *chain: "Identity") -> tuple[Path, Path]:
        """The files for SSL_CERT and SSL_KEY."""
        cert, key = folder / "cert.pem", folder / "key.pem"
        cert.write_bytes(self.pem + b"".join(other.pem for other in chain))
        key.write_bytes(self.key_pem)
        return cert, key


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
