"""A meeting of participants who come back: what each of them sees of a server that is killed.

Their signaling reconnects as socket.io does, with a short pause. Each datagram that they receive
goes through one oracle for the indices of SRTP and SRTCP.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial

import attrs
import trio
from support.api import MeetApi
from support.indices import CM_PROFILE, Indices
from support.media_sink import ReceiveStream
from support.participant import Participant, open_participant
from support.peers import PARTICIPANT
from support.restarts import PATIENCE
from support.signaling import Signaling, SignalingClosed, open_signaling
from support.transport import ClientTransport
from support.wire.demux import DatagramKind, classify
from trio_websocket import ConnectionClosed, HandshakeError

from meet_trio.bench.dtls import Identity

_PAUSE = 0.05  # seconds between two attempts
_GCM_PROFILE = 0x0007


@attrs.define(eq=False)
class Guest:
    """``returns``: when the server said ``roomBack``, by ``time.monotonic``. ``heard``: the methods
    of the notices of all connections.
    """

    person: Participant
    url: str
    returns: list[float] = attrs.field(factory=list)
    _earlier: list[Signaling] = attrs.field(factory=list)

    @property
    def heard(self) -> list[str]:
        connections = [*self._earlier, self.person.signaling]
        return [notice.method for each in connections for notice in each.notices]

    @property
    def frames(self) -> dict[str, int]:
        """Whole frames so far, by consumer."""
        return {id: one.stream.frames for id, one in self.person.consumers.items()}

    async def keep_returning(self) -> None:
        while True:
            await self.person.signaling.closed.wait()
            try:
                await self._return()
            except* (OSError, HandshakeError, ConnectionClosed, SignalingClosed):
                pass  # as if the network were bad
            await trio.sleep(_PAUSE)

    async def _return(self) -> None:
        async with open_signaling(self.url) as signaling, trio.open_nursery() as nursery:
            self._earlier.append(self.person.signaling)
            self.person.use_signaling(signaling)
            nursery.start_soon(signaling.run)
            await signaling.wait_notice("roomBack")
            self.returns.append(time.monotonic())
            await signaling.closed.wait()


def is_wrong(stream: ReceiveStream) -> bool:
    """What was given up may still come."""
    return bool(stream.faults) or stream.duplicates > stream.lost


@attrs.define(eq=False)
class Gathering:
    guests: list[Guest] = attrs.field(factory=list)
    indices: Indices = attrs.field(factory=Indices)
    datagrams: int = 0
    """That the oracle has seen."""

    @property
    def people(self) -> list[Participant]:
        return [guest.person for guest in self.guests]

    def _check(self, transport: ClientTransport, datagram: bytes) -> bool:
        keys = transport.keys
        kind = classify(datagram)
        if keys is not None and kind in (DatagramKind.RTP, DatagramKind.RTCP):
            self.datagrams += 1
            if kind is DatagramKind.RTP:
                self.indices.rtp(transport.remote.id, datagram)
            else:
                counter = keys.profile.name == b"SRTP_AES128_CM_SHA1_80"
                profile = CM_PROFILE if counter else _GCM_PROFILE
                self.indices.rtcp(transport.remote.id, profile, datagram)
        return False

    async def wait_for_media(self, frames: int) -> None:
        """Each stream has so many frames more than now."""
        before = [guest.frames for guest in self.guests]
        with trio.fail_after(PATIENCE):
            while any(
                now < old[id] + frames
                for guest, old in zip(self.guests, before, strict=True)
                for id, now in guest.frames.items()
            ):
                await trio.sleep(0.02)

    async def wait_for_returns(self, count: int) -> None:
        """Each has come back so often."""
        with trio.fail_after(PATIENCE):
            while any(len(guest.returns) < count for guest in self.guests):
                await trio.sleep(0.02)

    def check(self) -> None:
        """Nobody has missed anything, and nobody was told that somebody has left."""
        others = len(self.guests) - 1
        for guest in self.guests:
            person = guest.person
            assert len(person.peers) == others
            assert len(person.consumers) == 2 * others
            assert not any(one.closed for one in person.consumers.values())
            assert {"peerClosed", "consumerClosed"}.isdisjoint(guest.heard)
            streams = [one.stream for one in person.consumers.values()]
            wrong = [(s.kind, s.duplicates, s.lost, s.faults) for s in streams if is_wrong(s)]
            assert wrong == []
            assert person.send is not None
            assert person.receive is not None
            # sound that was asked for twice comes twice
            assert person.receive.transport.undecryptable <= person.receive.nacks_sent
            assert person.send.transport.undecryptable == 0
            for session in (person.send, person.receive):
                assert not session.transport.closed_by_peer.is_set()

    @property
    def lost(self) -> int:
        """Packets that somebody has given up on."""
        return sum(one.stream.lost for person in self.people for one in person.consumers.values())

    async def attend(
        self,
        url: str,
        identity: Identity,
        interval: float,
        fps: float,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """One more guest, until cancelled."""
        async with open_participant(url, identity=identity) as person, trio.open_nursery() as tasks:
            await person.join(f"guest {len(self.guests)}")
            await person.create_transports()
            for session in (person.send, person.receive):
                assert session is not None
                session.transport.drop_incoming = partial(self._check, session.transport)
            await person.connect()
            await person.produce_audio(interval=interval)
            await person.produce_video(frame_sizes=(100, 300), fps=fps)
            guest = Guest(person, url)
            self.guests.append(guest)
            task_status.started()
            tasks.start_soon(guest.keep_returning)
            await trio.sleep_forever()


@contextlib.asynccontextmanager
async def open_gathering(
    api: MeetApi, room_id: str, people: int, *, interval: float = 0.2, fps: float = 5
) -> AsyncIterator[Gathering]:
    """Each of them with a microphone, a packet every ``interval`` seconds, and a camera in two
    encodings, a packet for each frame. All streams have arrived at all others.
    """
    identity = Identity.generate()
    found = Gathering()
    async with trio.open_nursery() as nursery:
        for _ in range(people):
            url = await api.create_peer(room_id, PARTICIPANT)
            await nursery.start(found.attend, url, identity, interval, fps)
        for person in found.people:
            for kind in ("audio", "video"):
                await person.wait_consumers(kind, people - 1)
        await found.wait_for_media(2)
        yield found
        nursery.cancel_scope.cancel()
