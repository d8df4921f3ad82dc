"""Browsers that reach the server only through a TURN relay: a real coturn, with the credentials
that the server computes.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from support.daemon import STOP_DEADLINE, Daemon, start_daemon
from support.pages import Join, MeetingPage, make_room
from support.turn import Turn, open_turn

SECRET = "between-the-server-and-coturn"
PROTOCOLS = ("udp", "tcp")


@pytest.fixture(scope="module")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turn]:
    with open_turn(SECRET, tmp_path_factory.mktemp("turn")) as running:
        yield running


def stop(daemon: Daemon) -> None:
    code, seconds = daemon.stop()
    assert (code, seconds < STOP_DEADLINE) == (0, True), "".join(daemon.log[-50:])
    assert "Traceback" not in "".join(daemon.log)


def paths(participant: MeetingPage) -> list[dict[str, object]]:
    found: list[dict[str, object]] = participant.page.evaluate("meetTest.transports()")
    return found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_meet_through_the_relay(
    protocol: str, turn: Turn, browser: Browser, join: Join
) -> None:
    daemon = start_daemon(TURN_SERVER=turn.url(protocol), TURN_STATIC_SECRET=SECRET)
    try:
        room = make_room(daemon, browser)
        pages = [join(room, name, ice="relay", layers="1") for name in ("Ada", "Bob")]
        for page in pages:
            page.wait_for_media(videos=1, audios=1)
        for page in pages:
            found = paths(page)
            assert sorted(str(path["direction"]) for path in found) == ["recv", "send"]
            for path in found:
                assert (path["candidateType"], path["relayProtocol"]) == ("relay", protocol), path
            # coturn logs the user of each allocation.
            me = page.state["me"]
            assert isinstance(me, dict)
            turn.wait_for_line(rf"user <\d+:{me['id']}>.*ALLOCATE processed, success")
    finally:
        stop(daemon)


def test_with_another_secret_nothing_gets_through(turn: Turn, browser: Browser, join: Join) -> None:
    daemon = start_daemon(TURN_SERVER=turn.url("udp"), TURN_STATIC_SECRET="not the relay's")
    try:
        room = make_room(daemon, browser)
        pages = [join(room, name, ice="relay", layers="1", video="0") for name in ("Ada", "Bob")]
        for page in pages:
            me = page.state["me"]
            assert isinstance(me, dict)
            turn.wait_for_line(rf"user <\d+:{me['id']}>.*error 401")
        for page in pages:
            # Signaling works, so the tracks are known; the page reports that no media comes.
            page.page.get_by_test_id("banner").get_by_text("Sound and picture").wait_for()
            assert [s["packetsReceived"] for s in page.stats() if "packetsReceived" in s] in (
                [],
                [0],
            )
            assert {path["dtlsState"] for path in paths(page)} == {"new"}
            assert all("candidateType" not in path for path in paths(page))
    finally:
        stop(daemon)
