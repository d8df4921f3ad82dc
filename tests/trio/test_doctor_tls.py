"""The doctor's checks of TLS: files that are made here, and a listener with TLS on loopback."""

import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from support.patient import (
    Identity,
    grades,
    inspect,
    real_machine,
    settings_of,
    worst_of,
)

from meet_trio.doctor import certificates
from meet_trio.doctor.certificates import check_certificate_files, check_public_tls
from meet_trio.doctor.findings import Finding, Grade

HOSTS = ["meet.test"]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_HANDSHAKE_DEADLINE", 20.0)


async def examine_files(cert: Path, key: Path | None, **changed: object) -> list[Finding]:
    seen = inspect({"http.tls_cert": cert, "http.tls_key": key, "http.force_wss": False, **changed})
    return list(await check_certificate_files(seen))


@pytest.fixture(scope="module")
def root() -> Identity:
    return Identity.make("Root", authority=True)


@pytest.fixture(scope="module")
def middle(root: Identity) -> Identity:
    return Identity.make("Middle", root, authority=True)


@pytest.mark.parametrize("hosts", [["meet.test"], ["other.test", "*.test"], ["MEET.test"]])
async def test_a_sound_chain(
    root: Identity, middle: Identity, hosts: list[str], tmp_path: Path
) -> None:
    cert, key = Identity.make("leaf", middle, hosts=hosts).write(tmp_path, middle, root)
    assert grades(await examine_files(cert, key)) == ["ok"] * 4
    # both in one file, as some authorities send it
    cert.write_bytes(cert.read_bytes() + key.read_bytes())
    assert grades(await examine_files(cert, None)) == ["ok"] * 4


@pytest.mark.parametrize(
    ("days", "begun", "grade", "found"),
    [
        (-1, 90, "problem", "has expired on 2026-05-31"),
        (13, 1, "warning", "expires in 13 days"),
        (15, 1, "ok", ""),
        (90, -2, "problem", "valid from 2026-06-03 on only"),
    ],
)
async def test_times(
    root: Identity, days: float, begun: float, grade: str, found: str, tmp_path: Path
) -> None:
    leaf = Identity.make("leaf", root, hosts=HOSTS, days=days, begun=begun)
    worst = worst_of(await examine_files(*leaf.write(tmp_path, root)))
    assert worst.grade.value == grade
    assert grade == "ok" or found in worst.found


@pytest.mark.parametrize("hosts", [[], ["other.test"], ["*.meet.test"], ["*.other.test"]])
async def test_another_name(root: Identity, hosts: list[str], tmp_path: Path) -> None:
    worst = worst_of(
        await examine_files(*Identity.make("meet.test", root, hosts=hosts).write(tmp_path, root))
    )
    assert worst.grade is Grade.PROBLEM
    assert "does not name meet.test, but " + (hosts[0] if hosts else "nothing") in worst.found


async def test_an_address_is_a_name_too(root: Identity, tmp_path: Path) -> None:
    leaf = Identity.make("leaf", root, hosts=["192.0.2.1"])
    files = leaf.write(tmp_path, root)
    found = await examine_files(*files, **{"http.public_domain": "192.0.2.1:1"})
    assert set(grades(found)) == {"ok"}


async def test_another_key(root: Identity, tmp_path: Path) -> None:
    cert, key = Identity.make("leaf", root, hosts=HOSTS).write(tmp_path, root)
    key.write_bytes(root.key_pem)
    worst = worst_of(await examine_files(cert, key))
    assert "is not the key" in worst.found


async def test_a_chain_in_wrong_order(root: Identity, middle: Identity, tmp_path: Path) -> None:
    files = Identity.make("leaf", middle, hosts=HOSTS).write(tmp_path, root, middle)
    worst = worst_of(await examine_files(*files))
    assert worst.grade is Grade.PROBLEM
    assert "'Root' did not issue 'leaf'" in worst.found


async def test_a_missing_intermediate(middle: Identity, tmp_path: Path) -> None:
    files = Identity.make("leaf", middle, hosts=HOSTS).write(tmp_path)
    worst = worst_of(await examine_files(*files))
    assert worst.grade is Grade.WARNING
    assert "ends at 'leaf'" in worst.found


