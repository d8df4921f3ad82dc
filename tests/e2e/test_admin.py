"""The admin page in Chromium, beside a real meeting, with the keyboard alone."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from support.daemon import Daemon
from support.pages import Join
from support.wire.pcapng import read_pcapng

TOKEN = "the-operators-own-token"


@pytest.fixture(scope="module")
def daemon_flags() -> tuple[str, ...]:
    return ("--admin-token", TOKEN, "--admin-trace")


def tab_to(page: Page, name: str, most: int = 40) -> None:
    """Press Tab until the focus is on what is called so."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(
            """name => {
                const focused = document.activeElement;
                const called = focused.getAttribute('aria-label') ?? focused.textContent.trim();
                return called === name && focused.matches(':focus-visible');
            }""",
            name,
        ):
            return
    pytest.fail(f"Tab does not reach {name!r}")


def test_an_operator_with_a_keyboard(
    daemon: Daemon, browser: Browser, room: str, join: Join, tmp_path: Path
) -> None:
    ada = join(room, "Ada")
    bob = join(room, "Bob", video="0")
    bob.wait_for_media(videos=1, audios=1)
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Policy" in said.text else None)
    keys = page.keyboard

    page.goto(f"{daemon.url}admin")
    page.get_by_test_id("token").wait_for()
    keys.type("not the token")
    keys.press("Enter")
    expect(page.get_by_test_id("login-problem")).to_have_text("The token is wrong.")
    keys.type(TOKEN)
    keys.press("Enter")

    # two peers with media
    rooms = page.get_by_test_id("rooms")
    expect(rooms.locator("tbody tr")).to_have_count(1)
    expect(rooms.locator("[data-label=Peers]")).to_have_text("2")
    expect(rooms.locator("[data-label=In]")).to_have_text(re.compile(r"\d [kM]"))
    tab_to(page, room.rpartition("/")[2][:8])
    keys.press("Enter")
    peers = page.get_by_test_id("peers")
    expect(peers.locator(".row-link b")).to_have_text(["Ada", "Bob"])
    expect(peers.locator("[data-label=Sends]").first).to_have_text("miccamera")
    expect(page.locator(".plot polyline").first).to_have_attribute("points", re.compile(r" .* "))
    keys.press("/")
    keys.type("bob")
    expect(peers.locator("tbody tr")).to_have_count(1)
    keys.press("Control+a")
    keys.press("Delete")
    expect(peers.locator("tbody tr")).to_have_count(2)

    # why Bob gets what he gets
    tab_to(page, "Ada")
    keys.press("ArrowDown")
    keys.press("Enter")
    consumers = page.get_by_test_id("consumers")
    camera = consumers.locator("tr", has_text="camera")
    expect(camera.locator("[data-label=Layer]")).to_have_text(re.compile(r"\d of 3"))
    tab_to(page, "Explain camera of Ada")
    keys.press("Enter")
    expect(page.get_by_test_id("explanation")).to_contain_text(
        re.compile(r"Bob \(\w{8}\) gets the camera of Ada")
    )

    # a trace
    button = page.get_by_role("button", name="Trace transport").first
    tab_to(page, str(button.get_attribute("aria-label")))
    keys.press("Enter")
    expect(page.get_by_test_id("confirm-field")).to_be_focused()
    keys.press("Control+a")
    keys.type("1")
    with page.expect_download() as download:
        keys.press("Enter")
    download.value.save_as(tmp_path / "trace.pcapng")
    assert len(read_pcapng((tmp_path / "trace.pcapng").read_bytes()).packets) > 20

    # kick him: Escape does nothing, Enter does it
    tab_to(page, "Kick…")
    keys.press("Enter")
    page.get_by_test_id("confirm").wait_for()
    keys.press("Escape")
    page.get_by_test_id("confirm").wait_for(state="detached")
    expect(page.get_by_test_id("kick")).to_be_focused()
    keys.press("Enter")
    keys.type("no longer invited")
    keys.press("Enter")
    bob.wait("meetTest.state().ending === 'kicked'")
    expect(page.get_by_test_id("gone")).to_be_visible()

    # close the room
    keys.press("Escape")
    expect(peers.locator("tbody tr")).to_have_count(1)
    tab_to(page, "Close the room…")
    keys.press("Enter")
    expect(page.get_by_test_id("confirm-yes")).to_be_focused()
    keys.press("Enter")
    ada.wait("meetTest.state().phase === 'over'")
    keys.press("Escape")
    expect(page.get_by_text("There are no rooms now.")).to_be_visible()

    # the server does not answer for a moment
    context.set_offline(True)
    expect(page.get_by_test_id("trouble")).to_contain_text("The server does not answer.")
    context.set_offline(False)
    expect(page.get_by_test_id("health")).to_have_text("Healthy")

    # in demo mode it answers to no other names
    foreign = context.request.get(f"{daemon.url}admin", headers={"host": "evil.test"})
    assert foreign.status == 421

    # the session ends, and the page says so
    context.clear_cookies()
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    assert not problems
    assert any("kicked peer" in line and "session 1" in line for line in daemon.log)
    context.close()
