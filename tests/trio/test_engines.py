"""The Trio task beside an engine: it handles events, and an engine that is too busy."""

import contextlib
import itertools
import os

import attrs
import pytest
import trio
import trio.testing
from support.stalled_engine import stalled

from meet_trio.engine import DtlsDatagram, EngineEvent, EngineSettings, IceSilent, StatsReady
from meet_trio.media import engines
from meet_trio.media.engines import EngineHost, TransportEvent, hold_all, open_engine


def fill(host: EngineHost) -> None:
    """Give commands without effect until commands wait."""
    while not host.engine.waiting:
        host.engine.request_keyframe(1)


async def test_commands_that_wait_are_given_as_soon_as_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "COMMAND_DEADLINE", 10_000)  # no polling; the engine reports room
    async with open_engine(EngineSettings(), itertools.count(1)) as host:
        with stalled(host.engine):
            fill(host)
            for number in range(5000):
                host.engine.add_transport(number, f"ours{number}", "secret")
            await trio.sleep(0.1)
            assert host.engine.waiting > 5000
            assert not host.failed
        with trio.fail_after(10):
            while host.engine.waiting:
                await trio.sleep(0.001)
        stats = await host.stats()
        assert len(stats["transports"]) == 5000


async def test_figures_are_not_waited_for_longer_while_commands_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "STATS_DEADLINE", 0.1)
    async with open_engine(EngineSettings(), itertools.count(1)) as host:
        with stalled(host.engine):
            fill(host)
            before = host.engine.waiting
            for _ in range(3):
                with pytest.raises(engines.EngineError, match="does not answer"):
                    await host.stats()
            assert host.engine.waiting == before + 1
            assert not any(host.object_counts().values())
        with trio.fail_after(10):
            while host.engine.waiting:
                await trio.sleep(0.001)
        assert await host.stats()


async def test_an_engine_that_takes_no_commands_for_long_has_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engines, "COMMAND_DEADLINE", 0.2)
    async with open_engine(EngineSettings(), itertools.count(1)) as host:
        with stalled(host.engine):
            await trio.sleep(0.4)
            assert not host.failed  # there was nothing to take
            fill(host)
            with trio.fail_after(10):
                await host.failure.wait()
            assert host.engine.waiting == 0
            with pytest.raises(engines.EngineError, match="failed"):
                await host.stats()
    assert "taken no commands" in caplog.text


@attrs.define(eq=False)
class Teller:
    """An engine that reports the events in ``says`` once."""

    says: list[EngineEvent]
    port: int = 1
    waiting: int = 0
    event_fd: int = attrs.field(factory=lambda: os.eventfd(1))

    def read_events(self) -> list[EngineEvent]:
        os.eventfd_read(self.event_fd)
        return self.says

    def request_stats(self, token: int) -> None:
        pass


async def test_a_fault_in_hearing_of_one_transport_is_not_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = trio.Event()

    class Deaf:
        def handle_engine_event(self, event: TransportEvent) -> None:
            raise ZeroDivisionError

    class Listener:
        def handle_engine_event(self, event: TransportEvent) -> None:
            heard.set()

    teller = Teller([IceSilent(1), IceSilent(2)])
    host = EngineHost(teller, itertools.count(1))  # type: ignore[arg-type]
    host.watch_transport(1, Deaf())
    host.watch_transport(2, Listener())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.run)
        with trio.fail_after(5):
            await heard.wait()
        nursery.cancel_scope.cancel()
    os.close(teller.event_fd)
    assert "IceSilent(transport=1) is lost" in caplog.text


async def test_handshakes_leave_the_others_their_turns() -> None:
    """However many clients begin theirs at the same moment."""
    count, most = 100, 4
    taken: list[int] = []
    since_others_ran = 0

    class Shaking:
        def handle_engine_event(self, event: TransportEvent) -> None:
            nonlocal since_others_ran
            since_others_ran += 1
            taken.append(since_others_ran)

    async def others() -> None:
        nonlocal since_others_ran
        while True:
            await trio.lowlevel.checkpoint()
            since_others_ran = 0

    teller = Teller([DtlsDatagram(1, b"hello") for _ in range(count)])
    host = EngineHost(teller, itertools.count(1))  # type: ignore[arg-type]
    host.watch_transport(1, Shaking())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        nursery.start_soon(host.run)
        with trio.fail_after(5):
            while len(taken) < count:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    os.close(teller.event_fd)
    assert len(taken) == count
    # Tasks run in any order: one turn's first and the next one's last follow each other.
    assert max(taken) <= 2 * most


async def test_figures_that_were_asked_for_later_will_do_and_earlier_ones_will_not() -> None:
    answered: list[int] = []
    teller = Teller([])
    host = EngineHost(teller, itertools.count(1))  # type: ignore[arg-type]

    async def ask(number: int) -> None:
        with contextlib.suppress(engines.EngineError):
            await host.stats()
            answered.append(number)

    async with trio.open_nursery() as nursery:
        for number in (1, 2, 3):
            nursery.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
        host._dispatch(StatsReady(2, {}))
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(answered) == [1, 2]
        nursery.cancel_scope.cancel()
    os.close(teller.event_fd)


async def test_all_engines_are_held_and_begin_again_if_one_does_not_answer() -> None:
    numbers = itertools.count(1)
    async with (
        open_engine(EngineSettings(), numbers) as one,
        open_engine(EngineSettings(), numbers, 1) as other,
    ):
        hold_all([one, other], 5)
        before = [(await host.stats())["engine"]["turns"] for host in (one, other)]
        await trio.sleep(0.5)  # a tick is due ten times a second
        after = [(await host.stats())["engine"]["turns"] for host in (one, other)]
        assert all(b - a < 5 for a, b in zip(before, after, strict=True))
        for host in (one, other):
            host.engine.begin()
        with stalled(other.engine), pytest.raises(engines.EngineError, match="does not answer"):
            hold_all([one, other], 0.1)
        assert not any(one.object_counts().values())
        turns = (await one.stats())["engine"]["turns"]
        await trio.sleep(1)
        assert (await one.stats())["engine"]["turns"] > turns + 4
