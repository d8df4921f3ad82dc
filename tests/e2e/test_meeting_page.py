"""What the meeting page offers to the person in front of it: one test for each part."""

from playwright.sync_api import Browser
from support.daemon import Daemon, token_of
from support.pages import Join


def test_the_page_speaks_the_browsers_language_until_another_is_chosen(
    daemon: Daemon, browser: Browser
) -> None:
    context = browser.new_context(locale="de-AT")
    page = context.new_page()
    page.goto(daemon.url)
    page.get_by_role("button", name="Besprechung beginnen").wait_for()
    assert page.evaluate("document.documentElement.lang") == "de"
    page.get_by_test_id("link-input").fill("nothing")
    page.get_by_test_id("link-join").click()
    page.get_by_text("Das sieht nicht wie ein Link").wait_for()
    page.get_by_test_id("language-select").select_option("fr")
    page.get_by_text("Cela ne ressemble pas à un lien").wait_for()  # what was said follows
    assert page.evaluate("document.documentElement.lang") == "fr"
    page.reload()
    page.get_by_role("button", name="Ouvrir une réunion").wait_for()
    context.close()


def test_a_call_to_oneself_says_what_others_will_hear_and_see(room: str, join: Join) -> None:
    ada = join(room, "Ada", wait=False, autojoin="0", size=(1280, 900))
    ada.click("trial-button")
    ada.shows("found-mic", "Your microphone is heard.")
    ada.shows("found-cam", "Your camera is seen.")
    ada.shows("found-net", "Your network is fine: directly by UDP")
    ada.screenshot("trial")
    ada.click("mic-toggle")
    ada.shows("found-mic", "Your microphone is off.")
    ada.click("trial-stop")
    ada.page.get_by_test_id("trial").wait_for(state="detached")
    ada.click("join-button")
    ada.wait("meetTest.state().joined && meetTest.state().peers.length === 0")


# Devices that the test pulls out and plugs in: `pull(id)`, `plug(id)`.
DEVICES = """
const missing = new Set(), opened = [];
const media = navigator.mediaDevices;
const list = media.enumerateDevices.bind(media), open = media.getUserMedia.bind(media);
media.enumerateDevices = async () => (await list()).filter(d => !missing.has(d.deviceId));
media.getUserMedia = async wanted => {
    const id = (wanted.audio || wanted.video).deviceId?.exact;
    if (missing.has(id)) throw new DOMException('', 'OverconstrainedError');
    const stream = await open(wanted);
    opened.push(...stream.getTracks());
    return stream;
};
window.pull = id => {
    missing.add(id);
    for (const track of opened) {
        if (track.readyState !== 'live' || track.getSettings().deviceId !== id) continue;
        track.stop();
        track.dispatchEvent(new Event('ended'));
    }
    media.dispatchEvent(new Event('devicechange'));
};
window.plug = id => { missing.delete(id); media.dispatchEvent(new Event('devicechange')); };
"""


def test_devices_change_within_the_call(room: str, join: Join) -> None:
    ada = join(room, "Ada", script=DEVICES, size=(900, 600))
    bob = join(room, "Bob", video="0")
    bob.wait_for_media(videos=1, audios=1)
    producers = "meetTest.state().producers.map(p => p.id).sort().join()"
    before = ada.evaluate(producers)
    ada.click("mic-menu")
    other = ada.page.get_by_role("menuitemradio", name="Fake Audio Input 1")
    chosen = str(other.get_attribute("data-choice"))
    other.click()
    ada.wait("meetTest.sending().some(t => t.label === 'Fake Audio Input 1')")
    ada.evaluate(f"pull({chosen!r})")
    ada.shows(
        "toasts", "“Fake Audio Input 1” was pulled out. “Fake Default Audio Input” is used now."
    )
    ada.wait("meetTest.sending().some(t => t.label === 'Fake Default Audio Input')")
    ada.evaluate(f"plug({chosen!r})")
    ada.shows("toasts", "“Fake Audio Input 1” is back and used again.")
    ada.wait("meetTest.sending().some(t => t.label === 'Fake Audio Input 1')")
    ada.click("cam-menu")
    ada.press("End")
    ada.press("Enter")
    ada.wait("meetTest.sending().some(t => t.label === 'fake_device_2')")
    assert ada.evaluate(producers) == before  # tracks were replaced: others hear no gap
    seen = max(int(str(s.get("framesDecoded", 0))) for s in bob.stats())
    bob.wait(f"meetTest.stats().then(all => all.some(s => s.framesDecoded > {seen} + 5))")
    ada.screenshot("devices")


