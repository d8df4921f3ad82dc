"""The DTLS bridge: handshakes with OpenSSL's client, and a cancellation at any moment of one."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from aiortc.rtcdtlstransport import X509_DIGEST_ALGORITHMS
from OpenSSL import SSL

from meet_trio.bench.dtls import SRTP_PROFILES, DtlsEndpoint, Identity, SrtpProfile
from meet_trio.media.association import CIPHER_SUITES
from meet_trio.media.dtls import FINGERPRINT_ALGORITHMS, DtlsBridge, DtlsSession, open_bridge
from meet_trio.media.handshake import DtlsError, SrtpKeys
from meet_trio.ortc import DtlsFingerprint


@pytest.fixture
async def bridge() -> AsyncIterator[DtlsBridge]:
    async with open_bridge() as bridge:
        await bridge.load()
        yield bridge


class Client:
    """OpenSSL's end; its datagrams go straight into a session, and the session's go straight into
    it.
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
        self.session: DtlsSession = bridge.open_session(self.inbox.append)
        self.fingerprints = [DtlsFingerprint("sha-256", self.identity.fingerprint)]

    def send_hello(self) -> None:
        self.endpoint.start()
        self.send()

    def send(self) -> None:
        for datagram in self.endpoint.outgoing():
            self.session.feed(datagram)

    async def shake_hands(self) -> None:
        self.send_hello()
        while self.endpoint.keys is None:
            self.receive()
            self.send()
            await trio.sleep(0.001)

    def receive(self) -> None:
        while self.inbox:
            self.endpoint.receive(self.inbox.pop(0))

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[trio.Nursery]:
        """Both ends are. The session runs in the nursery."""
        keys: list[SrtpKeys] = []
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.session.run, self.fingerprints, keys.append)
                await self.shake_hands()
                while not keys:
                    await trio.sleep(0.001)
                await trio.testing.wait_all_tasks_blocked()
                yield nursery


@pytest.mark.parametrize("profile", SRTP_PROFILES, ids=lambda p: p.name.decode())
async def test_both_ends_have_the_same_keys(bridge: DtlsBridge, profile: SrtpProfile) -> None:
    client = Client(bridge, (profile,))
    keys: list[SrtpKeys] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.session.run, client.fingerprints, keys.append)
            await client.shake_hands()
            while not keys:
                await trio.sleep(0.001)
            assert client.endpoint.keys is not None
            assert (keys[0].tx, keys[0].rx) == (client.endpoint.keys.rx, client.endpoint.keys.tx)
            assert client.endpoint.peer_fingerprint in {f.value for f in bridge.fingerprints}
            client.endpoint.close()
            client.send()  # its goodbye ends the session


async def test_no_session_is_resumed(bridge: DtlsBridge) -> None:
    """All associations share a TLS context, but each shows its certificate again."""
    first = Client(bridge)
    second = Client(bridge, identity=first.identity)
    keys: list[SrtpKeys] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.session.run, first.fingerprints, keys.append)
            await first.shake_hands()
            session = first.endpoint._ssl.get_session()
            assert session is not None
            second.endpoint._ssl.set_session(session)
            nursery.start_soon(second.session.run, second.fingerprints, keys.append)
            await second.shake_hands()
            while len(keys) < 2:
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    assert first.endpoint._ssl.master_key() != second.endpoint._ssl.master_key()


# What stays after the handshake


def client_with(bridge: DtlsBridge, suite: str) -> Client:
    identity = Identity.generate()
    identity.context.set_cipher_list(suite.encode())
    return Client(bridge, identity=identity)


@pytest.mark.parametrize("suite", CIPHER_SUITES)
async def test_only_an_authentic_goodbye_ends_a_session(bridge: DtlsBridge, suite: str) -> None:
    client = client_with(bridge, suite)
    async with client.connected() as nursery:
        assert client.endpoint._ssl.get_cipher_name() == suite
        client.endpoint.close()
        (goodbye,) = client.endpoint.outgoing()
        for at in range(len(goodbye)):
            client.session.feed(goodbye[:at] + bytes((goodbye[at] ^ 1,)) + goodbye[at + 1 :])
            client.session.feed(goodbye[:at])
        forged = goodbye[:-1] + bytes((goodbye[-1] ^ 1,))
        client.session.feed(forged + goodbye)  # what follows a forged record is not looked at
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        client.session.feed(goodbye)
    assert not client.inbox  # such an end is not answered


