"""The DTLS bridge: handshakes with OpenSSL's client, lost flights, and the end at any moment."""

import asyncio
import datetime
import gc
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing
from aiortc.rtcdtlstransport import X509_DIGEST_ALGORITHMS
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, X509
from support.steps import Steps
from trio.testing import MockClock

from meet_trio.bench.dtls import SRTP_PROFILES, DtlsEndpoint, Identity, SrtpProfile
from meet_trio.media.association import CIPHER_SUITES, RecordKey, Secrets
from meet_trio.media.dtls import FINGERPRINT_ALGORITHMS, DtlsBridge, open_bridge
from meet_trio.media.dtls_server import _PROFILES, DtlsHandshake
from meet_trio.media.handshake import DtlsError, SrtpKeys
from meet_trio.ortc import DtlsFingerprint


@pytest.fixture
async def bridge() -> AsyncIterator[DtlsBridge]:
    async with open_bridge() as bridge:
        await bridge.load()
        yield bridge


class Client:
    """OpenSSL's end, and the owner of the server's. Its datagrams go straight into a session, and
    the session's wait in ``inbox``.
    """

    def __init__(
        self,
        bridge: DtlsBridge,
        profiles: tuple[SrtpProfile, ...] = SRTP_PROFILES,
        identity: Identity | None = None,
    ) -> None:
        self.identity = identity or Identity.generate(profiles)
        self.endpoint = DtlsEndpoint(self.identity)
        self.inbox: list[bytes] = []
        self.keys: SrtpKeys | None = None
        self.ends: list[Exception | None] = []
        self.refuse_keys = False
        self.fingerprints = [DtlsFingerprint("sha-256", self.identity.fingerprint)]
        self.session = bridge.open_session(self)

    def send_dtls(self, datagram: bytes) -> None:
        self.inbox.append(datagram)

    def dtls_connected(self, keys: SrtpKeys) -> None:
        if self.refuse_keys:
            raise ZeroDivisionError
        self.keys = keys

    def dtls_ended(self, error: Exception | None) -> None:
        self.ends.append(error)

    def send_hello(self) -> None:
        self.endpoint.start()
        self.send()

    def send(self) -> None:
        for datagram in self.endpoint.outgoing():
            self.session.feed(datagram)

    def shake_hands(self) -> None:
        """Until nothing more is said."""
        self.session.start(self.fingerprints)
        self.send_hello()
        while self.inbox:
            self.receive()
            self.send()

    def receive(self) -> None:
        while self.inbox:
            self.endpoint.receive(self.inbox.pop(0))


def certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    names = [
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)]) for n in (subject, issuer)
    ]
    now = datetime.datetime.now(tz=datetime.UTC)
    return (
        x509.CertificateBuilder(*reversed(names))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(signer, hashes.SHA256())
    )


def connected(client: Client) -> Client:
    client.shake_hands()
    assert client.keys is not None
    assert not client.ends
    return client


@pytest.mark.parametrize("profile", SRTP_PROFILES, ids=lambda p: p.name.decode())
async def test_both_ends_have_the_same_keys(bridge: DtlsBridge, profile: SrtpProfile) -> None:
    client = connected(Client(bridge, (profile,)))
    assert client.keys is not None
    assert client.endpoint.keys is not None
    assert (client.keys.tx, client.keys.rx) == (client.endpoint.keys.rx, client.endpoint.keys.tx)
    assert client.endpoint.peer_fingerprint in {f.value for f in bridge.fingerprints}
    client.endpoint.close()
    client.send()
    assert client.ends == [None]


async def test_a_loaded_bridge_is_not_waited_for(bridge: DtlsBridge) -> None:
    with pytest.raises(StopIteration):
        bridge.loaded().send(None)


async def test_no_session_is_resumed(bridge: DtlsBridge) -> None:
    """All associations share a TLS context, but each shows its certificate again."""
    first = connected(Client(bridge))
    second = Client(bridge, identity=first.identity)
    session = first.endpoint._ssl.get_session()
    assert session is not None
    second.endpoint._ssl.set_session(session)
    connected(second)
    assert first.endpoint._ssl.master_key() != second.endpoint._ssl.master_key()


# What stays after the handshake


def client_with(bridge: DtlsBridge, suite: str) -> Client:
    identity = Identity.generate()
    identity.context.set_cipher_list(suite.encode())
    return Client(bridge, identity=identity)


