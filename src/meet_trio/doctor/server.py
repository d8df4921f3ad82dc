"""The server's ports while the doctor runs: the running server itself, or stand-ins.

If the server runs, its API is asked for a trial of media: ICE credentials at each engine, which let
its ports answer STUN. If it does not run, the doctor binds the server's ports. On those of media it
answers STUN, and on that of HTTP it answers one path with a nonce. So both cases are seen from
outside in the same way. The ports are free again when the doctor ends.
"""

import base64
import errno
import hashlib
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import attrs
import httpx
import trio

from meet_trio.config import Settings
from meet_trio.doctor import stun
from meet_trio.doctor.inspection import (
    TCP,
    UDP,
    Inspection,
    MediaTrial,
    ServerPort,
    ServerState,
)
from meet_trio.doctor.lines import family_of
from meet_trio.doctor.machine import Holder, Machine

ASK_DEADLINE = 2.0  # seconds for the server's answers on this machine
_MOST_HEAD = 16384  # bytes of a request to the HTTP stand-in
_MOST_CONNECTIONS = 32  # of each stand-in at once; others wait in the kernel
_TLS_HANDSHAKE = b"\x16"  # RFC 8446 §5.1
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


@asynccontextmanager
async def open_inspection(
    settings: Settings, machine: Machine, config_path: Path | None = None
) -> AsyncIterator[Inspection]:
    """Find the server, or put stand-ins in its place within the ``async with`` block."""
    state, health = await _find_server(settings, machine)
    seen = Inspection(
        settings=settings,
        machine=machine,
        config_path=config_path,
        server=state,
        health=health,
        nonce=secrets.token_hex(16),
    )
    async with AsyncExitStack() as stack:
        wanted = await _wanted_ports(settings, machine)
        ports = [_bind(stack, port) for port in wanted]
        seen = attrs.evolve(seen, ports=ports)
        if state is ServerState.RUNNING:
            yield await _with_trials(seen)
            return
        seen = attrs.evolve(seen, trials=_stand_in_trials(ports))
        async with trio.open_nursery() as nursery:
            for port in _listening(ports):
                nursery.start_soon(_stand_in, port, seen)
            yield seen
            nursery.cancel_scope.cancel()


# The running server


def local_url(settings: Settings) -> str:
    listener = settings.listener
    return listener.page_url(listener.port).rstrip("/")


