"""The settings of signaling's sockets.

``socketio`` imports nothing of ``meet_trio``, so ``SOCKET_SETTINGS`` describes those fields of its
``Settings`` that are settings of this server. The defaults are those of ``socketio.Settings``,
except for those in ``SOCKET_DEFAULTS``.
"""

from collections.abc import Mapping

from meet_trio.settings.about import Metadata, about
from meet_trio.settings.addresses import ORIGINS
from meet_trio.settings.kinds import seconds, whole
from meet_trio.socketio import Settings as SocketSettings

SOCKET_DEFAULTS = SocketSettings(
    # Socket.IO's default is 45 s. It is shorter here because anybody can open sockets that do not
    # connect, and each counts for ``max_unconnected``.
    connect_timeout=20.0,
    # The defaults of ``socketio`` suit applications that never call ``Socket.trust``. Signaling
    # trusts a socket once it has shown a peer's token. A client needs little before that.
    max_stranger_payload=16_384,
    stranger_read_rate=10_000,
    stranger_read_burst=64_000,
)

SOCKET_SETTINGS: Mapping[str, Metadata] = {
    "origins": about(
        "http.cors_origins",
        ORIGINS,
        "web origins whose pages may use signaling; none: every origin's, by websocket alone",
        operator=True,
        reload=True,
        example=["https://kolab.example.org"],
    ),
    "ping_interval": about(
        "signaling.ping_interval",
        seconds(0.1, 600),
        "Engine.IO heartbeat: time between pings",
    ),
    "ping_timeout": about(
        "signaling.ping_timeout", seconds(0.1, 600), "Engine.IO heartbeat: time for the answer"
    ),
    "max_payload": about(
        "signaling.max_payload", whole(1024, 2**30, "bytes"), "longest message of a client"
    ),
    "handshake_timeout": about(
        "signaling.handshake_timeout", seconds(0.1, 600), "time for the websocket handshake"
    ),
    "send_timeout": about(
        "signaling.send_timeout",
        seconds(0.1, 600),
        "a client that takes no data for this time is dropped",
    ),
    "max_outbox_packets": about(
        "signaling.max_outbox",
        whole(16, 1_000_000),
        "messages waiting for a client before it is dropped",
    ),
    "max_outbox_bytes": about(
        "signaling.max_outbox_bytes",
        whole(100_000, 2**30, "bytes"),
        "size of the messages waiting for a client before it is dropped",
    ),
    "max_outboxes_bytes": about(
        "signaling.max_outboxes_bytes",
        whole(1_000_000, 2**40, "bytes"),
        "size of the messages waiting for all clients together, a message to many counted once; "
        "beyond it, the clients with the most waiting are dropped",
    ),
    "max_inbox_events": about(
        "signaling.max_inbox",
        whole(16, 1_000_000),
        "messages of a client waiting to be handled before it is dropped",
    ),
    "max_inbox_bytes": about(
        "signaling.max_inbox_bytes",
        whole(100_000, 2**30, "bytes"),
        "size of the messages of a client waiting to be handled before it is dropped",
    ),
    "max_open_calls": about(
        "signaling.max_open_calls",
        whole(16, 1_000_000),
        "requests that a client has not answered before it is dropped",
    ),
    "read_rate": about(
        "signaling.read_rate",
        whole(10_000, 2**30, "bytes"),
        "bytes read of a client per second, each message or frame counting 1000 more, each HTTP "
        "request 10000; beyond it, reading is slower",
    ),
    "read_burst": about(
        "signaling.read_burst", whole(100_000, 2**30, "bytes"), "bytes read of a client at once"
    ),
    "max_stranger_payload": about(
        "signaling.max_stranger_payload",
        whole(1024, 2**30, "bytes"),
        "longest message of a client that has not shown a peer's token yet",
    ),
    "stranger_read_rate": about(
        "signaling.stranger_read_rate",
        whole(1000, 2**30, "bytes"),
        "`read_rate` of such a client",
    ),
    "stranger_read_burst": about(
        "signaling.stranger_read_burst",
        whole(16_384, 2**30, "bytes"),
        "`read_burst` of such a client",
    ),
    "connect_timeout": about(
        "signaling.connect_timeout",
        seconds(0.1, 600),
        "time for a socket to say hello, after its handshake",
    ),
    "max_unconnected": about(
        "signaling.max_unconnected",
        whole(1, 1_000_000),
        "sockets at once that have not said hello yet",
    ),
    "max_unconnected_per_client": about(
        "signaling.max_unconnected_per_address",
        whole(1, 1_000_000),
        "such sockets of one address (IPv6: one /64)",
    ),
    "max_polling": about(
        "signaling.max_polling", whole(1, 1_000_000), "sockets at once that use long-polling"
    ),
    "max_json_depth": about(
        "limits.json_depth", whole(8, 500), "levels of nesting in a client's JSON"
    ),
    "max_json_items": about(
        "limits.json_items",
        whole(1000, 10**6),
        "values in one message of signaling, about: its commas and brackets are counted",
    ),
}