@pytest.mark.parametrize("suite", CIPHER_SUITES)
async def test_only_an_authentic_goodbye_ends_a_session(bridge: DtlsBridge, suite: str) -> None:
    client = connected(client_with(bridge, suite))
    assert client.endpoint._ssl.get_cipher_name() == suite
    client.endpoint.close()
    (goodbye,) = client.endpoint.outgoing()
    for at in range(len(goodbye)):
        client.session.feed(goodbye[:at] + bytes((goodbye[at] ^ 1,)) + goodbye[at + 1 :])
        client.session.feed(goodbye[:at])
    forged = goodbye[:-1] + bytes((goodbye[-1] ^ 1,))
    client.session.feed(forged + goodbye)  # what follows a forged record is not looked at
    assert not client.ends
    client.session.feed(goodbye)
    assert client.ends == [None]
    client.session.feed(goodbye)
    client.session.close()
    assert client.ends == [None]
    assert not client.inbox  # such an end is not answered


@pytest.mark.parametrize("overtaking", [False, True])
async def test_a_goodbye_that_comes_with_the_handshakes_end_is_heard(
    bridge: DtlsBridge, overtaking: bool
) -> None:
    """OpenSSL takes it then, not the association."""
    client = client_with(bridge, "ECDHE-ECDSA-AES128-GCM-SHA256")
    client.session.start(client.fingerprints)
    client.send_hello()
    client.receive()
    (flight,) = client.endpoint.outgoing()
    ssl = client.endpoint._ssl
    master, random, servers = ssl.master_key(), ssl.client_random(), ssl.server_random()
    assert master is not None and random is not None and servers is not None  # noqa: PT018
    suite = ssl.get_cipher_name()
    assert suite is not None
    key = RecordKey.derive(Secrets(suite, master, random, servers))
    number = b"\0\1" + (1).to_bytes(6, "big")  # epoch 1, after Finished
    head = b"\x15\xfe\xfd"
    sealed = AESGCM(key.key).encrypt(key.iv + number, b"\1\0", number + head + b"\0\2")
    goodbye = head + number + (8 + len(sealed)).to_bytes(2, "big") + number + sealed
    for datagram in (goodbye, flight) if overtaking else (flight + goodbye,):
        assert not client.ends
        client.session.feed(datagram)
    assert client.keys is not None
    assert client.ends == [None]
    assert bridge.task_count() == 0


@pytest.mark.parametrize("suite", CIPHER_SUITES)
async def test_the_client_is_told_of_the_end(bridge: DtlsBridge, suite: str) -> None:
    client = connected(client_with(bridge, suite))
    assert not client.endpoint.closed_by_peer
    for _ in range(2):
        client.session.close()
    assert len(client.inbox) == 1
    client.receive()
    assert client.endpoint.closed_by_peer
    assert not client.ends  # the owner has ended it itself


async def test_a_lost_last_flight_is_sent_again(bridge: DtlsBridge) -> None:
    """A bounded number of times, since the client's Finished could be replayed."""
    client = Client(bridge)
    client.session.start(client.fingerprints)
    client.send_hello()
    while client.keys is None:
        client.receive()
        flight = client.endpoint.outgoing()
        for datagram in flight:
            client.session.feed(datagram)
    assert client.inbox
    client.inbox.clear()  # lost
    assert client.endpoint.keys is None
    for _ in range(20):
        for datagram in flight:
            client.session.feed(datagram)
    assert 0 < len(client.inbox) <= 10
    client.receive()
    assert client.endpoint.keys is not None


async def test_openssl_keeps_nothing_of_a_session(bridge: DtlsBridge) -> None:
    gc.collect()
    before = bridge.task_count()
    client = connected(Client(bridge))
    left = [each for each in gc.get_objects() if isinstance(each, SSL.Connection)]
    assert [each for each in left if each is not client.endpoint._ssl] == []
    assert bridge.task_count() == before
    association = client.session.association
    assert association is not None
    assert association._client is None  # derived when an alert comes


# A handshake that does not go well


async def test_another_certificate_than_announced_is_refused(bridge: DtlsBridge) -> None:
    client = Client(bridge)
    client.fingerprints = [DtlsFingerprint("sha-256", Identity.generate().fingerprint)]
    client.shake_hands()
    assert client.keys is None
    (end,) = client.ends
    assert isinstance(end, DtlsError)
    assert bridge.task_count() == 0


