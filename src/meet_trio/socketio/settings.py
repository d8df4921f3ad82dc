"""The settings of a server, and the handshake of a client.

``Settings`` holds the limits and timeouts. ``Handshake`` holds the fields of the HTTP request with
which a client has opened its connection. This file does not import Trio, so that settings can be
read without it.
"""

from collections.abc import Mapping
from typing import Literal

import attrs

Revision = Literal[3, 4]
"""The revision of the Engine.IO protocol: ``EIO`` in a client's query."""


@attrs.frozen
class Settings:
    """Times are in seconds, sizes in bytes. The defaults are those of Engine.IO's own server where
    it has the setting.

    A connection is unconnected until it is in a namespace. It is a stranger until the application
    calls ``Socket.trust``.
    """

    # Heartbeat: the time between two pings, and the time for the answer to one.
    ping_interval: float = 25.0
    ping_timeout: float = 20.0

    # The opening handshake of a websocket, from the accepted stream on.
    handshake_timeout: float = 10.0
    # A connection may be in no namespace for this time, at its start and after leaving the last.
    connect_timeout: float = 45.0
    # The probe of a websocket that replaces polling.
    upgrade_timeout: float = 10.0
    # One send on a websocket. Sends of long-polling are bounded by the ASGI server.
    send_timeout: float = 10.0
    # The end of a connection: the last packets and the closing handshake.
    close_timeout: float = 1.0

    # The ``Origin`` of pages that may connect, e.g. ``https://meet.example``; ``*`` for all. With
    # None the origin is not checked, and no CORS headers are sent. Browsers then let pages of other
    # origins connect by websocket, but not by polling.
    origins: frozenset[str] | None = None

    # Unconnected connections at one time: in all, and of one client address.
    max_unconnected: int = 4096
    max_unconnected_per_client: int = 1024
    # Sessions at one time that began by polling.
    max_polling: int = 4096

    # One websocket message or one POST of a client. Text is measured in characters.
    max_payload: int = 1_000_000
    max_payload_packets: int = 4096
    # The values in one message, roughly: its commas and opening brackets are counted.
    max_json_items: int = 16_384
    max_json_depth: int = 64
    max_attachments: int = 16
    max_namespaces: int = 16

    # Reading from a client: bytes per second in the long run, and bytes at once. Each message and
    # each websocket frame counts as ``message_cost`` additional bytes. A client that sends more is
    # read more slowly.
    read_rate: float = 1_000_000
    read_burst: float = 4_000_000
    message_cost: float = 1000
    # The same limits, and ``max_payload``, for a stranger.
    max_stranger_payload: int = 1_000_000
    stranger_read_rate: float = 1_000_000
    stranger_read_burst: float = 4_000_000

    # Events of one socket that wait for ``receive``. Above a limit the connection ends.
    max_inbox_events: int = 1024
    max_inbox_bytes: int = 4_000_000
    # Packets that wait to be sent to one client. Above a limit the connection ends.
    max_outbox_packets: int = 4096
    max_outbox_bytes: int = 8_000_000
    # The same for all connections together; a packet to many clients counts once.
    max_outboxes_bytes: int = 256_000_000
    # Calls that one socket has not acknowledged. Above the limit the connection ends.
    max_open_calls: int = 4096


@attrs.frozen
class Handshake:
    """The request that opened a connection. A repeated field of the query has its first value. The
    names in ``headers`` are in lower case.

    ``path`` is decoded. ``client`` is the address that the caller of the server gave. ``auth`` is
    the client's ``auth`` object for a namespace.
    """

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    client: str
    eio: Revision
    auth: object = None
