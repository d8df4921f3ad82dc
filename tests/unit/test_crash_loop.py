"""When crashes are a loop, with a clock of its own."""

from meet_trio.supervisor.crash_loop import AGAIN, CLEAN, GIVE_UP, CrashLoop


def crash(loop: CrashLoop, *times: float) -> list[str]:
    """Crashes at ``times``, each of a server that started just then."""
    found = []
    for now in times:
        loop.started(now)
        found.append(loop.crashed(now))
    return found


def test_three_crashes_in_a_minute_lead_to_a_clean_start() -> None:
    loop = CrashLoop()
    assert crash(loop, 0, 30) == [AGAIN, AGAIN]
    assert not loop.clean
    assert crash(loop, 59.9) == [CLEAN]
    assert loop.clean


def test_rare_crashes_are_no_loop() -> None:
    assert crash(CrashLoop(), *range(0, 1000, 30)) == [AGAIN] * 34


def test_a_clean_server_that_crashes_in_a_loop_is_the_end() -> None:
    loop = CrashLoop()
    assert crash(loop, 0, 1, 2) == [AGAIN, AGAIN, CLEAN]
    assert crash(loop, 3, 4, 5) == [CLEAN, CLEAN, GIVE_UP]


def test_a_clean_server_that_lives_ends_the_loop() -> None:
    loop = CrashLoop()
    crash(loop, 0, 1, 2)
    loop.started(2)
    assert loop.crashed(62) == AGAIN
    assert not loop.clean
    assert crash(loop, 63, 64) == [AGAIN, CLEAN]
