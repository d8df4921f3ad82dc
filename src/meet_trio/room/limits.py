"""The limits of a room: its peers, their streams, their texts."""

import attrs

from meet_trio.settings.about import about
from meet_trio.settings.kinds import whole


@attrs.frozen(kw_only=True)
class RoomLimits:
    """Limits far above what people do. They bound what one client can make the server keep or send
    to others.

    Texts are in characters, JSON is in bytes.
    """

    peers: int = attrs.field(
        default=1000,
        metadata=about(
            "limits.peers_per_room",
            whole(1, 10**6),
            "peers in a room",
            operator=True,
            reload=True,
        ),
    )
    producers_per_peer: int = attrs.field(
        default=16,
        metadata=about(
            "limits.producers_per_peer",
            whole(1, 1000),
            "streams that a peer sends",
            reload=True,
        ),
    )
    consumers_per_peer: int = attrs.field(
        default=2000,
        metadata=about(
            "limits.consumers_per_peer",
            whole(1, 10**6),
            "streams that a peer is sent; further ones come when others end",
            reload=True,
        ),
    )
    pinned_peers: int = attrs.field(
        default=16,
        metadata=about(
            "limits.pinned_peers",
            whole(1, 1000),
            "peers that a viewer may pin, whose cameras it gets in spite of last-N",
            reload=True,
        ),
    )
    nickname: int = attrs.field(
        default=256,
        metadata=about(
            "limits.nickname",
            whole(1, 10**6, "characters"),
            "longest nickname",
            reload=True,
        ),
    )
    chat_message: int = attrs.field(
        default=8192,
        metadata=about(
            "limits.chat_message",
            whole(1, 10**6, "characters"),
            "longest chat message",
            reload=True,
        ),
    )
    app_data: int = attrs.field(
        default=4096,
        metadata=about(
            "limits.app_data",
            whole(64, 10**6, "bytes"),
            "longest appData (as JSON)",
            reload=True,
        ),
    )