@pytest.mark.parametrize(
    ("mark", "bad"),
    [(b"\xa0\x03\x02\x01", b"\x07"), (b"\x17\x0d", b"9913")],
    ids=["version", "month"],
)
async def test_a_certificate_that_only_openssl_can_read_is_the_clients_fault(
    bridge: DtlsBridge, tmp_path: Path, mark: bytes, bad: bytes
) -> None:
    """No fault of this program, which the log would show with a traceback."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = certificate("0", "0", key, key).public_bytes(serialization.Encoding.DER)
    at = der.index(mark) + len(mark)
    forged = der[:at] + bad + der[at + len(bad) :]
    identity = Identity.generate()
    file = tmp_path / "certificate"
    file.write_bytes(forged)
    identity.context.use_certificate_file(file, FILETYPE_ASN1)
    identity.context.use_privatekey(key)
    client = Client(bridge, identity=identity)
    client.shake_hands()
    assert client.keys is None
    (end,) = client.ends
    assert isinstance(end, DtlsError)
    assert bridge.task_count() == 0


async def test_a_chain_of_certificates_is_not_verified(bridge: DtlsBridge) -> None:
    """Its length and its keys are the client's choice, and it is one step of the loop."""
    identity = Identity.generate()
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(21)]
    chain = [
        certificate(f"{at}", f"{at + 1}", key, signer)
        for at, (key, signer) in enumerate(pairwise(keys))
    ]
    identity.context.use_certificate(chain[0])
    identity.context.use_privatekey(keys[0])
    for above in chain[1:]:
        identity.context.add_extra_chain_cert(above)
    client = Client(bridge, identity=identity)
    fingerprint = chain[0].fingerprint(hashes.SHA256()).hex(":").upper()
    client.fingerprints = [DtlsFingerprint("sha-256", fingerprint)]
    looked_at: set[int] = set()

    def note(connection: SSL.Connection, cert: X509, error: int, depth: int, ok: int) -> bool:
        looked_at.add(depth)
        return True

    assert bridge._identity is not None
    context = bridge._identity._certificate._create_ssl_context(_PROFILES)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, note)
    client.shake_hands()
    assert client.keys is not None
    assert 0 in looked_at
    assert max(looked_at) <= 1


async def test_garbage_does_not_end_a_handshake(bridge: DtlsBridge) -> None:
    """Whenever it comes, and whatever header it has."""
    client = Client(bridge)
    client.session.start(client.fingerprints)
    client.send_hello()
    garbage = [b"\x16\xfe\xfd" + bytes(30), b"\x16", bytes(range(20, 64))]
    garbage += [
        bytes((kind, 0xFE, 0xFD, 0, 1)) + bytes(6) + bytes((0, size)) + bytes(size)
        for kind in (20, 21, 22, 23)
        for size in (0, 1, 30)
    ]
    while client.keys is None:
        for datagram in garbage:
            client.session.feed(datagram)
        client.receive()
        client.send()
        assert not client.ends


async def test_datagrams_before_the_start_are_kept_a_few_of_them(bridge: DtlsBridge) -> None:
    client = Client(bridge)
    client.send_hello()
    for _ in range(1000):
        client.session.feed(bytes(1200))
    assert client.session._early is not None
    assert len(client.session._early) <= 16
    assert not client.inbox
    client.session.start(client.fingerprints)
    while client.inbox:
        client.receive()
        client.send()
    assert client.keys is not None


async def test_a_fault_of_the_owner_ends_the_session(bridge: DtlsBridge) -> None:
    client = Client(bridge)
    client.refuse_keys = True
    client.shake_hands()
    (end,) = client.ends
    assert isinstance(end, ZeroDivisionError)
    assert client.endpoint.closed_by_peer  # the client is told
    assert bridge.task_count() == 0


# Time


