"""The things in a room, as plain mutable state that only ``Room`` changes."""

from collections.abc import Mapping
from typing import Literal

import attrs

from meet_trio.ortc import ProducerRtp, RtpCapabilities
from meet_trio.ortc.fields import Json
from meet_trio.room.forms import Forms
from meet_trio.room.roles import Role

Source = Literal["mic", "webcam", "screen"]


@attrs.define(eq=False)
class Peer:
    """One participant, from the moment its token is made.

    Others see it once it is ``connected`` (its socket was accepted once; a lost socket changes
    nothing here); it gets consumers once it has ``joined`` and is ``receiving``: has a transport to
    get them on. ``nickname`` is False until it has one.

    ``producers`` by their ids; ``consumers`` by those of their producers. ``refused``: producers
    that its client would not have, not offered again until it joins anew. ``lacking``: all others
    that it should get and has not got; ``missing``: how many of them it may have.
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
    receiving: bool = False
    producers: "dict[str, Producer]" = attrs.field(factory=dict, init=False)
    consumers: "dict[str, Consumer]" = attrs.field(factory=dict, init=False)
    refused: set[str] = attrs.field(factory=set, init=False)
    lacking: "dict[str, Producer]" = attrs.field(factory=dict, init=False)
    missing: int = attrs.field(default=0, init=False)

    def wants(self, producer: "Producer") -> bool:
        """Whether it lacks this one."""
        return (
            self.receiving
            and self.joined
            and self.rtp_capabilities is not None
            and producer.peer_id != self.id
            and producer.id not in self.consumers
            and producer.id not in self.refused
            and producer.forms.of(self.rtp_capabilities) is not None
        )

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
    """A stream that a peer sends. ``app_data`` is passed on to the viewers as it came; ``order``
    grows from one to the next. ``consumers`` by their peers' ids.

    ``paused``: nothing of it is passed on, because its peer wants it so (``paused_by_peer``) or may
    not publish any more.
    """

    id: str
    peer_id: str
    rtp: ProducerRtp
    source: Source
    app_data: Mapping[str, Json]
    order: int = 0
    paused: bool = False
    paused_by_peer: bool = False
    consumers: "dict[str, Consumer]" = attrs.field(factory=dict, init=False)
    forms: Forms = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.forms = Forms(self.rtp)


@attrs.define(eq=False)
class Consumer:
    """A producer's stream on its way to ``peer_id``. ``paused``: by that peer."""

    id: str
    peer_id: str
    producer_id: str
    paused: bool = False
