"""The things in a room, as plain mutable state that only ``Room`` changes."""

from collections.abc import Mapping
from typing import Literal

import attrs

from meet_trio.ortc import ProducerRtp, RtpCapabilities
from meet_trio.ortc.fields import Json
from meet_trio.room.roles import Role

Source = Literal["mic", "webcam", "screen"]


@attrs.define(eq=False)
class Peer:
    """One participant, from the moment its token is made.

    Others see it once it is ``connected`` (its socket was accepted once; a lost socket changes
    nothing here); it gets consumers once it has ``joined``. ``nickname`` is False until it has one.
    """

    id: str
    role: Role
    token: str = attrs.field(repr=False)
    connected: bool = False
    joined: bool = False
    nickname: str | Literal[False] = False
    language: str | None = None
    raised_hand: bool = False
    rtp_capabilities: RtpCapabilities | None = None

    def info(self) -> dict[str, Json]:
        """peerInfo, as join, newPeer and the page know it."""
        return {
            "id": self.id,
            "language": self.language,
            "nickname": self.nickname,
            "role": int(self.role),
            "raisedHand": self.raised_hand,
        }


@attrs.define(eq=False)
class Producer:
    """A stream that a peer sends. ``app_data`` is passed on to the viewers as it came.

    ``paused``: nothing of it is passed on, because its peer wants it so (``paused_by_peer``) or may
    not publish any more.
    """

    id: str
    peer_id: str
    rtp: ProducerRtp
    source: Source
    app_data: Mapping[str, Json]
    paused: bool = False
    paused_by_peer: bool = False


@attrs.define(eq=False)
class Consumer:
    """A producer's stream on its way to ``peer_id``. ``paused``: by that peer."""

    id: str
    peer_id: str
    producer_id: str
    paused: bool = False