async def test_lost_flights_are_repeated_when_openssl_says_so(
    bridge: DtlsBridge, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL's own clock is the machine's."""
    times = [1.0003, 3.0, 7.0, 15.5]
    repeats: list[float] = []
    began = trio.current_time()

    def timeout(self: DtlsHandshake) -> float | None:
        return max(0.0, times[0] - (trio.current_time() - began))

    def repeat(self: DtlsHandshake) -> None:
        times.pop(0)
        repeats.append(trio.current_time() - began)

    monkeypatch.setattr(DtlsHandshake, "timeout", timeout)
    monkeypatch.setattr(DtlsHandshake, "repeat", repeat)
    client = Client(bridge)
    client.session.start(client.fingerprints)
    client.send_hello()
    await trio.sleep(10)
    assert repeats == pytest.approx([1.0003, 3.0, 7.0], abs=0.01)
    client.session.close()
    await trio.sleep(100)
    assert len(repeats) == 3


async def test_a_flight_that_is_due_is_no_work_for_other_handshakes(
    bridge: DtlsBridge, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that falls silent in its handshake pays for its own repeats only."""
    count, seconds = 50, 10
    due: dict[DtlsHandshake, float] = {}
    asked = repeated = 0

    def timeout(self: DtlsHandshake) -> float | None:
        nonlocal asked
        asked += 1
        return max(0.0, due.setdefault(self, trio.current_time() + 1) - trio.current_time())

    def repeat(self: DtlsHandshake) -> None:
        nonlocal repeated
        repeated += 1
        due[self] += 1

    monkeypatch.setattr(DtlsHandshake, "timeout", timeout)
    monkeypatch.setattr(DtlsHandshake, "repeat", repeat)
    clients = [Client(bridge) for _ in range(count)]
    for at, client in enumerate(clients):
        client.session.start(client.fingerprints)
        client.send_hello()
        assert client.session._handshake is not None
        due[client.session._handshake] = trio.current_time() + 1 + at / count
    await trio.sleep(seconds + 0.5)
    assert repeated > count * (seconds - 2)
    assert asked < 4 * count * seconds
    for client in clients:
        client.session.close()


async def test_a_fault_of_repeating_ends_only_its_handshake(
    bridge: DtlsBridge,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Even if its owner does not stand to hear of it."""
    clients = [Client(bridge) for _ in range(3)]
    for client in clients:
        client.session.start(client.fingerprints)
        client.send_hello()
    faulty = clients[1].session._handshake
    asked: list[DtlsHandshake] = []

    def timeout(self: DtlsHandshake) -> float | None:
        asked.append(self)
        if self is faulty:
            raise ZeroDivisionError
        return None

    def fall_over(error: Exception | None) -> None:
        clients[1].ends.append(error)
        raise ValueError

    monkeypatch.setattr(DtlsHandshake, "timeout", timeout)
    monkeypatch.setattr(clients[1], "dtls_ended", fall_over)
    await trio.sleep(1.5)
    assert "Exception in callback" in caplog.text
    assert [len(client.ends) for client in clients] == [0, 1, 0]
    assert bridge.task_count() == 2
    asked.clear()
    await trio.sleep(5)
    assert {id(each) for each in asked} == {id(clients[n].session._handshake) for n in (0, 2)}
    for client in clients:
        client.session.close()


async def test_a_flight_that_is_lost_comes_again(bridge: DtlsBridge) -> None:
    """Within the second that OpenSSL waits."""
    client = Client(bridge)
    client.session.start(client.fingerprints)
    client.send_hello()
    lost = list(client.inbox)
    client.inbox.clear()
    with trio.fail_after(10):
        while not client.inbox:
            await trio.sleep(0.01)
    assert [len(each) for each in client.inbox] == [len(each) for each in lost]
    while client.inbox:
        client.receive()
        client.send()
    assert client.keys is not None


# The end


@pytest.mark.parametrize("datagrams", range(4))
async def test_a_session_is_closed_at_any_time_of_its_handshake(
    bridge: DtlsBridge, datagrams: int
) -> None:
    """Nothing is left, neither for the collector nor elsewhere, and nothing is heard any more."""
    gc.collect()
    gc.disable()
    try:
        client = Client(bridge)
        client.session.start(client.fingerprints)
        client.endpoint.start()
        for _ in range(datagrams):
            for datagram in client.endpoint.outgoing()[:1]:
                client.session.feed(datagram)
            client.receive()
        client.session.close()
        client.inbox.clear()
        client.send_hello()
        assert not client.inbox
        assert bridge.task_count() == 0
        left = [each for each in gc.get_objects() if isinstance(each, SSL.Connection)]
        assert [each for each in left if each is not client.endpoint._ssl] == []
    finally:
        gc.enable()


async def test_an_association_leaves_nothing_for_the_collector(bridge: DtlsBridge) -> None:
    identity = Identity.generate()
    connected(Client(bridge, identity=identity))
    gc.collect()
    gc.disable()
    try:
        client = connected(Client(bridge, identity=identity))
        assert gc.collect() == 0
        client.session.close()
        del client
        assert gc.collect() == 0
    finally:
        gc.enable()


async def test_a_handshake_takes_no_task_and_no_step(bridge: DtlsBridge) -> None:
    """The loop's only work is the timer, which is everybody's: a step or two in each second."""
    connected(Client(bridge))
    await trio.testing.wait_all_tasks_blocked()
    tasks = trio.lowlevel.current_statistics().tasks_living
    steps = Steps("trio_asyncio.")
    with steps.on():
        for _ in range(20):
            client = Client(bridge)
            client.session.start(client.fingerprints)
            client.send_hello()
            await trio.testing.wait_all_tasks_blocked()
            assert trio.lowlevel.current_statistics().tasks_living == tasks
            while client.inbox:
                client.receive()
                client.send()
            await trio.testing.wait_all_tasks_blocked()
            assert client.keys is not None
    assert steps.count < 10
    assert asyncio.all_tasks(bridge._loop) == set()


def test_the_algorithms_are_those_of_aiortc() -> None:
    assert frozenset(X509_DIGEST_ALGORITHMS) == FINGERPRINT_ALGORITHMS
