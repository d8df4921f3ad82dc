"""The whole server as one task tree: ``serve`` for those who have a nursery, ``run`` for the
command line.

``serve`` starts things in order and, when it is cancelled from outside, ends them in the opposite
one: everything inside runs shielded, so peers can still be told goodbye while rooms close. All of
that has deadlines; the last resort is the shield's own.

The only place that reads ``Settings``; everything below is handed the values it needs.
"""

import ipaddress
import itertools
import signal
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial

import attrs
import trio

from meet_trio import collector, ortc
from meet_trio.config import Settings, TurnSettings
from meet_trio.edge.addresses import Proxies, address_key
from meet_trio.edge.credentials import Credentials
from meet_trio.edge.front_door import FrontDoor, FrontDoorSettings, Refusal
from meet_trio.edge.head import RequestHead
from meet_trio.edge.hosts import Hosts, host_name
from meet_trio.edge.http_api import HttpApi, HttpApiSettings
from meet_trio.edge.signaling import signaling_handler, signaling_paths
from meet_trio.edge.site import build_site
from meet_trio.edge.webhooks import Outbox, WebhookSettings
from meet_trio.engine import EngineSettings
from meet_trio.errors import ConfigError
from meet_trio.lag import LoopLag
from meet_trio.live.handlers import handle_event
from meet_trio.live.peer import PeerSettings
from meet_trio.live.registry import Registry
from meet_trio.live.room import RoomSettings, Surroundings
from meet_trio.media.announced import AnnouncedAddresses
from meet_trio.media.dtls import DtlsBridge, open_bridge
from meet_trio.media.engines import EngineHost, open_engine
from meet_trio.media.plain import PlainPorts, PlainSettings
from meet_trio.media.transport import TransportSettings
from meet_trio.media.turn import turn_credentials
from meet_trio.rates import Rate
from meet_trio.room import RoomLimits
from meet_trio.socketio import Server as SocketServer
from meet_trio.socketio import Settings as SocketSettings

_RESERVE = 0.2  # seconds of the time for shutdown that are kept for what comes after the outbox


@attrs.frozen
class Running:
    """A server that has started. ``url`` is where its HTTP side is reached on this machine."""

    url: str
    port: int
    registry: Registry
    bridge: DtlsBridge
    hosts: Sequence[EngineHost]


