"""Fixtures with a real daemon and real browsers, for tests that a user could make by hand."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.link import compile_emulator
from playwright.sync_api import Browser, Playwright, sync_playwright
from support.daemon import STOP_DEADLINE, Daemon, start_daemon
from support.pages import CHROMIUM, CHROMIUM_FLAGS, Join, MeetingPage, make_room


@pytest.fixture(scope="module")
def daemon_flags() -> tuple[str, ...]:
    """Flags that a file's daemon is started with; a file may override the fixture."""
    return ()


@pytest.fixture(scope="module")
def daemon(daemon_flags: tuple[str, ...]) -> Iterator[Daemon]:
    """One daemon for the tests of a file; it must end in time, with exit code 0."""
    running = start_daemon(*daemon_flags)
    yield running
    code, seconds = running.stop()
    tracebacks = [line for line in running.log if "Traceback" in line]
    assert (code, tracebacks) == (0, []), "".join(running.log[-80:])
    assert seconds < STOP_DEADLINE


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Playwright for the tests of one file, so that its event loop has ended when other files need
    one.
    """
    # Tests of the server import trio-asyncio, whose policy makes loops that Playwright cannot use.
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    try:
        with sync_playwright() as running:
            yield running
    finally:
        asyncio.set_event_loop_policy(None)


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    running = playwright.chromium.launch(
        executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS), ignore_default_args=["--mute-audio"]
    )
    yield running
    running.close()


@pytest.fixture
def join(browser: Browser) -> Iterator[Join]:
    with open_join(browser) as enter:
        yield enter


@contextlib.contextmanager
def open_join(browser: Browser) -> Iterator[Join]:
    """``join(url, name, **query)`` opens a page in a browser context of its own and joins the
    meeting. ``script`` runs in the page before its own. Small pages get the highest layers, unless
    ``wishes`` is "1".
    """
    contexts = []

    def enter(
        url: str,
        name: str,
        *,
        browser: Browser = browser,
        wait: bool = True,
        size: tuple[int, int] = (640, 400),  # drawing is done in software too
        script: str | None = None,
        **query: str,
    ) -> MeetingPage:
        context = browser.new_context(
            permissions=["camera", "microphone"],
            viewport={"width": size[0], "height": size[1]},
            ignore_https_errors=True,
        )
        contexts.append(context)
        if script is not None:
            context.add_init_script(script)
        page = context.new_page()
        options = {"autojoin": "1", "name": name, "wishes": "0", **query}
        page.goto(f"{url}?" + "&".join(f"{key}={value}" for key, value in options.items()))
        participant = MeetingPage(page)
        if wait:
            participant.wait("window.meetTest && meetTest.state().joined")
        return participant

    yield enter
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def link_emulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that emulates a bad network, see ``link.py``."""
    return compile_emulator(tmp_path_factory.mktemp("link"))


@pytest.fixture
def room(daemon: Daemon, browser: Browser) -> str:
    return make_room(daemon, browser)
