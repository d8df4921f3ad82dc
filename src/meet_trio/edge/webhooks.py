"""The outbox of webhooks: delivers the events of rooms to Kolab, in order for each room.

``put`` never waits, so a slow or dead receiver delays no room. Each room with pending webhooks has
one worker, and rooms do not wait for each other. A webhook is sent again after a timeout, a refused
connection, and a status of 5xx, 408 or 429, with growing pauses, until the tries are used up. After
any other 4xx it is not sent again.

Each room has a limit of its own, so a slow receiver does not let one room use up the limit of
another. A webhook above the limit is logged and lost. ``roomClosed`` is accepted above the limit
too, since a room sends it only once. A webhook that equals the last waiting one of the same request
is not added.

The settings may be replaced while webhooks wait. Each try uses those in force.

At shutdown ``drain`` gives the pending webhooks one more chance.

What waits is kept in ``store`` for a later process, until it is delivered or given up. That process
delivers it in the same order (``resume``). If the answer to a webhook was lost with the process, it
is posted again. All posts of one webhook have the same ``Idempotency-Key`` (draft-ietf-httpapi-
idempotency-key-header), so its receiver can tell. The end of a room is kept before it is known what
its webhook says about the meeting (``announce``).

httpx, which posts them, is loaded once there is a URL: with its certificates it takes a tenth of
the server's memory.
"""

import logging
import ssl
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar, Final, Self, get_args

import attrs
import trio

from meet_trio.edge.settings import WebhookSettings
from meet_trio.errors import reason_of
from meet_trio.logs.context import bind_only
from meet_trio.ortc.fields import Fields, Json
from meet_trio.records import Key, Record, RecordStore, key_text
from meet_trio.room import JoinAnswer, Webhook

if TYPE_CHECKING:
    import httpx

_MAX_ID: Final = 256
_MAX_REQUEST_ID: Final = 100_000
_MAX_QUALITY: Final = 100_000  # bytes; the record of a meeting takes two thousand

logger = logging.getLogger("meet_trio.edge.webhooks")


@attrs.frozen
class WebhookRecord(Record):
    """A webhook that waits. Those of a room are delivered in the order of the numbers. ``id``: the
    same at all posts of it.
    """

    KIND: ClassVar[str] = "webhook"
    VERSION: ClassVar[int] = 1

    number: int
    id: str
    webhook: Webhook

    @property
    def key(self) -> Key:
        return self.KIND, str(self.number)

    def fields(self) -> Mapping[str, Json]:
        return {"number": self.number, "id": self.id, **self.webhook.to_json()}

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        event = fields.choice("event", (*get_args(JoinAnswer), "roomClosed"))
        webhook = Webhook(
            event,  # type: ignore[arg-type]  # it is one of them
            fields.text("roomId", _MAX_ID, 1),
            fields.opt_text("requestId", _MAX_REQUEST_ID),
            fields.json("quality", _MAX_QUALITY),
        )
        return cls(fields.integer("number", 0, 2**53), fields.name("id", _MAX_ID), webhook)


