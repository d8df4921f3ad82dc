"""Takes over what the process before has kept in the log: each record goes to its owner."""

import logging
from collections.abc import Mapping, Sequence

from meet_trio.edge.webhooks import WebhookRecord
from meet_trio.engine import Kept
from meet_trio.live.restore import restore_rooms
from meet_trio.live.room import LiveRoom
from meet_trio.meetings import Meetings
from meet_trio.records import of_kinds, read_records

logger = logging.getLogger("meet_trio.resume")


async def resume_meetings(
    entries: Mapping[str, bytes], engines: Sequence[Kept], meetings: Meetings, lost: list[str]
) -> Sequence[LiveRoom]:
    """Give the records of ``entries`` to the parts that they are of. Returns the rooms, for
    ``Registry.go_on``. ``engines``: what the engines before have left. What cannot be
    read is named in ``lost``.
    """
    webhooks = of_kinds(entries, {WebhookRecord.KIND})
    kinds = {WebhookRecord.KIND: WebhookRecord}
    meetings.outbox.resume(
        record
        for record in read_records(webhooks, kinds, lost)
        if isinstance(record, WebhookRecord)
    )
    of_rooms = {key: value for key, value in entries.items() if key not in webhooks}
    if not of_rooms:
        return ()
    context = meetings.registry.context
    addresses = await context.announced.current()
    rooms = restore_rooms(of_rooms, engines, addresses, context, lost)
    for room in rooms:
        room.keeper.write()
    logger.info("%d rooms of the process before go on", len(rooms))
    return rooms
