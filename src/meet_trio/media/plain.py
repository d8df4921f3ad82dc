"""Plain RTP transports: for programs like ffmpeg and GStreamer that have neither ICE nor DTLS.

A transport has two UDP sockets, one for RTP and one for RTCP. They are bound here and stay here.
The engine gets duplicates, which it closes with the transport, or when it dies. A producing
transport learns its client's addresses from the first packets ("comedia"), for RTP and RTCP
separately. A consuming transport gets them by ``connect``.

There is no authentication, so the addresses are restricted instead. A transport exchanges packets
only with the allowed networks and with the address that its peer's signaling comes from. The engine
checks that for each packet, and ``connect`` refuses other addresses. The address of signaling does
not count as the peer's own if it belongs to this machine or to a proxy: all clients behind a proxy
on this machine have it, and services on loopback trust packets from there. Media is not sent to
plain ports of this server: the server would receive it and forward it again, for ever.

A client may be silent as long as its peer lives: plain RTP has no consent that could expire.
"""

import contextlib
import contextvars
import errno
import ipaddress
import logging
import secrets
import socket
import uuid
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import attrs
import trio

from meet_trio.engine import Kept, PlainConnected
from meet_trio.errors import BadRequest, Forbidden, LimitExceeded
from meet_trio.kept_sockets import KeptSockets
from meet_trio.media.engines import EngineHost, TransportEvent
from meet_trio.media.records import PlainRecord
from meet_trio.media.settings import PlainSettings, TransportSettings
from meet_trio.media.transport import (
    TransportOwner,
    TransportState,
    WebRtcTransport,
    count_change,
)
from meet_trio.ortc.fields import Json
from meet_trio.tallies import Tally

logger = logging.getLogger("meet_trio.media.plain")

SocketPair: TypeAlias = tuple[socket.socket, socket.socket]

_BROADCAST = ipaddress.ip_address("255.255.255.255")


@attrs.define(eq=False)
class PlainPorts:
    """The ports of all plain transports. It knows which are taken and opens pairs of sockets.

    ``listen_ips``: where media is received. ``proxies``: networks of the proxies that clients come
    by, whose address is no client's own. ``sockets``: those that outlive the process.
    """

    settings: PlainSettings
    listen_ips: Sequence[str]
    proxies: Sequence[str] = ()
    sockets: KeptSockets = attrs.field(factory=KeptSockets)
    _taken: set[int] = attrs.field(factory=set)

    @contextlib.contextmanager
    def open_kept(self, name: str, record: PlainRecord) -> Iterator[SocketPair]:
        """The sockets of a transport of an earlier process, like ``open_pair``. Raises
        LimitExceeded if they are not there any more.
        """
        with contextlib.ExitStack() as stack:
            pair = [self.sockets.take(one) for one in _names(name)]
            for sock in pair:
                if sock is not None:
                    stack.enter_context(sock)
            rtp, rtcp = pair
            if rtp is None or rtcp is None:
                raise LimitExceeded("its sockets are missing")
            if (_port_of(rtp), _port_of(rtcp)) != (record.port, record.rtcp_port):
                raise LimitExceeded("its sockets are others")
            for port in (record.port, record.rtcp_port):
                self._taken.add(port)
                stack.callback(self._taken.discard, port)
            stack.callback(self._forget, name)
            yield rtp, rtcp

    @contextlib.contextmanager
    def open_new(self, name: str, ip: str) -> Iterator[SocketPair]:
        """A new pair, see ``open_pair``, which the next process is handed under this name."""
        with contextlib.ExitStack() as stack:
            pair = stack.enter_context(self.open_pair(ip))
            for one, sock in zip(_names(name), pair, strict=True):
                self.sockets.keep(one, sock.fileno())
            stack.callback(self._forget, name)
            yield pair

    def _forget(self, name: str) -> None:
        for one in _names(name):
            self.sockets.forget(one)

    @contextlib.contextmanager
    def open_pair(self, ip: str) -> Iterator[SocketPair]:
        """Two bound sockets: RTP on an even port and RTCP on the next one, if there is such a pair
        (RFC 3550 §11). After the ``with`` block the ports are free again, and the sockets are
        closed here.

        Raises LimitExceeded if no two ports are free.
        """
        with contextlib.ExitStack() as stack:
            yield self._even_pair(stack, ip) or self._any_pair(stack, ip)

    def _even_pair(
        self, stack: contextlib.ExitStack, ip: str
    ) -> tuple[socket.socket, socket.socket] | None:
        first, last = self.settings.ports
        evens = range(first + first % 2, last, 2)
        # a random start, so that late packets to a closed transport rarely reach the next one
        start = secrets.randbelow(len(evens)) if evens else 0
        for port in (*evens[start:], *evens[:start]):
            with contextlib.ExitStack() as attempt:
                rtp = self._bind(attempt, ip, port)
                rtcp = self._bind(attempt, ip, port + 1) if rtp is not None else None
                if rtp is not None and rtcp is not None:
                    stack.push(attempt.pop_all())
                    return rtp, rtcp
        return None

    def _any_pair(
        self, stack: contextlib.ExitStack, ip: str
    ) -> tuple[socket.socket, socket.socket]:
        first, last = self.settings.ports
        found: list[socket.socket] = []
        for port in range(first, last + 1):
            if (sock := self._bind(stack, ip, port)) is not None:
                found.append(sock)
            if len(found) == 2:
                return found[0], found[1]
        raise LimitExceeded(
            f"no two of the ports {first}-{last} for plain RTP are free (media.plain_ports)"
        )

    def _bind(self, stack: contextlib.ExitStack, ip: str, port: int) -> socket.socket | None:
        if port in self._taken:
            return None
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if ip == "::":  # both families, also if the system's default is IPv6 only
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((ip, port))
        except OSError as error:
            sock.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return None  # another program has it, or a transport that is just being closed
            raise
        stack.enter_context(sock)
        self._taken.add(port)
        stack.callback(self._taken.remove, port)
        return sock

    def is_own_port(self, ip: str, port: int, announced: Sequence[str]) -> bool:
        """Whether this server receives plain RTP at this address and port."""
        first, last = self.settings.ports
        return first <= port <= last and self._is_this_machine(ip, announced)

    def identifies_client(self, ip: str, announced: Sequence[str]) -> bool:
        """Whether this address stands for one client: it belongs neither to this machine nor to a
        proxy. (It is the proxy's if the proxy does not forward the client's address.)
        """
        address = ipaddress.ip_address(ip)
        proxied = any(address in ipaddress.ip_network(proxy) for proxy in self.proxies)
        return not proxied and not self._is_this_machine(ip, announced)

    def _is_this_machine(self, ip: str, announced: Sequence[str]) -> bool:
        """Whether packets from here to ``ip`` arrive at this machine, also through a NAT."""
        return ip in {*self.listen_ips, *announced} or _is_local(ip)


