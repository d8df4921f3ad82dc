"""The reasons for which the server calls itself unhealthy."""

import attrs
import pytest
import trio
from support.live_fakes import World
from support.live_scenes import open_world
from trio.testing import MockClock

from meet_trio.engine import StatsReady
from meet_trio.lag import LoopLag
from meet_trio.live.room import LiveRoom
from meet_trio.operator.health import Health
from meet_trio.operator.settings import HealthSettings
from meet_trio.settings.about import abouts

ENGINE = "the media engine on port 44444"


@attrs.define
class FakeOutbox:
    pending: int = 0
    oldest: float | None = None
    lost_in_a_row: int = 0


def health_of(world: World, outbox: FakeOutbox | None = None, **settings: object) -> Health:
    return Health(
        HealthSettings(**settings),  # type: ignore[arg-type]
        world.registry,
        LoopLag(),
        outbox or FakeOutbox(),
    )


async def test_a_new_server_is_healthy() -> None:
    async with open_world() as world:
        assert health_of(world).reasons() == []


async def test_an_engine_that_has_failed_or_takes_no_commands() -> None:
    async with open_world(engines=2) as world:
        health = health_of(world)
        world.host.stuck_for = 2.0
        assert health.reasons() == []
        world.host.stuck_for = 3.0
        assert health.reasons() == [f"{ENGINE} has taken no commands for 3 s"]
        world.hosts[1].failure.set()
        assert len(health.reasons()) == 2
        health.settings = HealthSettings(engine_wait=5)
        assert health.reasons() == ["the media engine on port 44445 has failed"]


async def test_an_engine_that_does_not_answer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = False

    def request_stats(token: int) -> None:
        if answers:
            world.hear(StatsReady(token, {"engine": {}}))

    async with open_world() as world, trio.open_nursery() as nursery:
        monkeypatch.setattr(world.engine, "request_stats", request_stats)
        health = health_of(world)
        await nursery.start(health.run)
        await trio.sleep(5)
        assert health.reasons() == []  # one answer is missing
        await trio.sleep(5)
        assert health.reasons() == [f"{ENGINE} does not answer"]
        answers = True
        await trio.sleep(5)
        assert health.reasons() == []
        nursery.cancel_scope.cancel()


async def test_an_engine_that_is_busy(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share is that of the time between the last two answers."""
    busy = [1_000_000, 5_500_000, 10_050_000, 14_000_000]

    def request_stats(token: int) -> None:
        world.hear(StatsReady(token, {"engine": {"busy_us": busy.pop(0)}}))

    async with open_world() as world, trio.open_nursery() as nursery:
        monkeypatch.setattr(world.engine, "request_stats", request_stats)
        health = health_of(world)
        await nursery.start(health.run)
        await trio.sleep(4)
        assert health.reasons() == []  # one answer says nothing
        await trio.sleep(5)
        assert health.reasons() == []  # 90 %
        await trio.sleep(5)
        assert health.reasons() == [f"{ENGINE} is busy 91% of the time"]
        health.settings = HealthSettings(engine_busy=0.95)
        assert health.reasons() == []
        health.settings = HealthSettings(engine_busy=0.7)
        await trio.sleep(5)
        assert health.reasons() == [f"{ENGINE} is busy 79% of the time"]
        nursery.cancel_scope.cancel()


async def test_a_loop_that_is_late(autojump_clock: MockClock) -> None:
    async with open_world(engines=[]) as world, trio.open_nursery() as nursery:
        health = health_of(world)
        turns = health.lag.held
        await nursery.start(health.run)

        async def pass_seconds(number: int) -> None:
            for _ in range(number):
                health.lag._watched_earlier += 1.0
                await trio.sleep(1)

        await trio.sleep(0.5)  # between two looks at the loop
        await pass_seconds(20)
        turns.add(1.4)  # 0.9 s of the last 10 were later than half a second
        await pass_seconds(1)
        assert health.reasons() == []
        turns.add(1.4)
        assert health.reasons() == [
            "the event loop is late: tasks waited more than 0.5 s in 20% of the last 10 s"
        ]
        health.settings = HealthSettings(loop_lag_share=0.5)
        assert health.reasons() == []
        health.settings = HealthSettings(loop_lag=2.0)
        assert health.reasons() == []
        health.settings = HealthSettings()
        await pass_seconds(11)
        assert health.reasons() == []  # it is over
        nursery.cancel_scope.cancel()


async def test_webhooks_that_are_stuck(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        outbox = FakeOutbox(pending=1000, oldest=trio.current_time(), lost_in_a_row=2)
        health = health_of(world, outbox)
        await trio.sleep(300)
        assert health.reasons() == []
        outbox.pending, outbox.lost_in_a_row = 1001, 3
        await trio.sleep(1)
        assert health.reasons() == [
            "1001 webhooks wait",
            "a webhook has waited for 301 s",
            "the last 3 webhooks were not delivered",
        ]
        health.settings = HealthSettings(
            webhooks_waiting=None, webhook_age=None, webhooks_lost=None
        )
        assert health.reasons() == []


async def test_a_server_that_drains_or_shuts_down(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        async with open_world() as world:
            room: LiveRoom = await world.registry.create_room()
            nursery.start_soon(world.registry.drain, 0)
            await trio.testing.wait_all_tasks_blocked()
            health = health_of(world)
            assert health.reasons() == ["draining: no new rooms, 1 room left"]
            room.close()
        assert health.reasons() == ["shutting down"]


@pytest.mark.parametrize(("given", "read"), [("0.5", 0.5), (5, 5.0), ("0.3", None), (True, None)])
def test_the_loops_lag_is_a_bound_of_the_histogram(given: object, read: float | None) -> None:
    kind = abouts(attrs.fields(HealthSettings).loop_lag.metadata)[""].kind
    if read is None:
        with pytest.raises(ValueError, match=r"0.05, 0.1, 0.2, 0.5"):
            kind(given)
    else:
        assert kind(given) == read
