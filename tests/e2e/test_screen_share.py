"""Sharing a screen in real browsers. With its fake devices Chromium shares an artificial screen,
picture and sound, without asking.
"""

from support.pages import Join, MeetingPage

WATCHED = """meetTest.stats().then(all => all.find(s =>
    s.source === '{source}' && s.kind === 'video' && s.framesDecoded > {more}))"""


def watch(page: MeetingPage, source: str, more: int = 0) -> dict[str, object]:
    """The statistics of a video at ``page``, once more than ``more`` frames of it were shown."""
    condition = WATCHED.format(source=source, more=more)
    page.wait(condition)
    found: dict[str, object] = page.page.evaluate(condition)
    return found


def shown(page: MeetingPage) -> int:
    """The number of tiles with other people's screens."""
    return page.page.locator("[data-testid^=tile-screen-]").count()


GONE = "meetTest.state().consumers.every(c => c.source !== 'screen')"


def test_a_screen_is_shared_beside_the_camera(room: str, join: Join) -> None:
    ada, bob = join(room, "Ada", size=(1280, 800)), join(room, "Bob", size=(1280, 800))
    bob.wait_for_media(videos=1, audios=1)
    assert shown(bob) == 0
    ada.click("screen-toggle")
    screen = watch(bob, "screen")
    assert screen["peerId"] == ada.page.evaluate("meetTest.state().me.id")
    bob.wait_for_media(videos=2, audios=2)  # its sound is separate from the microphone's
    assert shown(bob) == 1
    bob.screenshot("screen-shared")
    # The camera goes on, also for a late joiner.
    camera = watch(bob, "webcam")
    watch(bob, "webcam", int(str(camera["framesDecoded"])) + 5)
    cy = join(room, "Cy", video="0", audio="0")
    watch(cy, "screen")
    watch(cy, "webcam")
    # Sharing stops, and starts again.
    ada.click("screen-toggle")
    for page in (bob, cy):
        page.wait(GONE)
    assert shown(bob) == 0
    ada.click("screen-toggle")
    again = watch(bob, "screen", 5)
    assert again["id"] != screen["id"]
    # The screen ends with its owner.
    ada.click("leave-button")
    bob.wait(f"{GONE} && meetTest.state().peers.length === 1")


def test_who_may_publish_no_more_stops_sharing(room: str, join: Join) -> None:
    ada, bob = join(room, "Ada", size=(1280, 800)), join(room, "Bob", size=(1280, 800))
    bob.click("screen-toggle")
    watch(ada, "screen")
    peer = ada.page.evaluate("meetTest.state().peers[0].id")
    ada.click("people-toggle")
    ada.click(f"more-{peer}")
    ada.click(f"publisher-{peer}")
    ada.wait("meetTest.state().consumers.length === 0")
    bob.wait("meetTest.state().producers.length === 0")
    assert bob.page.get_by_test_id("screen-toggle").is_disabled()
    assert shown(ada) == 0
