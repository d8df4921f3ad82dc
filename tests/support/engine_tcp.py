"""A blocking client of a real engine on a real socket, UDP or TCP (RFC 4571). It is slow on
purpose.

with EngineSocket.tcp(engine, 7) as client:
    client.check()
    client.send(b"\\x16hello")
    assert client.receive() == …
"""

import secrets
import select
import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs
import pylibsrtp
from pylibsrtp import Policy
from support.engine_world import PROFILES
from support.wire.demux import DatagramKind, classify
from support.wire.rtcp import RtcpPacket, build_rtcp
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted
from support.wire.stun import (
    BINDING_SUCCESS,
    binding_request,
    build_stun,
    parse_stun_untrusted,
)

from meet_trio.engine import Engine, EngineEvent, StatsReady

T = TypeVar("T", bound=EngineEvent)

WITHIN = 5.0
"""Seconds that a step may take on a busy machine before it counts as failed."""


def frame(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def wait_until(condition: Callable[[], bool], within: float = WITHIN) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@attrs.define(eq=False)
class EngineEvents:
    """Events of an engine, in order."""

    engine: Engine
    waiting: list[EngineEvent] = attrs.field(factory=list)

    def next(self, kind: type[T]) -> T:
        """The next event of ``kind``; events before it are dropped."""
        deadline = time.monotonic() + WITHIN
        while (left := deadline - time.monotonic()) > 0:
            while self.waiting:
                event = self.waiting.pop(0)
                if isinstance(event, kind):
                    return event
            select.select([self.engine.event_fd], [], [], left)
            self.waiting += self.engine.read_events()
        raise AssertionError(f"no {kind.__name__}")

    def figures(self) -> dict[str, Any]:
        """The engine's statistics."""
        self.engine.request_stats(1)
        return dict(self.next(StatsReady).stats)

    def counter(self, name: str) -> int:
        return int(self.figures()["engine"][name])


@attrs.define(eq=False)
class EngineSocket:
    """The far side of transport ``number``."""

    engine: Engine
    number: int
    sock: socket.socket
    _stream: bytearray = attrs.field(factory=bytearray)
    tx: pylibsrtp.Session | None = None
    rx: pylibsrtp.Session | None = None

    @classmethod
    def unconnected(cls, engine: Engine, number: int, ip: str = "127.0.0.1") -> Self:
        """A TCP socket that is not connected yet."""
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(WITHIN)
        return cls(engine, number, sock)

    @classmethod
    def tcp(cls, engine: Engine, number: int, ip: str = "127.0.0.1", buffer: int = 0) -> Self:
        """``buffer`` is the size of the kernel's receive buffer."""
        client = cls.unconnected(engine, number, ip)
        if buffer:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.sock.connect((ip, engine.port))
        return client

    @classmethod
    def udp(cls, engine: Engine, number: int, ip: str = "127.0.0.1") -> Self:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.settimeout(WITHIN)
        sock.connect((ip, engine.port))
        return cls(engine, number, sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    @property
    def address(self) -> tuple[str, int]:
        ip, port = self.sock.getsockname()[:2]
        return ip, port

    @property
    def ufrag(self) -> str:
        return f"ufrag{self.number}"

    @property
    def password(self) -> str:
        return f"password-of-{self.number}"

    def add(self) -> None:
        """Add its transport to the engine."""
        self.engine.add_transport(self.number, self.ufrag, self.password)

    def send(self, data: bytes) -> None:
        self.sock.sendall(frame(data) if self.sock.type == socket.SOCK_STREAM else data)

    def receive(self) -> bytes:
        """The next datagram. Raises EOFError when the engine has closed the connection."""
        if self.sock.type == socket.SOCK_DGRAM:
            return self.sock.recv(4096)
        while True:
            if len(self._stream) >= 2:
                end = 2 + int.from_bytes(self._stream[:2], "big")
                if len(self._stream) >= end:
                    data = bytes(self._stream[2:end])
                    del self._stream[:end]
                    return data
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self._stream += data

    def receive_of(self, kind: DatagramKind) -> bytes:
        """The next datagram of ``kind``; others are dropped."""
        while classify(data := self.receive()) is not kind:
            pass
        return data

    def request(self, *, nominate: bool = True, password: str | None = None) -> bytes:
        message = binding_request(
            remote_ufrag=self.ufrag, local_ufrag="theirs", tie_breaker=1, nominate=nominate
        )
        return build_stun(message, password or self.password)

    def check(self, *, nominate: bool = True) -> None:
        """Send one connectivity check and receive its answer."""
        request = self.request(nominate=nominate)
        self.send(request)
        answer = parse_stun_untrusted(self.receive_of(DatagramKind.STUN))
        assert answer.message_type == BINDING_SUCCESS
        assert answer.transaction_id == parse_stun_untrusted(request).transaction_id

    def is_closed(self) -> bool:
        """Whether the engine ends the connection in time; data before that is dropped."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True

    def set_keys(self, profile: int = 0x0007) -> None:
        """Set the SRTP keys as if DTLS were done."""
        name, length = PROFILES[profile]
        ours, theirs = secrets.token_bytes(length), secrets.token_bytes(length)
        self.engine.set_srtp(self.number, profile, theirs, ours)
        self.tx = pylibsrtp.Session(
            Policy(key=ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=name)
        )
        receive = Policy(key=theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=name)
        receive.window_size = 1024
        self.rx = pylibsrtp.Session(receive)

    def send_rtp(self, *packets: RtpPacket) -> None:
        assert self.tx is not None
        for packet in packets:
            self.send(self.tx.protect(build_rtp(packet)))

    def send_rtcp(self, *packets: RtcpPacket) -> None:
        assert self.tx is not None
        self.send(self.tx.protect_rtcp(build_rtcp(packets)))

    def receive_rtp(self) -> RtpPacket:
        assert self.rx is not None
        return parse_rtp_untrusted(self.rx.unprotect(self.receive_of(DatagramKind.RTP)))
