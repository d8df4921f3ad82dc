"""The settings of rooms and peers: their timeouts, and the rates of peers' requests."""

import attrs

from meet_trio.rates import Rate
from meet_trio.room.last_n import MAX_LAST_N
from meet_trio.settings.about import about, about_rate
from meet_trio.settings.kinds import number, or_none, seconds, whole


@attrs.frozen(kw_only=True)
class RoomSettings:
    """The limit of rooms, their timeouts, and how a room spreads over engines."""

    empty_timeout: float = attrs.field(
        default=10.0,
        metadata=about(
            "rooms.empty_timeout",
            seconds(0, 86400),
            "a room that everybody left closes after this time",
            operator=True,
            reload=True,
        ),
    )
    never_joined_timeout: float = attrs.field(
        default=300.0,
        metadata=about(
            "rooms.never_joined_timeout",
            seconds(0.1, 86400 * 7),
            "a room that nobody ever entered closes after this time",
            operator=True,
            reload=True,
        ),
    )
    spread_size: int = attrs.field(
        default=16,
        metadata=about(
            "rooms.spread_size",
            whole(1, 100_000),
            "peers of a room on one media worker before it spreads to another",
            env="ROUTER_SCALE_SIZE",
            operator=True,
            reload=True,
        ),
    )
    last_n: int | None = attrs.field(
        default=None,
        metadata=about(
            "rooms.last_n",
            or_none(whole(1, MAX_LAST_N)),
            "viewers are sent the cameras of as many latest speakers only; none: all cameras",
            operator=True,
            reload=True,
            example=9,
        ),
    )
    audio_level_messages: Rate = attrs.field(
        default=Rate(per_second=1000.0, burst=1000),
        metadata=about_rate(
            per_second=about(
                "limits.audio_level_messages_per_second",
                number(1, 10**6),
                "messages with audio levels per second, to all clients that ask for them",
            ),
            burst=about(
                "limits.audio_level_message_burst",
                whole(1, 10**6),
                "such messages at once",
            ),
        ),
    )
    max_rooms: int = attrs.field(
        default=10_000,
        metadata=about(
            "limits.rooms",
            whole(1, 10**6),
            "rooms at once",
            operator=True,
            reload=True,
        ),
    )


@attrs.frozen(kw_only=True)
class PeerSettings:
    """How long the server waits for a peer, and how much one peer may do.

    ``max_backlog``: the notices that are kept for a peer that has lost its socket.
    """

    reconnect_grace: float = attrs.field(
        default=10.0,
        metadata=about(
            "signaling.reconnect_grace",
            seconds(0, 3600),
            "a peer that lost its socket may come back within this time",
            operator=True,
            reload=True,
        ),
    )
    first_connection_timeout: float = attrs.field(
        default=60.0,
        metadata=about(
            "signaling.first_connection_timeout",
            seconds(0.1, 86400),
            "a peer that never connects is removed after this time",
            operator=True,
            reload=True,
        ),
    )
    request_timeout: float = attrs.field(
        default=20.0,
        metadata=about(
            "signaling.request_timeout",
            seconds(0.1, 600),
            "time for a client's answer to a request of the server",
            reload=True,
        ),
    )
    request_tries: int = attrs.field(
        default=3,
        metadata=about(
            "signaling.request_tries",
            whole(1, 100),
            "times that such a request is sent",
            reload=True,
        ),
    )
    max_transports: int = attrs.field(
        default=8,
        metadata=about(
            "limits.transports_per_peer",
            whole(1, 1000),
            "transports of a peer",
            reload=True,
        ),
    )
    # These count all events of the peer's sockets. Acknowledgements are no events.
    requests: Rate = attrs.field(
        default=Rate(per_second=200.0, burst=1000),
        metadata=about_rate(
            per_second=about(
                "limits.requests_per_second",
                number(0.1, 10**6),
                "requests of a peer per second, in the long run",
                reload=True,
            ),
            burst=about(
                "limits.request_burst",
                whole(10, 10**6),
                "requests of a peer at once; after as many refused ones its connection is closed",
                reload=True,
            ),
        ),
    )
    # These count the requests that everybody in the room is told of at once.
    announcements: Rate = attrs.field(
        default=Rate(per_second=20.0, burst=200),
        metadata=about_rate(
            per_second=about(
                "limits.announcements_per_second",
                number(0.1, 10**6),
                "announcements of a peer to everyone per second: chat, nickname, raised hand, "
                "joining",
                reload=True,
            ),
            burst=about(
                "limits.announcement_burst",
                whole(1, 10**6),
                "such announcements of a peer at once",
                reload=True,
            ),
        ),
    )
    # This bounds a peer's share of the server's time, see ``LiveRoom.perform``.
    work: Rate = attrs.field(
        default=Rate(per_second=1000.0, burst=30_000),
        metadata=about_rate(
            per_second=about(
                "limits.work_per_second",
                number(1, 10**6),
                "messages to clients that a peer's requests may cause per second, in the long "
                "run, a stream offered to a client counting 8; moderators who have caused more "
                "wait, others are refused",
                reload=True,
            ),
            burst=about(
                "limits.work_burst",
                whole(100, 10**8),
                "such messages on top of that, if the peer was quiet before",
                reload=True,
            ),
        ),
    )
    # This leaves time for the requests of other peers even while a peer uses its burst.
    work_pace: float = attrs.field(
        default=3000.0,
        metadata=about(
            "limits.work_pace",
            number(1, 10**6),
            "such messages of a peer per second at any time; its next request waits",
            reload=True,
        ),
    )
    max_backlog: int = 1000