@attrs.define(eq=False)
class PlainTransport:
    """A client's plain RTP transport. ``number`` is its id in the engine, ``id`` on the wire.

    ``addresses`` are the announced ones, the preferred one first. ``client_ip`` is the address that
    the peer's signaling comes from; it is ignored if it is not an IP address. Raises Forbidden if
    plain transports are disabled, or if this one may not exchange packets with any address.
    """

    host: EngineHost
    ports: PlainPorts
    settings: TransportSettings
    addresses: Sequence[str]
    client_ip: str
    producing: bool
    consuming: bool
    tally: Tally = attrs.field(factory=Tally)
    id: str = attrs.field(factory=lambda: str(uuid.uuid4()))
    number: int = attrs.field()
    state: TransportState = TransportState.NEW
    connected_after: float | None = None
    """Seconds from its creation until the client's address was known."""
    moves: int = 0
    max_outgoing: int = 0
    """Bit/s, as the client has asked for; 0: no limit, or that of an earlier process."""
    _context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    _made_at: float = 0.0
    port: int = 0
    rtcp_port: int = 0
    _ip: str = attrs.field(init=False)
    _listen_ip: str = attrs.field(init=False)
    _allowed: tuple[str, ...] = attrs.field(init=False)
    _connected: bool = False
    _owner: TransportOwner | None = None  # None: not open
    _opened: contextlib.ExitStack = attrs.field(factory=contextlib.ExitStack)
    _remote: tuple[str, int, int] | None = None  # that the client has told
    _resumed: PlainRecord | None = None
    _kept: Kept | None = attrs.field(default=None, repr=False)
    _sockets: SocketPair | None = None  # None: not open

    @number.default
    def _(self) -> int:
        return self.host.new_number()

    def __attrs_post_init__(self) -> None:
        if self._resumed is not None:
            self._take_over(self._resumed)
            return
        if not self.ports.settings.enabled:
            raise Forbidden("plain transports are switched off (media.plain_transports)")
        client_ip = _parse_client_ip(self.client_ip)
        own = client_ip is not None and self.ports.identifies_client(client_ip, self.addresses)
        self._allowed = (*self.ports.settings.allowed, *((client_ip,) if own else ()))
        if not self._allowed:
            raise Forbidden(
                f"plain RTP could go nowhere: {client_ip or 'nothing'} is no address of this "
                "client alone, and no network is allowed (media.plain_allowed)"
            )
        self._ip, self._listen_ip = _choose_addresses(
            self.addresses, self.ports.listen_ips, client_ip
        )

    def _take_over(self, record: PlainRecord) -> None:
        self._allowed, self._ip, self._listen_ip = record.allowed, record.ip, record.listen_ip
        self._remote, self._connected = record.remote, record.remote is not None

    @classmethod
    def resumed(
        cls,
        record: PlainRecord,
        host: EngineHost,
        ports: PlainPorts,
        settings: TransportSettings,
        addresses: Sequence[str],
        tally: Tally,
        kept: Kept,
    ) -> "PlainTransport":
        """The transport of a record, not open yet. ``kept``: what its engine has left."""
        return cls(
            host=host,
            ports=ports,
            settings=settings,
            addresses=addresses,
            client_ip="",
            producing=record.producing,
            consuming=record.consuming,
            tally=tally,
            id=record.id,
            number=record.number,
            state=_state_of(record),
            connected_after=record.connected_after,
            moves=record.moves,
            resumed=record,
            kept=kept,
        )

    def record(self, room_id: str, peer_id: str) -> PlainRecord:
        """What a later process needs."""
        return PlainRecord(
            room_id,
            peer_id,
            self.id,
            self.number,
            self.host.index,
            self.producing,
            self.consuming,
            self.connected_after,
            self.moves,
            ip=self._ip,
            listen_ip=self._listen_ip,
            port=self.port,
            rtcp_port=self.rtcp_port,
            allowed=self._allowed,
            remote=self._remote,
        )

    def parameters(self) -> dict[str, Json]:
        """The answer to ``createPlainTransport``. The ports are set by ``open``."""
        return {"id": self.id, "ip": self._ip, "port": self.port, "rtcpPort": self.rtcp_port}

    def connect(self, ip: str, port: int, rtcp_port: int) -> None:
        """Set the client's address and ports. Raises BadRequest if media may not be sent there, and
        at the second call.
        """
        if self._connected:
            raise BadRequest("transportId: this transport has been connected before")
        ip = _unmapped(ip)
        self._check_may_send_to(ip, port, rtcp_port)
        self.host.engine.connect_plain_transport(self.number, ip, port, rtcp_port)
        self._connected, self._remote = True, (ip, port, rtcp_port)
        if self.state is TransportState.NEW:
            self._enter(TransportState.CONNECTING)
        self._tell_of_change()

    def _tell_of_change(self) -> None:
        if self._owner is not None:
            self._owner.transport_changed(self)

    def _check_may_send_to(self, ip: str, port: int, rtcp_port: int) -> None:
        address = ipaddress.ip_address(ip)
        if (":" in ip) != (":" in self._listen_ip) and self._listen_ip != "::":
            raise BadRequest(f"ip: this transport is on {self._ip}, which does not reach {ip}")
        if address.is_multicast or address.is_unspecified or address == _BROADCAST:
            raise BadRequest(f"ip: media is not sent to {ip}")
        if not any(address in ipaddress.ip_network(network) for network in self._allowed):
            raise BadRequest(
                f"ip: media is not sent to {ip}, only to where the request comes from and to "
                "networks that this server allows (media.plain_allowed)"
            )
        for name, number in (("port", port), ("rtcpPort", rtcp_port)):
            if self.ports.is_own_port(ip, number, self.addresses):
                raise BadRequest(f"{name}: {number} is a port of this server's own plain RTP")

    def open(self, owner: TransportOwner) -> None:
        """Open the ports, and add the transport to the engine. Raises LimitExceeded if no two ports
        are free. If this raises, nothing is left of it.
        """
        self._context, self._made_at = contextvars.copy_context(), trio.current_time()
        with contextlib.ExitStack() as undo:
            if self._resumed is None:
                sockets = self.ports.open_new(self.id, self._listen_ip)
            else:
                sockets = self.ports.open_kept(self.id, self._resumed)
            self._sockets = rtp, rtcp = undo.enter_context(sockets)
            self.port, self.rtcp_port = _port_of(rtp), _port_of(rtcp)
            self.host.admit(self, self._kept)
            undo.callback(self._remove)
            self.host.watch_transport(self.number, self)
            undo.callback(self.host.unwatch_transport, self.number)
            self._opened = undo.pop_all()
        self._resumed = self._kept = None
        self.tally.transports.move(None, ("plain", self.state))
        self._owner = owner
        logger.info(
            "plain transport made on ports %d, %d",
            self.port,
            self.rtcp_port,
            extra={"producing": self.producing, "consuming": self.consuming},
        )

    def enter_engine(self, kept: Kept | None) -> None:
        """See ``Resident``. One of which nothing was kept begins anew: it has no keys."""
        self._give_sockets()
        engine = self.host.engine
        try:
            engine.set_max_incoming_bitrate(self.number, self.settings.max_incoming_bitrate)
            if self._remote is not None:
                engine.connect_plain_transport(self.number, *self._remote)
            if kept is not None and (blob := kept.transports.get(self.number)) is not None:
                engine.resume_transport(self.number, blob, kept.exact)
            if self.max_outgoing:
                engine.set_max_outgoing_bitrate(self.number, self.max_outgoing)
        except BaseException:
            engine.remove_transport(self.number)
            raise

    def _give_sockets(self) -> None:
        """Add the transport with duplicates of its sockets, which are the engine's then."""
        assert self._sockets is not None
        with contextlib.ExitStack() as on_failure:
            duplicates = [on_failure.enter_context(sock.dup()) for sock in self._sockets]
            rtp, rtcp = (duplicate.fileno() for duplicate in duplicates)
            self.host.engine.add_plain_transport(
                self.number, rtp, rtcp, self._allowed, self.producing
            )
            for duplicate in duplicates:
                duplicate.detach()

    def _remove(self) -> None:
        if self.host.dismiss(self):
            self.host.engine.remove_transport(self.number)

    def lost(self) -> None:
        """See ``Resident``."""
        self.close()

    def limit_outgoing(self, bps: int) -> None:
        """The most that its consumers may send together, in bit/s; 0: no limit."""
        self.host.engine.set_max_outgoing_bitrate(self.number, bps)
        self.max_outgoing = bps

    def close(self) -> None:
        """Remove the transport from the engine, and tell its owner. Idempotent."""
        if self._owner is not None:
            owner, self._owner = self._owner, None
            self._context.run(self._end, owner)

    def _end(self, owner: TransportOwner) -> None:
        self._enter(TransportState.CLOSED)
        why = "closed"
        try:
            self._opened.close()
        except Exception:
            logger.exception("the transport failed")
            why = "failed"
        owner.transport_ended(self.id, why)

    def _enter(self, state: TransportState) -> None:
        count_change("plain", self.state, state, self.tally)
        self.state = state

    def handle_engine_event(self, event: TransportEvent) -> None:
        if isinstance(event, PlainConnected):
            self._enter(TransportState.CONNECTED)
            if self.connected_after is None:  # else another engine tells it again
                self.connected_after = trio.current_time() - self._made_at
            self._context.run(logger.info, "plain RTP goes to %s port %d", event.ip, event.port)
            self._tell_of_change()


