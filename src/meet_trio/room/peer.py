"""Peers, producers and consumers of a room, as plain mutable state that only ``Room`` changes."""

from collections.abc import Mapping
from typing import Literal

import attrs

from meet_trio.ortc import ProducerRtp, RtpCapabilities
from meet_trio.ortc.fields import Json
from meet_trio.room.roles import Role
from meet_trio.room.templates import ConsumerTemplates

Source = Literal["mic", "webcam", "screen"]


@attrs.define(eq=False)
class Peer:
    """One participant, from the moment its token is made.

    - ``connected``: its first socket was accepted. A lost socket does not change that. The other
      peers see the peer from then on.
    - ``joined`` and ``receiving``: it gets consumers while both are true. ``receiving`` means that
      it has a transport for them.
    - ``nickname``: False until it has one.
    - ``producers``: by producer id.
    - ``consumers``: by the id of their producer.
    - ``refused``: ids of producers whose consumer its client refused. They are not offered again
      until the peer joins again.
    - ``lacking``: all other producers that it should have a consumer of and has none yet.
    - ``missing``: how many of ``lacking`` it may have within ``consumers_per_peer``.
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
        """Whether the peer should have a consumer of ``producer`` and has none."""
        return (
            self.receiving
            and self.joined
            and self.rtp_capabilities is not None
            and producer.peer_id != self.id
            and producer.id not in self.consumers
            and producer.id not in self.refused
            and producer.templates.get(self.rtp_capabilities) is not None
        )

    def info(self) -> dict[str, Json]:
        """The ``peerInfo`` object in the answer to ``join`` and in ``newPeer``."""
        return {
            "id": self.id,
            "language": self.language,
            "nickname": self.nickname,
            "role": int(self.role),
            "raisedHand": self.raised_hand,
        }


@attrs.define(eq=False)
class Producer:
    """A stream that a peer sends.

    - ``app_data``: passed on to the viewers unchanged.
    - ``order``: higher for each new producer of the room.
    - ``paused``: nothing is forwarded. The peer has paused the producer (``paused_by_peer``), or it
      has lost the role PUBLISHER.
    - ``consumers``: by the id of the peer that receives them.
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
    templates: ConsumerTemplates = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.templates = ConsumerTemplates(self.rtp)


@attrs.define(eq=False)
class Consumer:
    """A producer's stream as the peer ``peer_id`` receives it. ``paused``: by that peer."""

    id: str
    peer_id: str
    producer_id: str
    paused: bool = False