@attrs.define(eq=False)
class Outbox:
    """Holds and delivers webhooks. ``transport`` replaces the network in tests.

    ``pending`` is the number of those that wait. ``lost_in_a_row`` is the number of those that were
    given up since the last one that was delivered.
    """

    settings: WebhookSettings
    transport: "httpx.AsyncBaseTransport | None" = None
    store: RecordStore | None = None
    results: Counter[str] = attrs.field(factory=Counter)
    """How many were ``sent``, ``lost`` after their last try, ``dropped`` above the limit; and how
    often one was ``tried_again``.
    """
    lost_in_a_row: int = 0
    _queues: dict[str, deque[WebhookRecord]] = attrs.field(factory=dict)
    # of rooms that are ending: what is kept already
    _announced: dict[str, WebhookRecord] = attrs.field(factory=dict)
    # the times at which those that wait were put, the oldest first
    _since: dict[int, float] = attrs.field(factory=dict)
    _next_number: int = 0
    _nursery: trio.Nursery | None = None
    _client: "httpx.AsyncClient | None" = None
    _at_end: AsyncExitStack = attrs.field(factory=AsyncExitStack)
    _draining: trio.Event = attrs.field(factory=trio.Event)
    _empty: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self._empty.set()

    @property
    def pending(self) -> int:
        return len(self._since)

    @property
    def oldest(self) -> float | None:
        """The time (of Trio's clock) since which the oldest one waits. None if none waits."""
        return next(iter(self._since.values()), None)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled."""
        async with AsyncExitStack() as self._at_end:
            if self.settings.url is not None:
                self._open_client()
            try:
                async with trio.open_nursery() as self._nursery:
                    for room_id in self._queues:
                        self._nursery.start_soon(self._deliver_room, room_id)
                    task_status.started()
                    await trio.sleep_forever()
            finally:
                self._nursery = None

    def _open_client(self) -> "httpx.AsyncClient":
        import httpx

        # The system's authorities, as the doctor's check: httpx brings others of its own.
        client = self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(), transport=self.transport, trust_env=False
        )
        self._at_end.push_async_callback(client.aclose)
        return client

    def resume(self, records: Iterable[WebhookRecord]) -> None:
        """Deliver what an earlier process has not delivered. Comes before ``run``."""
        if self.settings.url is None:
            return
        for record in sorted(records, key=lambda record: record.number):
            self._next_number = record.number + 1
            self._queues.setdefault(record.webhook.room_id, deque())
            self._add(record)

    def announce(self, webhook: Webhook) -> None:
        """The room has ended. Its last webhook follows by ``put``, which may say more."""
        if self.settings.url is not None and webhook.room_id not in self._announced:
            self._announced[webhook.room_id] = record = self._new_record(webhook)
            self._keep(record)

    def put(self, webhook: Webhook) -> None:
        """Take a webhook for delivery. Without a ``url`` it is dropped."""
        if self.settings.url is None or self._nursery is None:
            return
        queue = self._queues.get(webhook.room_id)
        if queue is None:
            queue = self._queues[webhook.room_id] = deque()
            self._nursery.start_soon(self._deliver_room, webhook.room_id)
        # the same answer to this request may already wait
        of_this_request = (
            known.webhook
            for known in reversed(queue)
            if known.webhook.request_id == webhook.request_id
        )
        if next(of_this_request, None) == webhook:
            return
        if len(queue) >= self.settings.max_pending and webhook.event != "roomClosed":
            logger.error(
                "outbox full, lost webhook %s", webhook.event, extra={"room": webhook.room_id}
            )
            self.results["dropped"] += 1
            return
        record = None
        if webhook.event == "roomClosed":
            record = self._announced.pop(webhook.room_id, None)
        self._add(attrs.evolve(record or self._new_record(webhook), webhook=webhook))

    def _new_record(self, webhook: Webhook) -> WebhookRecord:
        number = self._next_number
        self._next_number += 1
        return WebhookRecord(number, str(uuid.uuid4()), webhook)

    def _add(self, record: WebhookRecord) -> None:
        if self.pending == 0:
            self._empty = trio.Event()
        self._since[record.number] = trio.current_time()
        self._queues[record.webhook.room_id].append(record)
        self._keep(record)

    def _keep(self, record: WebhookRecord) -> None:
        if self.store is not None:
            self.store.put(key_text(record.key), record.to_json())
            self.store.flush()  # before anybody hears of what it tells

    def _headers(self, record: WebhookRecord) -> dict[str, str]:
        headers = {"Idempotency-Key": f'"{record.id}"'}  # a string of RFC 8941
        if self.settings.token:
            headers["X-Auth-Token"] = self.settings.token
        return headers

    async def drain(self, deadline: float) -> None:
        """Wait until all webhooks are delivered, at most until ``deadline``. From now on there are
        no long pauses between tries.
        """
        self._draining.set()
        with trio.move_on_at(deadline):
            await self._empty.wait()
        if self.pending:
            logger.error("%d webhooks were not delivered", self.pending)

    async def _deliver_room(self, room_id: str) -> None:
        bind_only(room=room_id)
        queue = self._queues[room_id]
        try:
            while queue:
                delivered = await self._deliver(queue[0])
                self.lost_in_a_row = 0 if delivered else self.lost_in_a_row + 1
                done = queue.popleft()
                del self._since[done.number]
                if self.store is not None:
                    self.store.drop(key_text(done.key))
                    self.store.flush()
                if self.pending == 0:
                    self._empty.set()
        finally:
            del self._queues[room_id]

    async def _deliver(self, record: WebhookRecord) -> bool:
        """Try until it is delivered or given up. Returns whether it was delivered."""
        client = self._client or self._open_client()  # a URL may have come by a reload
        import httpx

        webhook = record.webhook
        trouble = "there is no receiver any more"
        pause = self.settings.first_pause
        for tries_left in reversed(range(self.settings.tries)):
            settings = self.settings
            if settings.url is None:
                break
            try:
                answer = await client.post(
                    settings.url,
                    json=webhook.to_json(),
                    headers=self._headers(record),
                    timeout=settings.timeout,
                )
                if answer.is_success:
                    self.results["sent"] += 1
                    return True
                status = answer.status_code
                refused = f"status {status}: webhook.token is refused"
                trouble = refused if status in (401, 403) else f"status {status}"
                if answer.is_client_error and answer.status_code not in (408, 429):
                    tries_left = 0
            except httpx.HTTPError as error:
                trouble = reason_of(error)
            if tries_left == 0:
                break
            logger.warning("webhook %s: %s, trying again", webhook.event, trouble)
            self.results["tried_again"] += 1
            with trio.move_on_after(pause):
                await self._draining.wait()
            pause = min(2 * pause, self.settings.longest_pause)
            if self._draining.is_set():
                await trio.sleep(0.05)  # the pause of all tries from now on
        self.results["lost"] += 1
        logger.error("webhook %s lost: %s", webhook.event, trouble)
        return False