Transport: TypeAlias = WebRtcTransport | PlainTransport


def _state_of(record: PlainRecord) -> TransportState:
    if record.connected_after is not None:
        return TransportState.CONNECTED
    return TransportState.NEW if record.remote is None else TransportState.CONNECTING


def _names(name: str) -> tuple[str, str]:
    """The names by which the sockets of a transport are kept."""
    return f"plain-{name}-rtp", f"plain-{name}-rtcp"


def _port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def _parse_client_ip(client_ip: str) -> str | None:
    try:
        return _unmapped(client_ip)
    except ValueError:  # a proxy may forward something else than an address
        return None


def _is_local(ip: str) -> bool:
    """Whether this machine has the address."""
    if ipaddress.ip_address(ip).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True


def _unmapped(ip: str) -> str:
    """The IPv4 address of an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2), else ``ip`` itself. The
    scope of a scoped address is removed.
    """
    address = ipaddress.ip_address(ip.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _choose_addresses(
    addresses: Sequence[str], listen_ips: Sequence[str], client_ip: str | None
) -> tuple[str, str]:
    """The announced address and the listening address of a transport: a pair of the client's
    address family, if there is one.
    """
    pairs = [
        (address, listen_ip)
        for address in addresses
        for listen_ip in listen_ips
        if _reaches(address, listen_ip)
    ]
    for address, listen_ip in pairs:
        if client_ip is not None and (":" in client_ip) == (":" in address):
            return address, listen_ip
    return pairs[0] if pairs else (addresses[0], listen_ips[0])


def _reaches(address: str, listen_ip: str) -> bool:
    """Whether packets to ``address`` can arrive at ``listen_ip``, as far as the address family
    tells. A host name that was not resolved may be of any family.
    """
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return True
    return listen_ip == "::" or version == ipaddress.ip_address(listen_ip).version
