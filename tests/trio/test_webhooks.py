"""The outbox against a receiver in memory, with a clock that jumps."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping

import attrs
import httpx
import pytest
import trio
import trio.testing
from support.kept_worlds import DictStore

from meet_trio.edge.settings import WebhookSettings
from meet_trio.edge.webhooks import Outbox, WebhookRecord
from meet_trio.records import RecordStore, read_records
from meet_trio.room import Webhook

SETTINGS = WebhookSettings(url="http://kolab.test/hook", token="secret")


class Receiver:
    """Answers the n-th request with ``answer(n)``: a status, or an exception to raise."""

    def __init__(self, answer: Callable[[int], int | Exception]) -> None:
        self.bodies: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.keys: list[str] = []
        self.times: list[float] = []
        self._answer = answer

    async def handle(self, request: httpx.Request) -> httpx.Response:
        n = len(self.bodies)
        self.bodies.append(json.loads(request.content))
        self.tokens.append(request.headers.get("x-auth-token"))
        self.keys.append(request.headers["idempotency-key"])
        self.times.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        answer = self._answer(n)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)


@contextlib.asynccontextmanager
async def open_outbox(
    receiver: Receiver,
    settings: WebhookSettings = SETTINGS,
    store: RecordStore | None = None,
    entries: Mapping[str, bytes] | None = None,
) -> AsyncIterator[Outbox]:
    """``entries``: what an earlier process has kept."""
    outbox = Outbox(settings, httpx.MockTransport(receiver.handle), store)
    if entries is not None:
        records = read_records(entries, {"webhook": WebhookRecord}, [])
        outbox.resume(record for record in records if isinstance(record, WebhookRecord))
    async with trio.open_nursery() as nursery:
        await nursery.start(outbox.run)
        yield outbox
        nursery.cancel_scope.cancel()


def hook(room: str, request: str) -> Webhook:
    return Webhook("joinRequestAccepted", room, request)


async def test_delivers_in_order_with_the_token(autojump_clock: trio.testing.MockClock) -> None:
    receiver = Receiver(lambda n: 200)
    async with open_outbox(receiver) as outbox:
        for i in range(5):
            outbox.put(hook("a", str(i)))
        outbox.put(Webhook("roomClosed", "a"))
        await trio.sleep(1)
        assert outbox.pending == 0
    assert [body.get("requestId") for body in receiver.bodies] == ["0", "1", "2", "3", "4", None]
    assert receiver.bodies[-1] == {"roomId": "a", "event": "roomClosed"}
    assert set(receiver.tokens) == {"secret"}


async def test_tries_again_with_growing_pauses(autojump_clock: trio.testing.MockClock) -> None:
    receiver = Receiver(lambda n: [500, httpx.ConnectError("refused"), 503, 204][n])
    async with open_outbox(receiver) as outbox:
        outbox.put(hook("a", "1"))
        await trio.sleep(100)
        assert outbox.pending == 0
    assert outbox.results == {"tried_again": 3, "sent": 1}
    pauses = [round(b - a, 3) for a, b in zip(receiver.times, receiver.times[1:], strict=False)]
    assert pauses == [1, 2, 4]


async def test_a_refusal_is_final_and_the_next_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    receiver = Receiver(lambda n: [400, 200][n])
    async with open_outbox(receiver) as outbox:
        outbox.put(hook("a", "1"))
        outbox.put(hook("a", "2"))
        await trio.sleep(1)
    assert [body["requestId"] for body in receiver.bodies] == ["1", "2"]
    assert outbox.results == {"lost": 1, "sent": 1}


async def test_rooms_do_not_wait_for_each_other(autojump_clock: trio.testing.MockClock) -> None:
    receiver = Receiver(lambda n: 500 if n == 0 else 200)
    async with open_outbox(receiver) as outbox:
        outbox.put(hook("stuck", "1"))
        await trio.testing.wait_all_tasks_blocked()
        outbox.put(hook("free", "2"))
        await trio.sleep(0.5)
        assert [body["roomId"] for body in receiver.bodies] == ["stuck", "free"]
        assert outbox.pending == 1


async def test_each_room_has_places_of_its_own(autojump_clock: trio.testing.MockClock) -> None:
    slow = trio.Event()

    class Slow(Receiver):
        async def handle(self, request: httpx.Request) -> httpx.Response:
            await slow.wait()
            return await super().handle(request)

    receiver = Slow(lambda n: 200)
    settings = WebhookSettings(url=SETTINGS.url, max_pending=3)
    async with open_outbox(receiver, settings) as outbox:
        for i in range(20_000):
            outbox.put(hook("greedy", str(i)))
        outbox.put(hook("modest", "a"))
        for _ in range(2):
            outbox.put(Webhook("roomClosed", "greedy"))
        assert outbox.pending == 5
        slow.set()
        await trio.sleep(1)
        assert outbox.pending == 0
    told = [(body["roomId"], body.get("requestId")) for body in receiver.bodies]
    assert [request for room, request in told if room == "greedy"] == ["0", "1", "2", None]
    assert ("modest", "a") in told
    assert set(receiver.tokens) == {None}
    assert outbox.results == {"dropped": 20_000 - 3, "sent": 5}


async def test_the_same_answer_does_not_wait_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    receiver = Receiver(lambda n: 200)
    deny = Webhook("joinRequestDenied", "a", "1")
    async with open_outbox(receiver) as outbox:
        for webhook in (hook("a", "1"), hook("a", "2"), hook("a", "1"), deny, deny, hook("a", "1")):
            outbox.put(webhook)
        await trio.sleep(1)
    # The final answer to a request is delivered last.
    assert [(body["requestId"], body["event"][11:]) for body in receiver.bodies] == [
        ("1", "Accepted"),
        ("2", "Accepted"),
        ("1", "Denied"),
        ("1", "Accepted"),
    ]


async def test_drain_skips_the_pauses_and_ends(autojump_clock: trio.testing.MockClock) -> None:
    receiver = Receiver(lambda n: 500 if n < 3 else 200)
    async with open_outbox(receiver) as outbox:
        outbox.put(hook("a", "1"))
        await trio.sleep(0.5)
        start = trio.current_time()
        await outbox.drain(start + 10)
        assert outbox.pending == 0
        assert trio.current_time() - start < 1
    dead = Receiver(lambda n: 500)
    async with open_outbox(dead) as outbox:
        outbox.put(hook("a", "1"))
        start = trio.current_time()
        await outbox.drain(start + 0.1)
        assert outbox.pending == 1
        assert trio.current_time() - start < 0.2


async def test_without_url_nothing_is_kept() -> None:
    receiver = Receiver(lambda n: 200)
    async with open_outbox(receiver, WebhookSettings()) as outbox:
        outbox.put(hook("a", "1"))
        assert outbox.pending == 0
    assert receiver.bodies == []


async def test_what_health_looks_at(autojump_clock: trio.testing.MockClock) -> None:
    answers = [400, 400, 500, 200, 200, 200]
    receiver = Receiver(lambda n: answers[n])
    async with open_outbox(receiver) as outbox:
        assert (outbox.pending, outbox.oldest, outbox.lost_in_a_row) == (0, None, 0)
        put = trio.current_time()
        for i in range(4):
            outbox.put(hook("a", str(i)))
        assert (outbox.pending, outbox.oldest) == (4, put)
        await trio.sleep(0.5)
        assert (outbox.pending, outbox.oldest, outbox.lost_in_a_row) == (2, put, 2)
        outbox.put(hook("b", "1"))
        await trio.sleep(5)
        assert (outbox.pending, outbox.oldest, outbox.lost_in_a_row) == (0, None, 0)


async def test_each_try_uses_the_settings_in_force(
    autojump_clock: trio.testing.MockClock,
) -> None:
    receiver = Receiver(lambda n: 500 if n < 2 else 200)
    async with open_outbox(receiver) as outbox:
        outbox.put(hook("a", "1"))
        await trio.sleep(0.5)
        outbox.settings = WebhookSettings(url="http://kolab.test/hook", token="new")
        await trio.sleep(1)
        outbox.settings = WebhookSettings(url="http://kolab.test/hook")
        await trio.sleep(5)
        assert receiver.tokens == ["secret", "new", None]
        # no receiver any more: what waits is lost, and nothing new is taken
        outbox.settings = SETTINGS
        receiver._answer = lambda n: 500
        outbox.put(hook("a", "2"))
        await trio.sleep(0.5)
        outbox.settings = WebhookSettings()
        await trio.sleep(60)
        assert (outbox.pending, outbox.lost_in_a_row, len(receiver.bodies)) == (0, 1, 4)
        outbox.put(hook("a", "3"))
        assert outbox.pending == 0


async def test_what_was_not_delivered_is_delivered_by_the_next_process(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """In order, with the same keys, and then no more."""
    store = DictStore()
    deaf = Receiver(lambda n: 200 if deaf.bodies[n].get("requestId") == "1" else 503)
    receiver = Receiver(lambda n: 200)
    async with open_outbox(deaf, store=store) as outbox:
        for room, request in ("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"):
            outbox.put(hook(room, request))
        outbox.announce(Webhook("roomClosed", "a"))
        outbox.put(Webhook("roomClosed", "a", quality={"peerMinutes": 1.5}))
        outbox.announce(Webhook("roomClosed", "b"))
        await trio.sleep(5)
        kept = dict(store.written)
    store = DictStore()
    async with open_outbox(receiver, store=store, entries=kept) as outbox:
        assert outbox.pending == 5
        outbox.put(hook("a", "5"))
        assert set(store.written) == {*kept, "webhook/6"}
        await trio.sleep(1)
        assert store.written == {}
    of_room = {
        room: [(b["event"], b.get("requestId")) for b in receiver.bodies if b["roomId"] == room]
        for room in "ab"
    }
    accepted = "joinRequestAccepted"
    assert of_room == {
        "a": [(accepted, "2"), (accepted, "4"), ("roomClosed", None), (accepted, "5")],
        "b": [(accepted, "3"), ("roomClosed", None)],
    }
    assert {"peerMinutes": 1.5} in [body.get("quality") for body in receiver.bodies]
    # the key of each event is its own, and the same in all posts
    assert len(set(deaf.keys)) == 3
    assert len(set(deaf.keys) & set(receiver.keys)) == 2
    assert len(set(receiver.keys)) == 6
    assert all(key[0] == key[-1] == '"' for key in receiver.keys)


async def test_what_is_given_up_is_kept_no_longer(autojump_clock: trio.testing.MockClock) -> None:
    store, receiver = DictStore(), Receiver(lambda n: 400)
    async with open_outbox(receiver, store=store) as outbox:
        outbox.put(hook("a", "1"))
        assert len(store.written) == 1  # before anybody hears of it
        await trio.sleep(1)
        assert store.written == {}


async def test_without_url_nothing_is_resumed(autojump_clock: trio.testing.MockClock) -> None:
    store = DictStore()
    async with open_outbox(Receiver(lambda n: 503), store=store) as outbox:
        outbox.put(hook("a", "1"))
        kept = dict(store.written)
    settings = attrs.evolve(SETTINGS, url=None)
    async with open_outbox(Receiver(lambda n: 200), settings, DictStore(), kept) as outbox:
        assert outbox.pending == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", -1),
        ("number", "x"),
        ("number", None),
        ("id", None),
        ("id", "a\r\nX-Auth-Token: x"),
        ("id", "x" * 300),
        ("event", "roomOpened"),
        ("event", None),
        ("roomId", ""),
        ("roomId", 5),
        ("requestId", 5),
        ("quality", "x" * 200_000),
        ("version", 2),
    ],
)
def test_a_damaged_record_is_left_out(
    field: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    record = WebhookRecord(7, "id", Webhook("joinRequestDenied", "a", "5", {"x": 1}))
    good = json.loads(record.to_json())
    entries = {"webhook/7": json.dumps({**good, field: value}).encode()}
    assert list(read_records(entries, {"webhook": WebhookRecord}, [])) == []
    assert f"left out: webhook/7: webhook: {field}: " in caplog.text
    entries = {"webhook/7": record.to_json(), "webhook/8": record.to_json()}
    assert list(read_records(entries, {"webhook": WebhookRecord}, [])) == [record]
    assert "left out: webhook/8: it is the record of webhook/7" in caplog.text
