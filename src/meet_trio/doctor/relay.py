"""A client of a TURN server (RFC 8656), as far as a check needs it: an allocation with long-term
credentials, a permission, and a STUN request through the relay.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from meet_trio.doctor import stun
from meet_trio.doctor.lines import Line, NoAnswer, open_tcp, open_udp
from meet_trio.doctor.stun import StunMessage

ANSWER_DEADLINE = 1.5  # seconds for one answer of the TURN server
PEER_DEADLINE = 1.5  # seconds for an answer through it
_CLOSE_DEADLINE = 0.4  # seconds
_UDP = bytes((17, 0, 0, 0))  # REQUESTED-TRANSPORT, RFC 8656 §18.6
_STALE_NONCE = 438


@attrs.frozen
class TurnUrl:
    """RFC 7065. ``transport`` is udp or tcp; ``secure``: ``turns``, which is TLS over TCP."""

    host: str
    port: int
    transport: str
    secure: bool

    @classmethod
    def parse(cls, url: str) -> "TurnUrl":
        """``url`` has been accepted by the setting."""
        scheme, _, rest = url.partition(":")
        where, _, query = rest.partition("?transport=")
        host, port = where, ""
        if where.startswith("["):
            host, _, after = where[1:].partition("]")
            port = after.removeprefix(":")
        elif ":" in where:
            host, _, port = where.partition(":")
        secure = scheme == "turns"
        transport = query or ("tcp" if secure else "udp")
        return cls(host, int(port or (5349 if secure else 3478)), transport, secure)


class TurnRefused(Exception):
    """The TURN server answered with an error."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code


@asynccontextmanager
async def open_line(url: TurnUrl, address: str) -> AsyncIterator[Line]:
    """A line to the TURN server. Raises OSError, ssl.SSLError."""
    if url.transport == "udp" and not url.secure:
        async with open_udp(address, url.port) as line:
            yield line
        return
    tls = await trio.to_thread.run_sync(ssl.create_default_context) if url.secure else None
    async with open_tcp(address, url.port, tls=tls, name=url.host) as line:
        yield line


@attrs.define(eq=False)
class Allocation:
    """A relayed address. The allocation ends with ``close``, or with its lifetime.
    ``is_for_all``: the server wanted no credentials.
    """

    line: Line
    username: str
    password: str = attrs.field(repr=False)
    relayed: tuple[str, int] = ("", 0)
    is_for_all: bool = False
    _realm: bytes = b""
    _nonce: bytes = b""

    async def allocate(self) -> None:
        """Raises TurnRefused, OSError."""
        wanted = ((stun.REQUESTED_TRANSPORT, _UDP),)
        # The first request has no credentials: its refusal brings realm and nonce.
        first = StunMessage(stun.ALLOCATE | stun.REQUEST, wanted)
        answer = await self.line.exchange(first, None, ANSWER_DEADLINE)
        if answer.kind == stun.ALLOCATE | stun.FAILURE and answer.error[0] == 401:
            self._remember(answer)
            answer = await self._request(stun.ALLOCATE, wanted)
        else:
            self.is_for_all = answer.kind == stun.ALLOCATE | stun.SUCCESS
        self._raise(answer)
        value = answer.get(stun.XOR_RELAYED_ADDRESS)
        if value is not None:
            try:
                self.relayed = stun.read_xor_address_untrusted(value, answer.transaction)
            except stun.StunError as error:
                raise OSError(str(error)) from None

    async def permit(self, address: str) -> None:
        """Let packets of ``address`` through. Raises TurnRefused, OSError."""
        message = StunMessage(stun.CREATE_PERMISSION | stun.REQUEST)
        peer = stun.xor_address(address, 0, message.transaction)
        self._raise(
            await self._request(
                stun.CREATE_PERMISSION, ((stun.XOR_PEER_ADDRESS, peer),), message.transaction
            )
        )

    async def ask_peer(self, address: str, port: int, request: bytes) -> None:
        """Send a STUN request through the relay until an answer comes back. Raises OSError."""
        wanted = stun.parse_untrusted(request).transaction
        with trio.move_on_after(PEER_DEADLINE):
            while True:
                sent = StunMessage(stun.SEND | stun.INDICATION)
                peer = stun.xor_address(address, port, sent.transaction)
                attributes = ((stun.XOR_PEER_ADDRESS, peer), (stun.DATA, request))
                await self.line.send(stun.build(attrs.evolve(sent, attributes=attributes)))
                with trio.move_on_after(PEER_DEADLINE / 4):
                    await self.line.await_message(lambda m: _carries(m, wanted))
                    return
        raise NoAnswer("no answer through the relay")

    async def close(self) -> None:
        """End the allocation, if the server takes part in it."""
        with trio.move_on_after(_CLOSE_DEADLINE, shield=True):
            await self._request(stun.REFRESH, ((stun.LIFETIME, bytes(4)),))

    async def _request(
        self,
        method: int,
        attributes: tuple[tuple[int, bytes], ...],
        transaction: bytes | None = None,
    ) -> StunMessage:
        """An answer to a request with credentials. A nonce that has become stale is replaced."""
        realm = self._realm.decode(errors="replace")
        key = stun.long_term_key(self.username, realm, self.password)
        for last in (False, True):
            message = StunMessage(
                method | stun.REQUEST,
                (
                    *attributes,
                    (stun.USERNAME, self.username.encode()),
                    (stun.REALM, self._realm),
                    (stun.NONCE, self._nonce),
                ),
            )
            if transaction is not None:  # an address in the attributes is hidden by it
                message = attrs.evolve(message, transaction=transaction)
            answer = await self.line.exchange(message, key, ANSWER_DEADLINE)
            if last or answer.error[0] != _STALE_NONCE:
                return answer
            self._remember(answer)
        raise AssertionError

    def _remember(self, answer: StunMessage) -> None:
        self._realm = answer.get(stun.REALM) or self._realm
        self._nonce = answer.get(stun.NONCE) or self._nonce

    @staticmethod
    def _raise(answer: StunMessage) -> None:
        if answer.kind & 0x110 == stun.FAILURE:
            raise TurnRefused(*answer.error)


def _carries(message: StunMessage, transaction: bytes) -> bool:
    """Whether a message brings the answer of a transaction through the relay."""
    data = message.get(stun.DATA)
    if message.kind != stun.FROM_PEER | stun.INDICATION or data is None:
        return False
    try:
        return stun.parse_untrusted(data).transaction == transaction
    except stun.StunError:
        return False