async def serve(
    settings: Settings, *, task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a server until cancelled. ``started`` gets a ``Running``.

    Raises ConfigError when an address cannot be listened on or a TLS file cannot be used.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        running = await nursery.start(_serve_shielded, settings, stop)
        task_status.started(running)
        try:
            await trio.sleep_forever()
        finally:
            stop.set()


def run(settings: Settings, *, started: Callable[[Running], None] = lambda running: None) -> None:
    """Run a server until SIGINT or SIGTERM; ``started`` is called once it listens."""
    trio.run(partial(_run, settings, started))


async def _run(settings: Settings, started: Callable[[Running], None]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            running = await nursery.start(serve, settings)
            await nursery.start(collector.run)
            started(running)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break


async def _serve_shielded(
    settings: Settings, stop: trio.Event, *, task_status: trio.TaskStatus[Running]
) -> None:
    with trio.CancelScope(shield=True) as whole:
        async with AsyncExitStack() as stack:
            listeners = await _open_listeners(settings)
            for listener in listeners:
                stack.push_async_callback(listener.aclose)
            bridge = await stack.enter_async_context(open_bridge())
            numbers = itertools.count(1)
            hosts = [
                await _open_host(stack, settings, index, numbers)
                for index in range(settings.media.workers)
            ]
            nursery = await stack.enter_async_context(trio.open_nursery())
            await _run_parts(settings, listeners, bridge, hosts, nursery, stop, whole, task_status)
            nursery.cancel_scope.cancel()


async def _run_parts(
    settings: Settings,
    listeners: Sequence[trio.SocketListener],
    bridge: DtlsBridge,
    hosts: Sequence[EngineHost],
    nursery: trio.Nursery,
    stop: trio.Event,
    whole: trio.CancelScope,
    task_status: trio.TaskStatus[Running],
) -> None:
    """Outbox, front door and registry live in ``nursery``; returns when they have been stopped in
    order.
    """
    port = listeners[0].socket.getsockname()[1]
    outbox = Outbox(
        WebhookSettings(
            url=settings.webhook.url,
            token=settings.webhook.token,
            timeout=settings.webhook.timeout,
            tries=settings.webhook.tries,
            max_pending=settings.webhook.max_pending,
        )
    )
    announced = AnnouncedAddresses(settings.media.announced_address, settings.media.listen_ip)
    registry = Registry(
        _surroundings(settings, hosts, bridge, outbox, announced, _plain_ports(settings)),
        max_rooms=settings.limits.rooms,
    )
    lag = LoopLag()
    api = HttpApi(
        registry,
        lag,
        HttpApiSettings(
            auth_token=settings.http.auth_token,
            token_base=settings.http.token_base(port),
            prefix=settings.http.path_prefix,
            max_body_bytes=settings.http.max_body_bytes,
            max_json_depth=settings.limits.json_depth,
        ),
    )
    sockets = SocketServer(
        _socket_settings(settings), {"/": signaling_handler(registry)}, client_key=address_key
    )
    paths = signaling_paths(settings.http.path_prefix)
    credentials = Credentials(
        registry, settings.http.auth_token, api.path, paths, knows_session=sockets.knows
    )
    door = FrontDoor(
        app=build_site(api, sockets.asgi, paths, page=settings.page, demo=settings.demo.enabled),
        websockets=dict.fromkeys(paths, partial(_serve_websocket, sockets)),
        settings=_door_settings(settings),
        tls=_tls(settings),
        proves=credentials.prove,
        refusal=partial(_refusal, credentials, sockets),
    )
    await nursery.start(lag.run)
    await nursery.start(outbox.run)
    await nursery.start(sockets.run)
    await nursery.start(door.serve, listeners)
    async with trio.open_nursery() as rooms:
        await rooms.start(registry.run)
        task_status.started(Running(settings.http.page_url(port), port, registry, bridge, hosts))
        await stop.wait()
        whole.deadline = trio.current_time() + settings.process.shutdown_timeout
        rooms.cancel_scope.cancel()
    await outbox.drain(whole.deadline - _RESERVE)


async def _serve_websocket(sockets: SocketServer, stream: trio.abc.Stream, client: str) -> None:
    await sockets.serve_websocket_stream(stream, client=client)


def _refusal(credentials: Credentials, sockets: SocketServer, head: RequestHead) -> Refusal | None:
    if not credentials.hopeless(head):
        return None
    target = f"{head.path}?{head.query}"
    return partial(sockets.refuse_websocket, target=target, headers=head.headers)


async def _open_listeners(settings: Settings) -> Sequence[trio.SocketListener]:
    host, port = settings.http.host, settings.http.port
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise ConfigError(
            f"http.host, http.port: cannot listen on {host}:{port}: {error}"
        ) from None


async def _open_host(
    stack: AsyncExitStack, settings: Settings, index: int, numbers: Iterator[int]
) -> EngineHost:
    media = settings.media
    port = media.port + index if media.port else 0
    engine = EngineSettings(
        listen_ips=media.listen_ip,
        port=port,
        consent_timeout=media.consent_timeout,
        incoming_excess=media.incoming_excess,
        incoming_burst=media.incoming_burst,
        max_tcp_connections=media.max_tcp_connections,
        max_tcp_strangers=media.max_tcp_strangers,
        max_tcp_strangers_per_address=media.max_tcp_strangers_per_address,
        tcp_stranger_timeout=media.tcp_stranger_timeout,
        tcp_send_buffer=media.tcp_send_buffer,
    )
    try:
        return await stack.enter_async_context(open_engine(engine, numbers))
    except OSError as error:
        raise ConfigError(
            f"media.listen_ip, media.port: cannot use {media.listen_ip}:{port}: {error}"
        ) from None


# Settings, handed down


def _surroundings(
    settings: Settings,
    hosts: Sequence[EngineHost],
    bridge: DtlsBridge,
    outbox: Outbox,
    announced: AnnouncedAddresses,
    plain_ports: PlainPorts,
) -> Surroundings:
    signaling, limits = settings.signaling, settings.limits
    return Surroundings(
        hosts=hosts,
        bridge=bridge,
        settings=RoomSettings(
            never_joined_timeout=settings.rooms.never_joined_timeout,
            empty_timeout=settings.rooms.empty_timeout,
            spread_size=settings.rooms.spread_size,
            ice_servers=partial(_ice_servers, settings.turn),
        ),
        peer_settings=PeerSettings(
            first_connection_timeout=signaling.first_connection_timeout,
            reconnect_grace=signaling.reconnect_grace,
            goodbye_timeout=settings.process.shutdown_timeout * 2 / 3,
            request_timeout=signaling.request_timeout,
            request_tries=signaling.request_tries,
            max_backlog_bytes=signaling.max_outbox_bytes,
            max_transports=limits.transports_per_peer,
            requests=Rate(limits.requests_per_second, limits.request_burst),
            announcements=Rate(limits.announcements_per_second, limits.announcement_burst),
            work=Rate(limits.work_per_second, limits.work_burst),
            work_pace=limits.work_pace,
        ),
        transport_settings=TransportSettings(
            connect_timeout=settings.media.connect_timeout,
            max_incoming_bitrate=settings.media.max_incoming_bitrate,
        ),
        announced=announced,
        plain_ports=plain_ports,
        limits=RoomLimits(
            nickname=limits.nickname,
            chat_message=limits.chat_message,
            app_data=limits.app_data,
            peers=limits.peers_per_room,
            producers_per_peer=limits.producers_per_peer,
            consumers_per_peer=limits.consumers_per_peer,
        ),
        router_capabilities=ortc.router_capabilities(),
        handle=handle_event,
        webhook=outbox.put,
    )


def _plain_ports(settings: Settings) -> PlainPorts:
    media = settings.media
    return PlainPorts(
        PlainSettings(
            enabled=media.plain_transports,
            listen_ips=media.listen_ip,
            ports=media.plain_ports,
            allowed=media.plain_allowed,
            proxies=settings.http.trusted_proxies,
            max_incoming_bitrate=media.max_incoming_bitrate,
        )
    )


def _ice_servers(turn: TurnSettings, peer_id: str, now: float) -> list[dict[str, object]] | None:
    if turn.server is None:
        return None
    server: dict[str, object] = {"urls": [turn.server]}
    if turn.static_secret is not None:
        username, credential = turn_credentials(
            turn.static_secret, peer_id, now, int(turn.credential_lifetime)
        )
        server |= {"username": username, "credential": credential}
    return [server]


def _socket_settings(settings: Settings) -> SocketSettings:
    signaling, origins = settings.signaling, settings.http.cors_origins
    return SocketSettings(
        origins=frozenset(origins) if origins else None,
        ping_interval=signaling.ping_interval,
        ping_timeout=signaling.ping_timeout,
        max_payload=signaling.max_payload,
        handshake_timeout=signaling.handshake_timeout,
        send_timeout=signaling.send_timeout,
        max_outbox_packets=signaling.max_outbox,
        max_outbox_bytes=signaling.max_outbox_bytes,
        max_outboxes_bytes=signaling.max_outboxes_bytes,
        max_inbox_events=signaling.max_inbox,
        max_inbox_bytes=signaling.max_inbox_bytes,
        max_open_calls=signaling.max_open_calls,
        read_rate=signaling.read_rate,
        read_burst=signaling.read_burst,
        max_stranger_payload=signaling.max_stranger_payload,
        stranger_read_rate=signaling.stranger_read_rate,
        stranger_read_burst=signaling.stranger_read_burst,
        connect_timeout=signaling.connect_timeout,
        max_unconnected=signaling.max_unconnected,
        max_unconnected_per_client=signaling.max_unconnected_per_address,
        max_polling=signaling.max_polling,
        max_json_depth=settings.limits.json_depth,
        max_json_items=settings.limits.json_items,
    )


def _door_settings(settings: Settings) -> FrontDoorSettings:
    http = settings.http
    return FrontDoorSettings(
        max_head_bytes=http.max_head_bytes,
        head_timeout=http.head_timeout,
        body_timeout=http.body_timeout,
        send_timeout=http.send_timeout,
        keep_alive_timeout=http.keep_alive_timeout,
        max_connections=http.max_connections,
        max_strangers=http.max_strangers,
        max_strangers_per_address=http.max_strangers_per_address,
        requests=Rate(http.requests_per_second, http.request_burst),
        proxies=Proxies(
            tuple(map(ipaddress.ip_network, http.trusted_proxies)), http.forwarded_header
        ),
        hosts=_hosts(settings) if settings.demo.enabled else None,
    )


def _hosts(settings: Settings) -> Hosts:
    public = settings.http.public_domain
    names = frozenset({host_name(public)}) if public else frozenset[str]()
    return Hosts(names, remote=settings.demo.allow_remote)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    cert, key = settings.http.tls_cert, settings.http.tls_key
    if cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # HTTP/2 is not offered: a websocket would come as something that the front door cannot tell
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"http.tls_cert, http.tls_key: cannot be used: {error}") from None
    return context
