"""How much a peer may say and send."""

import attrs


@attrs.frozen
class RoomLimits:
    """Far above what people do; they bound what one client can make the server keep or repeat.

    Texts in characters, JSON in bytes, the rest in counts.
    """

    nickname: int = 256
    chat_message: int = 8192
    app_data: int = 4096
    peers: int = 1000
    producers_per_peer: int = 16
    consumers_per_peer: int = 2000
