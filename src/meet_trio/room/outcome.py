"""The consequences of a change of the room, as values. The caller performs them in this order:

verb of the room → ``before`` is sent → the acknowledgement with ``result`` → ``after`` is sent
"""

from collections.abc import Iterable
from typing import Literal

import attrs

from meet_trio.json_text import JsonText
from meet_trio.ortc.fields import Json

JoinAnswer = Literal["joinRequestAccepted", "joinRequestDenied"]


@attrs.frozen
class Notice:
    """One notification, as method and data on the wire, for each of the peers ``to``."""

    to: frozenset[str]
    method: str
    data: Json


@attrs.frozen
class Webhook:
    """An event that Kolab is told about. ``quality``: the record of the meeting that is over."""

    event: Literal["roomClosed"] | JoinAnswer
    room_id: str
    request_id: str | None = None
    quality: Json = None

    def to_json(self) -> dict[str, Json]:
        data: dict[str, Json] = {"roomId": self.room_id, "event": self.event}
        if self.request_id is not None:
            data["requestId"] = self.request_id
        if self.quality is not None:
            data["quality"] = self.quality
        return data


@attrs.frozen
class Outcome:
    """The notices, closings and webhooks that the caller of a verb has to perform.

    ``result`` None means that the acknowledgement carries no result. The peers in ``removed_peers``
    are no longer in the room; their connections have to end. The closed producers and consumers are
    no longer in the room either; they have to be removed from the engine.
    """

    before: tuple[Notice, ...] = ()
    result: "Json | JsonText" = None
    after: tuple[Notice, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    removed_peers: tuple[str, ...] = ()
    closed_producers: tuple[str, ...] = ()
    closed_consumers: tuple[str, ...] = ()


def notices(to: Iterable[str], method: str, data: Json) -> tuple[Notice, ...]:
    """One notice, or none if there is no peer to get it."""
    peers = frozenset(to)
    return (Notice(peers, method, data),) if peers else ()
