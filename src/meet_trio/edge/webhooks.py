"""The outbox of webhooks: delivers the events of rooms to Kolab, in order for each room.

``put`` never waits, so a slow or dead receiver delays no room. Each room with pending webhooks has
one worker, and rooms do not wait for each other. A webhook is sent again after a timeout, a refused
connection, and a status of 5xx, 408 or 429, with growing pauses, until the tries are used up. After
any other 4xx it is not sent again.

Each room has a limit of its own, so a slow receiver does not let one room use up the limit of
another. A webhook above the limit is logged and lost. ``roomClosed`` is accepted above the limit
too, since a room sends it only once. A webhook that equals the last waiting one of the same request
is not added.

At shutdown ``drain`` gives the pending webhooks one more chance. Nothing is stored on disk.
"""

import logging
from collections import deque

import attrs
import httpx
import trio

from meet_trio.edge.settings import WebhookSettings
from meet_trio.logs.context import bind_only
from meet_trio.room import Webhook

logger = logging.getLogger("meet_trio.edge.webhooks")


@attrs.define(eq=False)
class Outbox:
    """Holds and delivers webhooks. ``transport`` replaces the network in tests."""

    settings: WebhookSettings
    transport: httpx.AsyncBaseTransport | None = None
    pending: int = 0
    _queues: dict[str, deque[Webhook]] = attrs.field(factory=dict)
    _nursery: trio.Nursery | None = None
    _draining: trio.Event = attrs.field(factory=trio.Event)
    _empty: trio.Event = attrs.field(factory=trio.Event)
    _client: httpx.AsyncClient = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        headers = {"X-Auth-Token": self.settings.token} if self.settings.token else {}
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=self.settings.timeout,
            transport=self.transport,
            trust_env=False,
        )
        self._empty.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled."""
        async with self._client:
            try:
                async with trio.open_nursery() as self._nursery:
                    task_status.started()
                    await trio.sleep_forever()
            finally:
                self._nursery = None

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
            known for known in reversed(queue) if known.request_id == webhook.request_id
        )
        if next(of_this_request, None) == webhook:
            return
        if len(queue) >= self.settings.max_pending and webhook.event != "roomClosed":
            logger.error(
                "outbox full, lost webhook %s", webhook.event, extra={"room": webhook.room_id}
            )
            return
        if self.pending == 0:
            self._empty = trio.Event()
        self.pending += 1
        queue.append(webhook)

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
                await self._deliver(queue[0])
                queue.popleft()
                self.pending -= 1
                if self.pending == 0:
                    self._empty.set()
        finally:
            del self._queues[room_id]

    async def _deliver(self, webhook: Webhook) -> None:
        assert self.settings.url is not None
        pause = self.settings.first_pause
        for tries_left in reversed(range(self.settings.tries)):
            try:
                answer = await self._client.post(self.settings.url, json=webhook.to_json())
                if answer.is_success:
                    return
                trouble = f"status {answer.status_code}"
                if answer.is_client_error and answer.status_code not in (408, 429):
                    tries_left = 0
            except httpx.HTTPError as error:
                trouble = repr(error)
            if tries_left == 0:
                break
            logger.warning("webhook %s: %s, trying again", webhook.event, trouble)
            with trio.move_on_after(pause):
                await self._draining.wait()
            pause = min(2 * pause, self.settings.longest_pause)
            if self._draining.is_set():
                await trio.sleep(0.05)  # the pause of all tries from now on
        logger.error("webhook %s lost: %s", webhook.event, trouble)
