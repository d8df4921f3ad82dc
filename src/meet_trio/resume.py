"""Takes over what the process before has kept in the log: each record goes to its owner."""

import logging
from collections.abc import Mapping, Sequence

import attrs

from meet_trio.edge.settings import HttpApiSettings
from meet_trio.edge.tokens import ApiTokenRecord, keep_drawn_token
from meet_trio.edge.webhooks import WebhookRecord
from meet_trio.engine import Kept
from meet_trio.live.restore import Restorer
from meet_trio.live.room import LiveRoom
from meet_trio.meetings import Meetings
from meet_trio.operator.drain import DrainRecord
from meet_trio.operator.quality_sums import QUALITY_RECORDS
from meet_trio.records import Record, RecordStore, key_text, read_records

logger = logging.getLogger("meet_trio.resume")

_OF_THE_SERVER: Mapping[str, type[Record]] = {
    **{kind.KIND: kind for kind in (ApiTokenRecord, DrainRecord, WebhookRecord)},
    **QUALITY_RECORDS,
}


@attrs.frozen
class ResumedServer:
    """What is resumed later. ``api``: the settings of the API with the token that is in force.
    ``drain`` is for ``Drain.resume``, the ``rooms`` are for ``Registry.go_on``.
    """

    api: HttpApiSettings
    drain: DrainRecord | None = None
    rooms: Sequence[LiveRoom] = ()


async def open_restorer(meetings: Meetings, entries: Mapping[str, bytes] | None = None) -> Restorer:
    """For ``resume_meetings``, and for what can be done before it. Without ``entries`` a resolver
    is not asked for addresses that nobody needs; None: they are not known yet.
    """
    context = meetings.registry.context
    needed = entries is None or entries
    addresses = await context.announced.current() if needed else ()
    return Restorer(context, addresses, others=_OF_THE_SERVER)


def resume_meetings(
    restorer: Restorer,
    engines: Sequence[Kept],
    api: HttpApiSettings,
    meetings: Meetings,
    store: RecordStore | None,
    lost: list[str],
    *,
    exact: bool = True,
) -> ResumedServer:
    """Give the records that ``restorer`` has taken last to the parts that they are of, and put them
    into ``store``. ``engines``: what the engines before have left. What cannot be read is named in
    ``lost``. ``exact`` False: they are of another machine, and older than its end. Whether that one
    has drained says nothing about this one.
    """
    webhooks, quality = list[WebhookRecord](), list[Record]()
    drain, token = None, None
    for record in read_records(restorer.of_others, _OF_THE_SERVER, lost):
        match record:
            case WebhookRecord():
                webhooks.append(record)
            case DrainRecord():
                drain = record if exact else None
            case ApiTokenRecord():
                token = record
            case _:
                quality.append(record)
    meetings.outbox.resume(webhooks)
    if drain is not None and store is not None:
        store.put(key_text(drain.key), drain.to_json())
    rooms = restorer.finish(engines, lost, exact=exact)
    for room in rooms:
        room.keeper.write()
    meetings.quality.resume(quality, {room.id: room for room in rooms})
    if rooms:
        logger.info("%d rooms of the process before go on", len(rooms))
    return ResumedServer(keep_drawn_token(api, token, store), drain, rooms)