def open_client(timeout: float, tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """Without ``tls`` a client that trusts every certificate: the checks of TLS judge those. It is
    for requests without a secret, or to this machine.
    """
    if tls is None:
        # Loading the machine's authorities takes longer than all that the client does.
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return httpx.AsyncClient(timeout=timeout, verify=tls, trust_env=False)


async def _find_server(
    settings: Settings, machine: Machine
) -> tuple[ServerState, Mapping[str, object]]:
    if settings.listener.port == 0:
        return ServerState.STOPPED, {}
    base = local_url(settings)
    api = f"{base}{settings.api.path_prefix}/api"
    async with open_client(ASK_DEADLINE) as client:
        headers = {"X-Auth-Token": settings.api.auth_token}
        try:
            with trio.fail_after(ASK_DEADLINE):
                pong = await client.get(f"{api}/ping", headers=headers)
                if pong.status_code == 200 and pong.text == "PONG":
                    health = await client.get(f"{api}/health", headers=headers)
                    return ServerState.RUNNING, _object(health)
                public = await client.get(f"{base}/ping")
        except (httpx.ConnectError, httpx.UnsupportedProtocol):
            taken = await trio.to_thread.run_sync(_listens, settings)
            return (ServerState.FOREIGN if taken else ServerState.STOPPED), {}
        except (httpx.HTTPError, trio.TooSlowError):
            return ServerState.FOREIGN, {}
    is_ours = public.status_code == 200 and public.text == "PONG"
    return (ServerState.OTHER_TOKEN if is_ours else ServerState.FOREIGN), {}


def _listens(settings: Settings) -> bool:
    """Whether a program that speaks something else has the port."""
    host = settings.listener.host.replace("0.0.0.0", "127.0.0.1")
    with suppress(OSError):
        socket.create_connection(
            ("::1" if host == "::" else host, settings.listener.port), 1
        ).close()
        return True
    return False


def _object(answer: httpx.Response) -> Mapping[str, object]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _with_trials(seen: Inspection) -> Inspection:
    url = f"{local_url(seen.settings)}{seen.settings.api.path_prefix}/api/trials"
    headers = {"X-Auth-Token": seen.settings.api.auth_token}
    try:
        async with open_client(ASK_DEADLINE) as client:
            answer = await client.post(url, headers=headers)
            answer.raise_for_status()
            trials = [
                MediaTrial(int(item["port"]), item["usernameFragment"], item["password"])
                for item in answer.json()
            ]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return attrs.evolve(seen, trials=None, trial_problem=str(error) or repr(error))
    return attrs.evolve(seen, trials=trials)


# Stand-ins


async def _wanted_ports(settings: Settings, machine: Machine) -> list[ServerPort]:
    """The ports that the server binds. One of 0 is any free one, and is left out."""
    found = []
    if settings.listener.port:
        for address in await _listen_addresses(settings.listener.host, machine):
            found.append(ServerPort("http.port", TCP, address, settings.listener.port))
    if settings.engine.port:
        protocols = (UDP, TCP) if settings.engine.max_tcp_connections else (UDP,)
        for index in range(settings.media.workers):
            for address in settings.engine.listen_ips:
                for protocol in protocols:
                    port = settings.engine.port + index
                    found.append(ServerPort("media.port", protocol, address, port))
    return found


async def _listen_addresses(host: str, machine: Machine) -> tuple[str, ...]:
    try:
        return await machine.look_up(host)
    except OSError:
        return ()  # the check of names says so


def _bind(stack: AsyncExitStack, wanted: ServerPort) -> ServerPort:
    if wanted.port > 65535:
        error = OSError(errno.EINVAL, f"there is no port {wanted.port}")
        return attrs.evolve(wanted, error=error)
    kind = socket.SOCK_DGRAM if wanted.protocol == UDP else socket.SOCK_STREAM
    made: socket.socket | None = None
    try:
        made = socket.socket(family_of(wanted.address), kind)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((wanted.address, wanted.port))
    except OSError as error:
        if made is not None:
            made.close()
        return attrs.evolve(wanted, error=error)
    stack.callback(made.close)
    return attrs.evolve(wanted, socket=made)


def _stand_in_trials(ports: list[ServerPort]) -> list[MediaTrial]:
    free = {p.port for p in ports if p.setting == "media.port" and p.socket is not None}
    username = secrets.token_hex(16)
    return [MediaTrial(port, username) for port in sorted(free)]


def _listening(ports: Sequence[ServerPort]) -> Iterator[ServerPort]:
    """Those that the doctor has. From now on connections to them wait to be accepted."""
    for port in ports:
        if port.socket is None:
            continue
        if port.protocol == TCP:
            try:
                port.socket.listen(_MOST_CONNECTIONS)
            except OSError:
                continue  # another program was faster; the check that asks this port says so
        yield port


async def _stand_in(port: ServerPort, seen: Inspection) -> None:
    assert port.socket is not None
    bound = trio.socket.from_stdlib_socket(port.socket)
    username = seen.trials[0].username if seen.trials else ""
    if port.protocol == UDP:
        await _answer_datagrams(bound, username)
    elif port.setting == "http.port":
        tls = await trio.to_thread.run_sync(_tls, seen.settings)
        answer = partial(_answer_http, tls=tls, nonce=seen.nonce)
        await _serve_bounded(trio.SocketListener(bound), answer)
    else:
        await _serve_bounded(
            trio.SocketListener(bound), partial(_answer_ice_tcp, username=username)
        )


async def _serve_bounded(
    listener: trio.SocketListener, answer: Callable[[trio.SocketStream], Awaitable[None]]
) -> None:
    """Accept until cancelled."""
    limit = trio.CapacityLimiter(_MOST_CONNECTIONS)

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            with trio.move_on_after(ASK_DEADLINE), suppress(OSError, trio.BrokenResourceError):
                await answer(stream)
        limit.release_on_behalf_of(stream)

    async with listener, trio.open_nursery() as nursery:
        while True:
            stream = await listener.accept()
            await limit.acquire_on_behalf_of(stream)
            nursery.start_soon(handle, stream)


async def _answer_datagrams(udp: trio.socket.SocketType, username: str) -> None:
    while True:
        try:
            data, (host, port, *_) = await udp.recvfrom(2048)
        except ConnectionError:
            continue  # an earlier answer was refused
        if (answer := _stun_answer(data, host, port, username)) is not None:
            with suppress(OSError):
                await udp.sendto(answer, (host, port))


def _stun_answer(data: bytes, host: str, port: int, username: str) -> bytes | None:
    """None for what is not the doctor's: a stand-in answers no stranger."""
    try:
        request = stun.parse_untrusted(data)
    except stun.StunError:
        return None
    wanted = stun.binding_request(username).get(stun.USERNAME)
    if request.kind != stun.BINDING | stun.REQUEST or request.get(stun.USERNAME) != wanted:
        return None
    return stun.binding_answer(request, host.partition("%")[0], port)


async def _answer_ice_tcp(stream: trio.SocketStream, *, username: str) -> None:
    data = bytes(await stream.receive_some(2048))
    host, port, *_ = stream.socket.getpeername()
    if (answer := _stun_answer(data[2:], host, port, username)) is not None:
        await stream.send_all(len(answer).to_bytes(2, "big") + answer)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.listener.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The checks of TLS say what is wrong with the files.
    with suppress(OSError, ssl.SSLError):
        context.load_cert_chain(settings.listener.tls_cert, settings.listener.tls_key)
    return context


async def _answer_http(
    stream: trio.SocketStream, *, tls: ssl.SSLContext | None, nonce: str
) -> None:
    """One answer: 101 to a websocket's handshake, else the nonce."""
    carrier: trio.abc.Stream = stream
    if tls is not None:
        carrier = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
    head = b""
    while b"\r\n\r\n" not in head:
        more = await carrier.receive_some(4096)
        if not more or len(head) > _MOST_HEAD:
            return
        head += bytes(more)
        if head[:1] == _TLS_HANDSHAKE:  # a client of TLS must not wait for an answer
            await carrier.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return
    fields = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    if fields.get("upgrade", "").lower() == "websocket" and "upgrade" in (
        fields.get("connection", "").lower()
    ):
        key = fields.get("sec-websocket-key", "")
        digest = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {digest}\r\n\r\n"
        )
    else:
        answer = (
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(nonce)}\r\nConnection: close\r\n"
            f"Content-Type: text/plain\r\n\r\n{nonce}"
        )
    await carrier.send_all(answer.encode())


