"""Stock Firefox, driven by WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi/).

``open_firefox`` starts the browser with a profile of its own. ``FirefoxPage`` has the verbs of
``pages.RoomPage``, so that tests read the same for all browsers. Playwright drives only builds
of Firefox that are newer than the stock one, whose commands are these few.
"""

import base64
import contextlib
import itertools
import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import websocket
from support.namespace import Namespace
from support.pages import ARTIFACTS, RoomPage

FIREFOX = "/usr/bin/firefox-esr"
START_DEADLINE = 60.0  # seconds; the first start makes a profile
STOP_DEADLINE = 20.0
COMMAND_DEADLINE = 60.0

# Users give these permissions with a click, which a browser without a window has nobody for.
# Nothing here is about the network: the browser gathers the candidates that a user's gathers.
PREFERENCES: Mapping[str, bool | int | str] = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    # Quiet: no pages and no requests of the browser's own.
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class BidiError(Exception):
    """The browser refused a command."""


@attrs.define(eq=False)
class Firefox:
    """A running browser. One command is under way at a time; events are not subscribed to."""

    process: subprocess.Popen[str]
    socket: websocket.WebSocket
    log: list[str]
    _ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    def send(self, method: str, **params: object) -> dict[str, Any]:
        """The result of a command. Raises BidiError if the browser refuses it."""
        number = next(self._ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") != number:
                continue
            if answer["type"] == "error":
                raise BidiError(f"{method}: {answer['error']}: {answer['message']}")
            result: dict[str, Any] = answer["result"]
            return result

    def open_page(
        self, url: str, size: tuple[int, int] = (640, 400), script: str | None = None
    ) -> "FirefoxPage":
        """A page with cookies and storage of its own. ``script`` runs in it before its own."""
        user = self.send("browser.createUserContext", acceptInsecureCerts=True)["userContext"]
        context = self.send("browsingContext.create", type="window", userContext=user)["context"]
        page = FirefoxPage(self, context, user)
        viewport = {"width": size[0], "height": size[1]}
        self.send("browsingContext.setViewport", context=context, viewport=viewport)
        if script is not None:
            preload = f"() => {{ {script} }}"
            self.send("script.addPreloadScript", functionDeclaration=preload, contexts=[context])
        self.send("browsingContext.navigate", context=context, url=url, wait="complete")
        return page


@attrs.define(eq=False)
class FirefoxPage(RoomPage):
    """A page of Firefox that has opened the URL of a room."""

    browser: Firefox
    context: str
    user: str

    def evaluate(self, script: str) -> Any:
        """The value of an expression, or of its call if it is a function; awaited."""
        answer = self.browser.send(
            "script.evaluate",
            expression=(
                "(async () => { const found = (" + script + "); return JSON.stringify("
                "await (typeof found === 'function' ? found() : found)); })()"
            ),
            target={"context": self.context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise BidiError(f"{script}: {answer['exceptionDetails']['text']}")
        value = answer["result"]
        return json.loads(value["value"]) if value["type"] == "string" else None

    def click(self, test_id: str) -> None:
        found = f"document.querySelector('[data-testid=\"{test_id}\"]')"
        self.wait(f"{found} && !{found}.disabled")
        self.evaluate(f"{found}.scrollIntoView({{ block: 'nearest' }})")
        (node,) = self.browser.send(
            "browsingContext.locateNodes",
            context=self.context,
            locator={"type": "css", "value": f'[data-testid="{test_id}"]'},
            maxNodeCount=1,
        )["nodes"]
        target = {"type": "element", "element": {"sharedId": node["sharedId"]}}
        steps = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": target},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "actions": steps}
        self.browser.send("input.performActions", context=self.context, actions=[mouse])

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def screenshot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        picture = self.browser.send("browsingContext.captureScreenshot", context=self.context)
        (ARTIFACTS / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))

    def close(self) -> None:
        self.browser.send("browser.removeUserContext", userContext=self.user)


@contextlib.contextmanager
def open_firefox(
    profile: Path, namespace: Namespace, preferences: Mapping[str, bool | int | str] | None = None
) -> Iterator[Firefox]:
    """Firefox in a network namespace, with an empty folder as its profile. It ends with the
    scope.
    """
    written = {**PREFERENCES, **(preferences or {})}
    lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in written.items())
    (profile / "user.js").write_text("".join(lines))
    command = (FIREFOX, "--headless", "--remote-debugging-port=0", "--profile", str(profile))
    process = subprocess.Popen(
        namespace.command(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    log: list[str] = []
    endpoints: queue.SimpleQueue[str] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process, log, endpoints), daemon=True)
    reader.start()
    try:
        try:
            endpoint = endpoints.get(timeout=START_DEADLINE)
        except queue.Empty:
            endpoint = ""
        if not endpoint:
            pytest.fail("Firefox did not start:\n" + "".join(log))
        # The browser refuses connections that name an origin.
        with namespace.inside():
            socket = websocket.create_connection(
                f"{endpoint}/session", timeout=COMMAND_DEADLINE, suppress_origin=True
            )
        try:
            browser = Firefox(process, socket, log)
            browser.send("session.new", capabilities={})
            yield browser
            browser.send("browser.close")
            process.wait(STOP_DEADLINE)
        finally:
            socket.close()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def _read(
    process: subprocess.Popen[str], log: list[str], endpoints: queue.SimpleQueue[str]
) -> None:
    """Read the browser's output to its end; the address of its BiDi server is an endpoint."""
    assert process.stdout is not None
    for line in process.stdout:
        log.append(line)
        _, found, endpoint = line.strip().partition("WebDriver BiDi listening on ")
        if found:
            endpoints.put(endpoint)
    endpoints.put("")
