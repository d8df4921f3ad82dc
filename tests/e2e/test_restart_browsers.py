"""A server that is killed under real browsers: what the people in them see of it."""

import os
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, WebSocket
from support.pages import Join, MeetingPage, make_room
from support.restarts import PATIENCE, Restarting, open_restarting

STANDSTILL = 5.0
"""Seconds for which a picture may stand still; a machine that is busy takes that long to start
Python. ``tests/bench/restart.py`` measures it.
"""
KILLS = 2
"""Other load can only add to the time: the better one of so many counts."""
SILENCE = 2.0
"""Seconds without an answer after which Chromium may call a connection disconnected (2.5)."""

# All connections of a page, and the states that they enter.
WATCH = """
window.connections = [];
window.entered = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) {
        super(...options);
        connections.push(this);
        this.addEventListener('connectionstatechange', () => entered.push(this.connectionState));
    }
};
"""


@pytest.fixture
def restarting() -> Iterator[Restarting]:
    with open_restarting() as found:
        yield found


def videos(page: MeetingPage) -> list[dict[str, object]]:
    return [one for one in page.stats() if one["kind"] == "video"]


def total(page: MeetingPage, name: str) -> float:
    return sum(float(str(one.get(name, 0))) for one in videos(page))


def gap_after_a_kill(restarting: Restarting, pages: list[MeetingPage]) -> float:
    """Seconds until the pictures of all have moved again, and everybody's signaling is back."""
    killed, start = restarting.kill(), time.monotonic()
    pages[0].pause(0.3)  # what had arrived is shown by then
    decoded = [total(page, "framesDecoded") for page in pages]
    for page, old in zip(pages, decoded, strict=True):
        until(page, lambda page=page, old=old: total(page, "framesDecoded") > old)  # type: ignore[misc]
    gap = time.monotonic() - start
    for page, old in zip(pages, decoded, strict=True):
        until(page, lambda page=page, old=old: total(page, "framesDecoded") > old + 20)  # type: ignore[misc]
        page.wait("meetTest.state().phase === 'live'")
    assert restarting.has_another(killed)
    return gap


def until(page: MeetingPage, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        page.pause(0.05)


def test_people_in_browsers_see_a_short_standstill(
    restarting: Restarting, browser: Browser, join: Join
) -> None:
    """Pictures move again, nobody has left, nothing connects anew but the websocket."""
    room = make_room(restarting.daemon, browser)
    pages = [join(room, name, script=WATCH, size=(1280, 800)) for name in ("Ada", "Bob")]
    ada, bob = pages
    for page in pages:
        page.wait_for_media(videos=1, audios=1)
    heard: list[str] = []
    for page in pages:
        page.page.on("websocket", lambda one: follow(one, heard))
    before = [state_of(page) for page in pages]
    keys = [total(page, "keyFramesDecoded") for page in pages]
    gaps: list[float] = []
    while not gaps or (gaps[-1] >= STANDSTILL and len(gaps) < KILLS):
        gaps.append(gap_after_a_kill(restarting, pages))
    until(ada, lambda: [state_of(page) for page in pages] == before)
    keys = [total(page, "keyFramesDecoded") - old for page, old in zip(pages, keys, strict=True)]
    print(f"pictures moved after {gaps} s, key frames: {keys}, load {os.getloadavg()[0]:.1f}")
    assert gaps[-1] < STANDSTILL
    states = {state for page in pages for state in entered(page)}
    assert not states & {"failed", "closed"}
    if max(gaps) < SILENCE:
        assert "disconnected" not in states
    until(ada, lambda: sum("roomBack" in text for text in heard) == 2 * len(gaps))
    assert not any(name in text for text in heard for name in ("peerClosed", "consumerClosed"))
    check_chat(ada, bob)


def state_of(page: MeetingPage) -> dict[str, object]:
    """What must be the same: who is there, what is received, and the connections."""
    state = page.state
    return {
        "peers": sorted(str(one["id"]) for one in state["peers"]),  # type: ignore[attr-defined]
        "consumers": sorted(str(one["id"]) for one in state["consumers"]),  # type: ignore[attr-defined]
        "producers": state["producers"],
        "connections": page.evaluate(
            "connections.filter(c => c.remoteDescription).map(c => c.connectionState)"
        ),
        "made": page.evaluate("connections.length"),
    }


def entered(page: MeetingPage) -> list[str]:
    found: list[str] = page.evaluate("entered")
    return found


def follow(websocket: WebSocket, heard: list[str]) -> None:
    """All that comes on a connection from now on."""
    websocket.on("framereceived", lambda frame: heard.append(str(frame)))


def check_chat(ada: MeetingPage, bob: MeetingPage) -> None:
    ada.click("chat-toggle")
    ada.page.get_by_test_id("chat-input").fill("still here?")
    ada.click("chat-send")
    bob.click("chat-toggle")
    bob.page.get_by_test_id("chat-log").get_by_text("still here?").wait_for()