# Who holds a port


async def holders_of(
    machine: Machine, ports: Sequence[ServerPort]
) -> Mapping[tuple[str, int], Sequence[Holder]]:
    """The processes that have these ports, by protocol and number, as far as this user may see
    them. In a thread: a machine may have many sockets.
    """

    def look() -> Mapping[tuple[str, int], Sequence[Holder]]:
        wanted = {(port.protocol, port.port) for port in ports}
        inodes: dict[tuple[str, int], set[int]] = {key: set() for key in wanted}
        for protocol in {protocol for protocol, _ in wanted}:
            for number, inode in sockets_of(machine, protocol):
                if (protocol, number) in wanted:
                    inodes[protocol, number].add(inode)
        found = machine.holders(set().union(*inodes.values()))
        return {
            key: [found[inode] for inode in sorted(own) if inode in found]
            for key, own in inodes.items()
        }

    return await trio.to_thread.run_sync(look, abandon_on_cancel=True)


def sockets_of(machine: Machine, protocol: str) -> Iterator[tuple[int, int]]:
    """The port and the inode of the sockets of this machine (proc(5), /proc/net/tcp); of TCP those
    that listen.
    """
    for name in (protocol.lower(), protocol.lower() + "6"):
        for line in (machine.read(f"/proc/net/{name}") or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and (protocol == UDP or fields[3] == "0A"):
                yield int(fields[1].rpartition(":")[2], 16), int(fields[9])