FITS = """[...document.querySelectorAll('.tile')].every(tile => {
    const { left, top, right, bottom } = tile.getBoundingClientRect();
    const stage = document.querySelector('.tiles').getBoundingClientRect();
    return right - left > 60 && left >= stage.left && right <= stage.right + 1 &&
        top >= stage.top && bottom <= stage.bottom + 1;
}) && [document.scrollingElement, document.querySelector('.tiles')].every(
    e => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight) &&
    [...document.querySelectorAll('.top button, .toolbar button')]
        .map(button => button.getBoundingClientRect())
        .every(({ left, right }) => left >= 0 && right <= innerWidth)"""
LARGEST = """[...document.querySelectorAll('.tile')].sort(
    (a, b) => b.clientWidth * b.clientHeight - a.clientWidth * a.clientHeight)[0].dataset.testid"""


def test_layouts_show_everybody_without_scroll_bars(room: str, join: Join) -> None:
    ada = join(room, "Ada", video="0", audio="0", size=(1280, 800))
    join(room, "Bob", layers="1")
    for name in ("Cy", "Dee"):
        join(room, name, video="0", audio="0")
    ada.wait("document.querySelectorAll('.tile').length === 4")
    bob = "meetTest.state().peers.find(p => p.nickname === 'Bob').id"
    for layout in ("grid", "speaker", "sidebar"):
        ada.click("layout-menu")
        ada.page.locator(f"[data-choice={layout}]").click()
        for width, height in ((1280, 800), (390, 780)):
            ada.page.set_viewport_size({"width": width, "height": height})
            ada.wait(FITS)
            if layout != "grid":
                ada.wait(f"{LARGEST} === 'tile-' + {bob}")
    for menu in ("layout-menu", "mic-menu", "cam-menu"):
        ada.click(menu)
        box = ada.page.get_by_role("menu").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        ada.press("Escape")
    ada.screenshot("layouts")
    ada.page.reload()
    ada.wait("window.meetTest && meetTest.state().joined")
    ada.page.locator("[data-layout=sidebar]").wait_for()  # remembered


# Of what arrives, the statistics say that one packet in twelve was lost, once `lossy` is set.
LOSSY = """
const real = RTCPeerConnection.prototype.getStats;
RTCPeerConnection.prototype.getStats = async function (...rest) {
    const all = new Map(await real.apply(this, rest));
    for (const [id, entry] of all) if (window.lossy && entry.type === 'inbound-rtp')
        all.set(id, { ...entry, packetsLost: Math.round(entry.packetsReceived / 11) });
    return all;
};
"""


def test_the_connection_is_told_in_words_and_plots(room: str, join: Join) -> None:
    ada = join(room, "Ada", script=LOSSY, size=(1280, 860))
    join(room, "Bob")
    ada.wait_for_media(videos=1, audios=1)
    ada.press("n")
    ada.shows("connection-words", "Your connection is good.")
    ada.shows("connection", "Sound and picture go directly by UDP.")
    bob = "tile-" + str(ada.evaluate("meetTest.state().peers[0].id"))
    ada.page.locator(f"[data-testid={bob}][data-grade='3']").wait_for()
    ada.evaluate("window.lossy = true")
    ada.page.get_by_text("of the packets that come to you").wait_for()
    ada.page.locator(f"[data-testid={bob}]:not([data-grade='3'])").wait_for()
    ada.wait("""document.querySelectorAll('.plot polyline').length === 8 && [...document
        .querySelectorAll('.plot polyline')].every(line => line.points.length > 2)""")
    ada.screenshot("connection")


NO_SOCKETS = """
const Real = WebSocket;
window.WebSocket = class extends Real {
    constructor(url, ...rest) { super(window.cut ? 'ws://127.0.0.1:1/' : url, ...rest); }
};
"""


