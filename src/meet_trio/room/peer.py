"""Peers, producers and consumers of a room, as plain mutable state that only ``Room`` changes."""

from collections.abc import Mapping
from typing import Literal

import attrs

from meet_trio.json_text import to_text
from meet_trio.ortc import ConsumerRtp, ProducerRtp, RtpCapabilities
from meet_trio.ortc.fields import Json
from meet_trio.room.roles import Role
from meet_trio.room.templates import ConsumerTemplate, ConsumerTemplates

Source = Literal["mic", "webcam", "screen"]

# of consumers whose client asks for none; that of the others is 1, as in mediasoup
PRIORITIES: Mapping[Source, int] = {"screen": 100}


@attrs.frozen
class Layers:
    """The highest layers that a viewer wants; 0 is the lowest of each. ``temporal`` None: all."""

    spatial: int
    temporal: int | None = None


@attrs.define(eq=False)
class Peer:
    """One participant, from the moment its token is made.

    - ``order``: higher for each new peer, producer and consumer of the room.
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
    - ``pinned``: ids of the peers whose camera it gets in spite of last-N.
    """

    id: str
    role: Role
    token: str = attrs.field(repr=False)
    order: int = 0
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
    pinned: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _told: tuple[object, str] = attrs.field(default=((), ""), init=False, repr=False)
    """What ``info_text`` returned last, with the values that are in it."""

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

    def info_text(self) -> str:
        """``info`` as JSON, written when it has changed."""
        values = self.language, self.nickname, self.role, self.raised_hand
        if self._told[0] != values:
            self._told = values, to_text(self.info())
        return self._told[1]


@attrs.define(eq=False)
class Producer:
    """A stream that a peer sends.

    - ``app_data``: passed on to the viewers unchanged.
    - ``order``: as of a peer.
    - ``paused``: nothing is forwarded. The peer has paused the producer (``paused_by_peer``), or it
      has lost the role PUBLISHER.
    - ``consumers``: by the id of the peer that receives them.
    - ``layers_wanted``: its client is told which layers the viewers want.
    - ``wishes``: for each spatial layer, the number of viewers that want it as their highest.
    """

    id: str
    peer_id: str
    rtp: ProducerRtp
    source: Source
    app_data: Mapping[str, Json]
    order: int = 0
    paused: bool = False
    paused_by_peer: bool = False
    layers_wanted: bool = False
    consumers: "dict[str, Consumer]" = attrs.field(factory=dict, init=False)
    wishes: list[int] = attrs.field(init=False)
    templates: ConsumerTemplates = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.templates = ConsumerTemplates(self.rtp)
        self.wishes = [0] * len(self.rtp.params.encodings)

    def highest_wanted(self) -> int | None:
        """The highest spatial layer that any viewer wants, None if nobody watches.

        The layers below it count as wanted too: they are sent while a viewer's bandwidth falls.
        """
        return next((layer for layer, n in reversed([*enumerate(self.wishes)]) if n), None)

    @property
    def is_voice(self) -> bool:
        """Whether its audio level says that the peer speaks. The sound of a screen does not."""
        return self.source == "mic" and self.rtp.kind == "audio"

    @property
    def is_camera(self) -> bool:
        """Whether last-N is about it. Screens are always forwarded."""
        return self.source != "screen" and self.rtp.kind == "video"


@attrs.define(eq=False)
class Consumer:
    """A producer's stream as the peer ``peer_id`` receives it.

    - ``rtp``: what that peer's client was told, which is ``template`` with its MID and SSRCs.
    - ``order``: as of a peer.
    - ``paused``: by that peer.
    - ``preferred``: what that peer wants; None: the highest layers.
    - ``priority``: 1-255. Those with a higher one get that peer's bandwidth first.
    - ``held_back``: by last-N. Its client is told ``consumerPaused`` while it is held back or its
      producer is paused.
    """

    id: str
    peer_id: str
    producer_id: str
    rtp: ConsumerRtp
    template: ConsumerTemplate
    order: int = 0
    priority: int = 1
    paused: bool = False
    preferred: Layers | None = None
    held_back: bool = False

    def highest_wanted(self, layers: int) -> int | None:
        """The highest spatial layer that it wants of a producer with so many ``layers``."""
        if self.paused:
            return None
        return layers - 1 if self.preferred is None else min(self.preferred.spatial, layers - 1)
