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

# All connections of a page, the states that they enter, and the longest time between two pictures
# of each video since ``pictures`` was emptied.
WATCH = """
window.connections = [];
window.entered = [];
window.pictures = {};
window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) {
        super(...options);
        connections.push(this);
        this.addEventListener('connectionstatechange', () => entered.push(this.connectionState));
    }
};
const seen = new WeakSet();
const follow = video => {
    let last = null;
    const picture = now => {
        const found = pictures[video.srcObject?.id] ??= {count: 0, longest: 0};
        if (found.count++ && last !== null) found.longest = Math.max(found.longest, now - last);
        last = now;
        video.requestVideoFrameCallback(picture);
    };
    video.requestVideoFrameCallback(picture);
};
setInterval(() => {
    for (const video of document.querySelectorAll('video')) {
        if (!seen.has(video)) { seen.add(video); follow(video); }
    }
}, 50);
"""


@pytest.fixture
def restarting() -> Iterator[Restarting]:
    with open_restarting() as found:
        yield found


def videos(page: MeetingPage) -> list[dict[str, object]]:
    return [one for one in page.stats() if one["kind"] == "video"]


def total(page: MeetingPage, name: str) -> int:
    return sum(int(str(one.get(name, 0))) for one in videos(page))


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
    keys = sum(total(page, "keyFramesDecoded") for page in pages)
    for page in pages:
        page.evaluate("window.pictures = {}")
    killed = restarting.kill()
    for page, decoded in [(page, total(page, "framesDecoded")) for page in pages]:
        until(page, lambda page=page, old=decoded: total(page, "framesDecoded") > old + 20)  # type: ignore[misc]
        page.wait("meetTest.state().phase === 'live'")
    assert restarting.has_another(killed)
    assert [state_of(page) for page in pages] == before
    assert all(not {"disconnected", "failed", "closed"} & set(entered(page)) for page in pages)
    longest = [page.evaluate("Object.values(pictures).map(one => one.longest)") for page in pages]
    print(f"longest standstill of each video, ms: {longest}, load {os.getloadavg()[0]:.1f}")
    print(
        "key frames since:", total(ada, "keyFramesDecoded") + total(bob, "keyFramesDecoded") - keys
    )
    assert max(one for of_page in longest for one in of_page) < 1000 * STANDSTILL
    until(ada, lambda: sum("roomBack" in text for text in heard) == 2)
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
