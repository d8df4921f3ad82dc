"""Checks of TLS: the files of this server, or what a proxy shows at the public domain."""

import datetime
import itertools
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

import trio
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from meet_trio.doctor.findings import Finding, note, ok, problem, warning
from meet_trio.doctor.inspection import Inspection, as_address

SOON = 14  # days before its end from which a certificate is a warning
_HANDSHAKE_DEADLINE = 2.0  # seconds
_DEBIANS_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_RENEW = "renew it (certbot renew, or your authority), then restart or reload the server"


async def check_certificate_files(seen: Inspection) -> Sequence[Finding]:
    """SSL_CERT and SSL_KEY can be read, fit together, are a chain in order, are valid, and name the
    public domain.
    """
    listener = seen.settings.listener
    if listener.tls_cert is None:
        return [ok("TLS does not end at this server (no SSL_CERT)")]
    try:
        chain = x509.load_pem_x509_certificates(listener.tls_cert.read_bytes())
    except (OSError, ValueError) as error:
        return [_unusable("SSL_CERT", listener.tls_cert, error)]
    found = list(_key(listener.tls_key or listener.tls_cert, chain[0]))
    found += judge_leaf(chain[0], seen, _RENEW)
    found += await trio.to_thread.run_sync(_chain, chain)
    if listener.force_wss:
        found.append(note("FORCE_WSS changes nothing: SSL_CERT is set, so URLs are wss:// anyway"))
    return found


def _unusable(setting: str, path: Path, error: Exception) -> Finding:
    reason = error.strerror if isinstance(error, OSError) else "no PEM file of the right kind"
    return problem(
        f"{setting} {path} cannot be used: {reason}",
        "the server does not start",
        f"ls -l {path}; openssl x509 -noout -in {path} (of a key: openssl pkey); or correct "
        f"{setting}",
    )


def _key(path: Path, leaf: x509.Certificate) -> Iterator[Finding]:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        yield _unusable("SSL_KEY", path, error)
        return
    except TypeError:
        yield problem(
            f"SSL_KEY {path} is encrypted",
            "the server has no password for it and does not start",
            f"openssl pkey -in {path} -out NEW.key writes it without one",
        )
        return
    if _public(key.public_key()) != _public(leaf.public_key()):
        yield problem(
            f"the key {path} is not the key of the certificate's first entry",
            "the server does not start",
            "set SSL_CERT and SSL_KEY to files that belong together; the server's own certificate "
            "comes first in SSL_CERT",
        )
    else:
        yield ok("certificate and key belong together")


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def judge_leaf(leaf: x509.Certificate, seen: Inspection, renew: str) -> Iterator[Finding]:
    """Expiry and name."""
    now = datetime.datetime.fromtimestamp(seen.machine.now(), datetime.UTC)
    end = leaf.not_valid_after_utc
    left = (end - now).days
    if now >= end:
        yield problem(
            f"the certificate has expired on {end:%Y-%m-%d}", "browsers refuse to connect", renew
        )
    elif now < leaf.not_valid_before_utc:
        yield problem(
            f"the certificate is valid from {leaf.not_valid_before_utc:%Y-%m-%d} on only",
            "browsers refuse to connect until then",
            "date -u shows this machine's clock; correct it, or wait",
        )
    elif left < SOON:
        yield warning(
            f"the certificate expires in {left} days ({end:%Y-%m-%d})",
            "then browsers refuse to connect",
            renew,
        )
    else:
        yield ok(f"the certificate is valid until {end:%Y-%m-%d}, {left} days")
    host = seen.public_host
    if host is None:
        return
    names = list(_names(leaf))
    if any(_covers(name, host) for name in names):
        yield ok(f"the certificate names {host}")
    else:
        yield problem(
            f"the certificate does not name {host}, but {', '.join(names) or 'nothing'}",
            "browsers refuse to connect",
            f"get a certificate for {host}, or set PUBLIC_DOMAIN to a name that it has",
        )


def _names(leaf: x509.Certificate) -> Iterator[str]:
    """Subject alternative names. Browsers ignore the common name."""
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return
    yield from extension.get_values_for_type(x509.DNSName)
    yield from map(str, extension.get_values_for_type(x509.IPAddress))


def _covers(name: str, host: str) -> bool:
    """RFC 6125 §6.4.3: a wildcard stands for the first label alone."""
    if (address := as_address(host)) is not None:
        return as_address(name) == address
    name, host = name.lower().rstrip("."), host.lower().rstrip(".")
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return name == host