def test_keys_small_window_and_reconnecting(room: str, join: Join) -> None:
    ada = join(room, "Ada", script=NO_SOCKETS, size=(1000, 700))
    bob = join(room, "Bob", video="0")
    bob.wait_for_media(videos=1, audios=1)
    mic = "meetTest.state().consumers.find(c => c.kind === 'audio').paused"

    # keys, of which the space bar talks while it is held
    ada.press("m")
    bob.wait(mic)
    ada.page.keyboard.down(" ")
    ada.shows("talking", "You are heard")
    bob.wait(f"!{mic}")
    ada.page.keyboard.up(" ")
    bob.wait(mic)
    ada.press("?")
    ada.shows("help", "Hold to talk while muted")
    ada.press("m")  # not in a dialog
    ada.press("Escape")
    ada.press("c")
    ada.page.get_by_test_id("chat-input").press_sequentially("vm h")  # not while typing
    ada.press("Escape")
    assert ada.evaluate("meetTest.state().me.raisedHand") is False
    assert bob.evaluate(mic)
    ada.press("m")
    bob.wait(f"!{mic}")

    # the small window has buttons of its own
    ada.press("i")
    small = "documentPictureInPicture.window?.document"
    ada.wait(f"{small}?.querySelector('.small-name')?.textContent === 'Bob'")
    ada.wait(f"getComputedStyle({small}.querySelector('.small-window')).position === 'fixed'")
    ada.evaluate(f"{small}.querySelector('[data-testid=small-mic]').click()")
    bob.wait(mic)
    ada.press("i")
    ada.wait(f"!{small}")

    # what is tried, how long, and what one can do
    ada.evaluate("window.cut = true; meetTest.interrupt()")
    ada.shows("banner", "The connection to the server is lost. Connecting again…")
    ada.shows("banner", "The others may still see and hear you.")
    ada.shows("banner", "for 5 s")
    ada.shows("banner", "You need not do anything.")
    ada.screenshot("reconnecting")
    ada.evaluate("window.cut = false")
    ada.wait("meetTest.state().phase === 'live'")
    ada.page.locator("[data-testid=banner]:empty").wait_for(state="attached")


def test_the_moderators_part(daemon: Daemon, browser: Browser, room: str, join: Join) -> None:
    """Requests to come in, hands in their order, and interpreters with their channel."""
    ada = join(room, "Ada", video="0", size=(1280, 800))
    bob, cy = join(room, "Bob", video="0"), join(room, "Cy", video="0")
    cy.wait_for_media(videos=0, audios=2)
    ids = {str(p["nickname"]): str(p["id"]) for p in ada.evaluate("meetTest.state().peers")}
    api = browser.new_context(extra_http_headers={"X-Auth-Token": token_of(daemon)})

    def knock(request_id: str, nickname: str) -> None:
        data = {"requestId": request_id, "nickname": nickname}
        body = {"roomId": room[-36:], "type": "joinRequest", "data": data, "role": 4}
        assert api.request.post(f"{daemon.url}meetmedia/api/signal", data=body).ok

    knock("r1", "Dora")
    knock("r1", "Dora")
    knock("r2", "Eli")
    ada.shows("toasts", "Dora wants to come in.")
    ada.click("people-toggle")
    assert ada.page.locator("[data-testid=requests] li").count() == 2
    ada.click("accept-r1")
    ada.page.get_by_test_id("accept-r1").wait_for(state="detached")
    ada.screenshot("moderator")
    ada.click("deny-r2")
    ada.page.get_by_test_id("requests").wait_for(state="detached")

    cy.click("hand-toggle")
    ada.wait("meetTest.state().peers.some(p => p.raisedHand)")
    bob.click("hand-toggle")
    ada.wait("meetTest.state().peers.every(p => p.raisedHand)")
    names = ada.page.locator("[data-testid=people-list] .person-name").all_inner_texts()
    assert [name.split("\n")[0] for name in names] == ["Ada (you)", "Cy", "Bob"]

    ada.click(f"more-{ids['Bob']}")
    ada.pick(f"interpreter-{ids['Bob']}", "fr")
    cy.click("channel-menu")
    cy.page.get_by_role("menuitemradio", name="French").click()
    loud = "[...document.querySelectorAll('audio')].map(a => a.volume).sort().join()"
    cy.wait(f"{loud} === '0.15,1'")
    bob.wait("document.querySelector('[data-testid=channel-menu]') === null")  # it is his own
    ada.pick(f"interpreter-{ids['Bob']}", "")
    cy.shows("toasts", "Nobody interprets into your language any more.")
    cy.wait(f"{loud} === '1,1'")
    api.close()
