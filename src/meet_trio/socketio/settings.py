"""The numbers of a server, and what a client said when it came."""

from collections.abc import Mapping
from typing import Literal

import attrs

Revision = Literal[3, 4]


@attrs.frozen
class Settings:
    """Times in seconds, sizes in bytes. The defaults are Engine.IO's where it has one."""

    ping_interval: float = 25.0
    ping_timeout: float = 20.0
    # what a client may send in one websocket message (counted in characters if text) or one POST
    max_payload: int = 1_000_000
    max_payload_packets: int = 4096
    # from the accepted stream to the end of the websocket handshake
    handshake_timeout: float = 10.0
    # time without any namespace, at the start and after leaving the last
    connect_timeout: float = 45.0
    # connections that are in no namespace, at one time: in all, and of one client address
    max_unconnected: int = 4096
    max_unconnected_per_client: int = 1024
    upgrade_timeout: float = 10.0
    # sessions that began by polling, at one time
    max_polling: int = 4096
    # ``Origin`` of pages that may connect, e.g. ``https://meet.example``; ``*`` for all. None: not
    # looked at, and no CORS headers, so that browsers let pages of other origins use websockets
    # only
    origins: frozenset[str] | None = None
    # one websocket frame must be on its way in this time; for polls that is the ASGI server's task
    send_timeout: float = 10.0
    # for the goodbye: last packets and the closing handshake
    close_timeout: float = 1.0
    # waiting to be sent; more than that ends the connection
    max_outbox_packets: int = 4096
    max_outbox_bytes: int = 8_000_000
    # of all connections together; what many are told counts once
    max_outboxes_bytes: int = 256_000_000
    # What is read of a client: bytes per second in the long run, and at once; each message, each
    # websocket frame counts ``message_cost`` bytes more. One that sends more is read more slowly.
    read_rate: float = 1_000_000
    read_burst: float = 4_000_000
    message_cost: float = 1000
    # the same, and the longest message, until the application trusts it (``Socket.trust``)
    max_stranger_payload: int = 1_000_000
    stranger_read_rate: float = 1_000_000
    stranger_read_burst: float = 4_000_000
    # events waiting for ``receive`` on one socket; more than that ends the connection
    max_inbox_events: int = 1024
    max_inbox_bytes: int = 4_000_000
    # calls not yet acknowledged by one socket; more than that ends the connection
    max_open_calls: int = 4096
    max_namespaces: int = 16
    max_attachments: int = 16
    max_json_depth: int = 64
    # values in one message, about: commas and brackets are counted
    max_json_items: int = 16_384


@attrs.frozen
class Handshake:
    """What the client said when it came. Of repeated query fields the first value; header names in
    lower case.
    """

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    client: str
    eio: Revision
    auth: object = None