@pytest.mark.parametrize("suite", CIPHER_SUITES)
async def test_the_client_is_told_of_the_end(bridge: DtlsBridge, suite: str) -> None:
    client = client_with(bridge, suite)
    async with client.connected() as nursery:
        assert not client.inbox
        assert not client.endpoint.closed_by_peer
        nursery.cancel_scope.cancel()
    client.receive()
    assert client.endpoint.closed_by_peer


async def test_a_lost_last_flight_is_sent_again(bridge: DtlsBridge) -> None:
    """A bounded number of times, since the client's Finished could be replayed."""
    client = Client(bridge)
    keys: list[SrtpKeys] = []
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.session.run, client.fingerprints, keys.append)
            client.send_hello()
            while not keys:
                await trio.testing.wait_all_tasks_blocked(0.001)
                if not keys:
                    client.receive()
                    flight = client.endpoint.outgoing()
                    for datagram in flight:
                        client.session.feed(datagram)
            await trio.testing.wait_all_tasks_blocked()
            assert client.inbox
            client.inbox.clear()  # lost
            assert client.endpoint.keys is None
            for _ in range(20):
                for datagram in flight:
                    client.session.feed(datagram)
            assert 0 < len(client.inbox) <= 10
            client.receive()
            assert client.endpoint.keys is not None
            nursery.cancel_scope.cancel()


async def test_openssl_keeps_nothing_of_a_session(bridge: DtlsBridge) -> None:
    gc.collect()
    before = bridge.task_count()
    client = Client(bridge)
    async with client.connected() as nursery:
        left = [each for each in gc.get_objects() if isinstance(each, SSL.Connection)]
        assert [each for each in left if each is not client.endpoint._ssl] == []
        assert bridge.task_count() == before
        nursery.cancel_scope.cancel()


async def test_another_certificate_than_announced_is_refused(bridge: DtlsBridge) -> None:
    client = Client(bridge)
    stranger = [DtlsFingerprint("sha-256", Identity.generate().fingerprint)]
    keys: list[SrtpKeys] = []
    with trio.fail_after(5), pytest.RaisesGroup(DtlsError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.session.run, stranger, keys.append)
            await client.shake_hands()
    assert keys == []


async def test_garbage_does_not_end_a_handshake(bridge: DtlsBridge) -> None:
    client = Client(bridge)
    keys: list[SrtpKeys] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.session.run, client.fingerprints, keys.append)
            client.session.feed(b"\x16\xfe\xfd" + bytes(30))
            await client.shake_hands()
            while not keys:
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("ticks", range(16))
async def test_cancel_right_after_a_datagram_is_not_lost(bridge: DtlsBridge, ticks: int) -> None:
    """``asyncio.wait_for`` swallows a cancellation that arrives together with its result."""
    client = Client(bridge)
    before = bridge.task_count()
    stuck = False

    async def watch() -> None:
        nonlocal stuck
        await trio.sleep(2)
        stuck = True
        for task in asyncio.all_tasks(bridge._loop):
            task.cancel()  # a second time, so that this test can end

    async with trio.open_nursery() as watchers:
        watchers.start_soon(watch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.session.run, client.fingerprints, lambda keys: None)
            client.send_hello()
            await trio.testing.wait_all_tasks_blocked(0.05)
            for datagram in client.inbox:
                client.endpoint.receive(datagram)
            # From its first flight on the server waits with a timeout.
            client.send()
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        watchers.cancel_scope.cancel()
    assert not stuck
    await trio.testing.wait_all_tasks_blocked()
    assert bridge.task_count() == before


def test_the_algorithms_are_those_of_aiortc() -> None:
    assert frozenset(X509_DIGEST_ALGORITHMS) == FINGERPRINT_ALGORITHMS
