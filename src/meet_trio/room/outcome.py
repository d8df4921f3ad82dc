"""What follows from a change of the room, as values: the caller makes it happen, in this order.

room's verb → ``before`` is sent → the acknowledgement with ``result`` → ``after`` is sent
"""

from collections.abc import Iterable
from typing import Literal

import attrs

from meet_trio.ortc.fields import Json

JoinAnswer = Literal["joinRequestAccepted", "joinRequestDenied"]


@attrs.frozen
class Notice:
    """One notification (method and data on the wire) to each of some peers."""

    to: frozenset[str]
    method: str
    data: Json


@attrs.frozen
class Webhook:
    """An event that Kolab is told about."""

    event: Literal["roomClosed"] | JoinAnswer
    room_id: str
    request_id: str | None = None

    def to_json(self) -> dict[str, Json]:
        data: dict[str, Json] = {"roomId": self.room_id, "event": self.event}
        if self.request_id is not None:
            data["requestId"] = self.request_id
        return data


@attrs.frozen
class Outcome:
    """``result`` None means that the acknowledgement carries no result.

    ``gone`` are the peers that are out of the room now and whose connections have to end; the
    closed producers and consumers are forgotten by the room and have to leave the engine.
    """

    before: tuple[Notice, ...] = ()
    result: Json = None
    after: tuple[Notice, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    gone: tuple[str, ...] = ()
    closed_producers: tuple[str, ...] = ()
    closed_consumers: tuple[str, ...] = ()


def notices(to: Iterable[str], method: str, data: Json) -> tuple[Notice, ...]:
    """One notice, or none if nobody would get it."""
    peers = frozenset(to)
    return (Notice(peers, method, data),) if peers else ()
