"""Media paths between real browsers and the server: addresses, protocols, engines."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser
from support.daemon import Daemon, start_daemon
from support.pages import Join, MeetingPage, make_room, nothing_lost


@contextmanager
def daemon_with(*flags: str) -> Iterator[Daemon]:
    daemon = start_daemon(*flags)
    try:
        yield daemon
    finally:
        code, _ = daemon.stop()
    log = "".join(daemon.log)
    assert code == 0, log
    assert "Traceback" not in log, log


def meet(join: Join, room: str, count: int = 2, **query: str) -> list[MeetingPage]:
    """Open pages of people who see and hear each other."""
    pages = [join(room, f"P{number}", layers="2", **query) for number in range(count)]
    for page in pages:
        page.wait_for_media(videos=count - 1, audios=count - 1)
    return pages


def paths(page: MeetingPage) -> list[tuple[str, str]]:
    """The protocol and the server's address of each transport."""
    # Media may flow over a pair of candidates before the browser has nominated it.
    page.wait("meetTest.transports().then(all => all.every(t => t.protocol && t.serverAddress))")
    transports = page.page.evaluate("meetTest.transports()")
    assert len(transports) == 2
    return [(t["protocol"], t["serverAddress"]) for t in transports]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (("--media-announced-address", "localhost"), {"127.0.0.1"}),
        (("--media-listen-ip", "::1"), {"::1"}),
        (("--media-listen-ip", "127.0.0.1,::1"), {"127.0.0.1", "::1"}),
    ],
    ids=["name", "ipv6", "dual-stack"],
)
def test_browsers_find_the_server_by(
    browser: Browser, join: Join, flags: tuple[str, ...], wanted: set[str]
) -> None:
    with daemon_with(*flags) as daemon:
        for page in meet(join, make_room(daemon, browser)):
            for protocol, address in paths(page):
                assert protocol == "udp"
                assert address in wanted


def test_browsers_meet_over_tcp(browser: Browser, join: Join) -> None:
    with daemon_with() as daemon:
        pages = meet(join, make_room(daemon, browser), ice="tcp")
        for page in pages:
            assert {protocol for protocol, _ in paths(page)} == {"tcp"}
            assert all(s["packetsLost"] == 0 for s in page.stats())


def test_one_room_on_three_engines(browser: Browser, join: Join) -> None:
    flags = ("--media-workers", "3", "--rooms-spread-size", "1")
    pages: list[MeetingPage] = []
    with daemon_with(*flags) as daemon, nothing_lost(pages):
        room = make_room(daemon, browser)
        pages += meet(join, room, count=3)
        # A camera is turned off and on again, and a person leaves and comes back: the other engines
        # follow.
        pages[0].click("cam-toggle")
        for page in pages[1:]:
            page.wait("meetTest.state().consumers.some(c => c.kind === 'video' && c.paused)")
        pages[0].click("cam-toggle")
        pages[1].click("leave-button")
        pages[1].click("rejoin-button")
        pages[1].wait("window.meetTest && meetTest.state().joined")
        for page in pages:
            page.wait_for_media(videos=2, audios=2)
        pages[2].screenshot("three-engines")