def _chain(chain: Sequence[x509.Certificate]) -> list[Finding]:
    """In a thread: the machine's authorities are read from disk."""
    for lower, upper in itertools.pairwise(chain):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature):
            return [
                problem(
                    f"the chain in SSL_CERT is not in order: {_title(upper)} did not issue "
                    f"{_title(lower)}",
                    "some browsers, and Kolab, cannot verify it",
                    "put the server's certificate first, then each one's issuer (fullchain.pem)",
                )
            ]
    last = chain[-1]
    if len(chain) == 1 and last.issuer == last.subject:
        return [
            warning(
                "the certificate is self-signed",
                "browsers refuse websockets to it without asking; Kolab needs "
                "MEET_SERVER_VERIFY_TLS=false",
                "get a certificate of an authority that browsers know",
            )
        ]
    if last.issuer == last.subject or _is_known(last.issuer):
        return [ok(f"the chain is complete: {len(chain)} certificates")]
    return [
        warning(
            f"the chain ends at {_title(last)}, whose issuer this machine does not know",
            "an intermediate certificate is missing, or the authority is your own: then all "
            "browsers need it",
            "append the intermediate certificates to SSL_CERT (fullchain.pem)",
        )
    ]


def _is_known(issuer: x509.Name) -> bool:
    """Whether an authority of this machine has this name. The bytes are compared, because some
    authorities' certificates break rules that a parser insists on.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ssl.get_default_verify_paths().cafile or _DEBIANS_AUTHORITIES)
    except (OSError, ssl.SSLError):
        return False
    name = issuer.public_bytes()
    return any(name in authority for authority in context.get_ca_certs(binary_form=True))


def _title(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if names:
        return repr(str(names[0].value))
    return certificate.subject.rfc4514_string() or "a certificate without a name"


# What the public domain shows


async def check_public_tls(seen: Inspection) -> Sequence[Finding]:
    """Behind a proxy: TLS of the public domain is trusted, valid, names it, and agrees with
    FORCE_WSS.
    """
    host = seen.public_host
    if host is None:
        return [ok("no public domain to try")]
    if seen.settings.listener.tls_cert is not None:
        return [ok("TLS ends at this server; see tls files")]
    found: list[Finding] = []
    try:
        leaf, refusal = await _handshake(host, seen.public_port)
    except ssl.SSLError:
        return _no_tls(seen)
    except (OSError, trio.TooSlowError) as error:
        text = getattr(error, "strerror", None) or "no answer"
        return [note(f"{host}:{seen.public_port} could not be asked for TLS: {text}")]
    if not seen.settings.listener.force_wss:
        found.append(
            problem(
                f"{host}:{seen.public_port} speaks TLS, but FORCE_WSS is off",
                "token URLs begin with ws://, which pages of https may not open",
                "set FORCE_WSS=1 (http.force_wss)",
            )
        )
    found += judge_leaf(leaf, seen, "renew it at the proxy, and reload the proxy")
    if refusal:
        found.append(
            warning(
                f"this machine does not trust the certificate of {host}: {refusal}",
                "an intermediate certificate is missing at the proxy, or browsers need to know "
                "your authority",
                f"openssl s_client -connect {host}:{seen.public_port} -servername {host}",
            )
        )
    else:
        found.append(ok(f"the chain that {host} shows is complete and trusted"))
    return found


def _no_tls(seen: Inspection) -> list[Finding]:
    where = f"{seen.public_host}:{seen.public_port}"
    if seen.settings.listener.force_wss:
        return [
            problem(
                f"FORCE_WSS is on, but {where} does not speak TLS",
                "browsers get wss:// URLs and cannot connect",
                "let the proxy end TLS there, or correct PUBLIC_DOMAIN, or unset FORCE_WSS",
            )
        ]
    if seen.settings.site.demo:
        return [ok(f"{where} has no TLS: demo mode")]
    return [
        warning(
            f"{where} has no TLS",
            "only https pages get camera and microphone, and they may not open ws:// URLs",
            "set SSL_CERT and SSL_KEY, or FORCE_WSS=1 behind a proxy that ends TLS",
        )
    ]


async def _handshake(host: str, port: int) -> tuple[x509.Certificate, str]:
    """The certificate that a host shows, and why it is not trusted, "" if it is. Raises OSError,
    SSLError if it speaks no TLS.
    """
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    leaf = x509.load_der_x509_certificate(await _connect(host, port, trusting))
    strict = await trio.to_thread.run_sync(ssl.create_default_context)
    # Names and times are judged apart.
    strict.check_hostname = False
    try:
        await _connect(host, port, strict)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in (9, 10):  # not yet valid, expired
            return leaf, ""
        return leaf, error.verify_message
    return leaf, ""


async def _connect(host: str, port: int, context: ssl.SSLContext) -> bytes:
    with trio.fail_after(_HANDSHAKE_DEADLINE):
        async with await trio.open_tcp_stream(host, port) as tcp:
            stream = trio.SSLStream(tcp, context, server_hostname=host, https_compatible=True)
            try:
                await stream.do_handshake()
            except trio.BrokenResourceError as error:
                # The cause says whether the other side speaks no TLS or is not trusted.
                raise error.__cause__ or ssl.SSLError("no TLS") from None
            found: bytes | None = stream.getpeercert(True)
            if found is None:
                raise ssl.SSLError("no certificate")
            return found