async def test_a_root_that_the_machine_knows(
    root: Identity, middle: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store.pem"
    store.write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    files = Identity.make("leaf", middle, hosts=HOSTS).write(tmp_path, middle)
    assert set(grades(await examine_files(*files))) == {"ok"}


async def test_a_self_signed_one(tmp_path: Path) -> None:
    worst = worst_of(await examine_files(*Identity.make("own", hosts=HOSTS).write(tmp_path)))
    assert worst.grade is Grade.WARNING
    assert "self-signed" in worst.found


async def test_files_that_cannot_be_used(root: Identity, tmp_path: Path) -> None:
    cert, key = Identity.make("leaf", root, hosts=HOSTS).write(tmp_path, root)
    gone, text = tmp_path / "gone", tmp_path / "text"
    text.write_text("no PEM")
    for files, found in (
        ((gone, key), f"SSL_CERT {gone} cannot be used: No such file"),
        ((text, key), f"SSL_CERT {text} cannot be used: no PEM"),
        ((cert, gone), f"SSL_KEY {gone} cannot be used: No such file"),
        ((cert, text), f"SSL_KEY {text} cannot be used: no PEM"),
    ):
        worst = worst_of(await examine_files(*files))
        assert worst.grade is Grade.PROBLEM
        assert found in worst.found


async def test_an_encrypted_key(root: Identity, tmp_path: Path) -> None:
    leaf = Identity.make("leaf", root, hosts=HOSTS)
    cert, key = leaf.write(tmp_path, root)
    locked = BestAvailableEncryption(b"x")
    key.write_bytes(leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    assert "is encrypted" in worst_of(await examine_files(cert, key)).found


async def test_force_wss_beside_a_certificate_is_noted(root: Identity, tmp_path: Path) -> None:
    files = Identity.make("leaf", root, hosts=HOSTS).write(tmp_path, root)
    found = await examine_files(*files, **{"http.force_wss": True})
    assert grades(found)[-1] == "note"


# The public domain


@contextlib.asynccontextmanager
async def listen(cert: tuple[Path, Path] | None) -> AsyncIterator[int]:
    """A proxy: with TLS, or with plain HTTP."""

    async def handle(stream: trio.SocketStream) -> None:
        carrier: trio.abc.Stream = stream
        if cert is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*cert)
            carrier = trio.SSLStream(stream, context, server_side=True)
        with contextlib.suppress(trio.BrokenResourceError, ssl.SSLError):
            await carrier.receive_some(100)
            await carrier.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def examine_public(port: int, *, force_wss: bool = True) -> list[Finding]:
    domain = {"http.public_domain": f"localhost:{port}", "http.force_wss": force_wss}
    seen = inspect(settings_of(domain), real_machine())
    with trio.fail_after(20):
        return list(await check_public_tls(seen))


def real_leaf(issuer: Identity, days: float = 90, host: str = "localhost") -> Identity:
    now = datetime.datetime.now(datetime.UTC)
    return Identity.make("leaf", issuer, hosts=[host], days=days, begun=100, now=now)


@pytest.fixture
def known_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Identity:
    now = datetime.datetime.now(datetime.UTC)
    root = Identity.make("Root", authority=True, now=now, begun=200)
    store = tmp_path / "store.pem"
    store.write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    return root


async def test_a_sound_proxy(known_root: Identity, tmp_path: Path) -> None:
    async with listen(real_leaf(known_root).write(tmp_path)) as port:
        assert grades(await examine_public(port)) == ["ok"] * 3


async def test_a_proxy_without_force_wss(known_root: Identity, tmp_path: Path) -> None:
    async with listen(real_leaf(known_root).write(tmp_path)) as port:
        worst = worst_of(await examine_public(port, force_wss=False))
    assert worst.grade is Grade.PROBLEM
    assert "FORCE_WSS=1" in worst.do


async def test_a_proxy_with_an_expired_certificate(known_root: Identity, tmp_path: Path) -> None:
    async with listen(real_leaf(known_root, days=-2).write(tmp_path)) as port:
        assert "has expired" in worst_of(await examine_public(port)).found


async def test_a_proxy_with_another_name(known_root: Identity, tmp_path: Path) -> None:
    async with listen(real_leaf(known_root, host="other.test").write(tmp_path)) as port:
        assert "does not name localhost" in worst_of(await examine_public(port)).found


async def test_a_proxy_that_leaves_the_intermediate_out(
    known_root: Identity, tmp_path: Path
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    middle = Identity.make("Middle", known_root, authority=True, now=now, begun=150)
    async with listen(real_leaf(middle).write(tmp_path)) as port:
        worst = worst_of(await examine_public(port))
    assert worst.grade is Grade.WARNING
    assert "unable to get local issuer" in worst.found
    assert "openssl s_client" in worst.do


@pytest.mark.parametrize(("force_wss", "grade"), [(True, "problem"), (False, "warning")])
async def test_a_proxy_without_tls(force_wss: bool, grade: str) -> None:
    async with listen(None) as port:
        worst = worst_of(await examine_public(port, force_wss=force_wss))
    assert worst.grade.value == grade
    assert "TLS" in worst.found
