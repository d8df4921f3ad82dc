"""The meetings of a server, and what they cannot do without. ``parts`` are around them.

They are loaded before all else. After a crash their engines forward while the rest of the server is
still being loaded.
"""

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import attrs
import trio

from meet_trio import ortc
from meet_trio.config import Settings
from meet_trio.continuity import Continuity
from meet_trio.edge.webhooks import Outbox
from meet_trio.live.handlers import handle_event
from meet_trio.live.keeper import Keeper
from meet_trio.live.registry import Registry
from meet_trio.live.room import RoomContext
from meet_trio.media.announced import AnnouncedAddresses
from meet_trio.media.dtls import DtlsBridge
from meet_trio.media.engines import EngineHost
from meet_trio.media.plain import PlainPorts
from meet_trio.media.turn import IceServers
from meet_trio.operator.quality import Quality
from meet_trio.operator.record_file import RecordFile

if TYPE_CHECKING:
    from meet_trio.redis_state.holder import LeaseHolder


@attrs.frozen
class Opened:
    """What the parts use, and what is closed after all of them have ended."""

    listeners: Sequence[trio.SocketListener]
    metrics_listeners: Sequence[trio.SocketListener]
    console: socket.socket | None
    bridge: DtlsBridge
    hosts: Sequence[EngineHost]
    continuity: Continuity
    holder: "LeaseHolder | None" = None

    @property
    def port(self) -> int:
        """Of the HTTP side."""
        port: int = self.listeners[0].socket.getsockname()[1]
        return port


@attrs.define(eq=False)
class Meetings:
    """What is made of the settings for all rooms."""

    outbox: Outbox
    ice_servers: IceServers
    records: RecordFile
    quality: Quality
    registry: Registry

    @classmethod
    def make(cls, settings: Settings, opened: Opened) -> Self:
        store = opened.continuity.store
        outbox, ice_servers = Outbox(settings.webhook, store=store), IceServers(settings.turn)
        records = RecordFile(settings.quality.file, settings.quality.max_waiting)
        quality = Quality(settings.quality, records.put, store)
        listen_ips = settings.engine.listen_ips
        context = RoomContext(
            hosts=opened.hosts,
            bridge=opened.bridge,
            settings=settings.rooms,
            peer_settings=settings.peers,
            transport_settings=settings.transports,
            limits=settings.limits,
            # A peer that comes back is sent all that it missed. Its new socket must have room.
            max_backlog_bytes=settings.sockets.max_outbox_bytes,
            goodbye_timeout=settings.process.goodbye_timeout,
            ice_servers=ice_servers,
            keeper=Keeper(store),
            announced=AnnouncedAddresses(settings.media.announced_address, listen_ips),
            plain_ports=PlainPorts(
                settings.plain,
                listen_ips,
                settings.front_door.trusted_proxies,
                opened.continuity.sockets,
            ),
            router_capabilities=ortc.router_capabilities(),
            handle=handle_event,
            webhook=outbox.put,
            announce=outbox.announce,
            recorder=quality if settings.quality.enabled else None,
        )
        return cls(outbox, ice_servers, records, quality, Registry(context))

    def replace(self, settings: Settings) -> None:
        """Take other settings while running."""
        plain_ports = self.registry.context.plain_ports
        plain_ports.settings = settings.plain
        plain_ports.proxies = settings.front_door.trusted_proxies
        self.registry.context = attrs.evolve(  # for the rooms that are made from now on
            self.registry.context,
            settings=settings.rooms,
            peer_settings=settings.peers,
            transport_settings=settings.transports,
            limits=settings.limits,
            recorder=self.quality if settings.quality.enabled else None,
        )
        self.quality.settings = settings.quality
        self.records.path = settings.quality.file
        self.ice_servers.settings = settings.turn
        self.outbox.settings = settings.webhook
