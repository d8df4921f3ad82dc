"""A receiver of webhooks in place of Kolab: an HTTP server on loopback, in threads of its own, that
keeps the posts and can be out of order.
"""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import trio


@attrs.frozen
class Post:
    """One request as it came."""

    path: str
    token: str | None
    content_type: str | None
    body: Any


@attrs.define(eq=False)
class WebhookReceiver:
    """``posts`` has all requests, ``taken`` the bodies of those answered with 204."""

    url: str
    server: ThreadingHTTPServer
    posts: list[Post] = attrs.field(factory=list)
    taken: list[Any] = attrs.field(factory=list)
    status: int = 204
    """The status of all answers from now on."""
    may_answer: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def __attrs_post_init__(self) -> None:
        self.may_answer.set()

    def start(self) -> None:
        """Accept connections. Before this they are refused, though the port is taken."""
        self.server.server_activate()
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop; call it after the end of the sender."""
        self.may_answer.set()
        if self._thread is not None:
            self.server.shutdown()
            self._thread.join()
        self.server.server_close()

    async def wait_posts(self, count: int) -> None:
        while len(self.posts) < count:
            await trio.sleep(0.02)

    async def wait_taken(self, count: int) -> None:
        while len(self.taken) < count:
            await trio.sleep(0.02)


@contextlib.contextmanager
def open_receiver(
    *, up: bool = True, tls: tuple[Path, Path] | None = None
) -> Iterator[WebhookReceiver]:
    """A receiver for the time of the ``with``; with ``up`` False it waits for ``start``. ``tls`` is
    its certificate and key.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            token, kind = self.headers["X-Auth-Token"], self.headers["Content-Type"]
            status = receiver.status
            receiver.posts.append(Post(self.path, token, kind, body))
            receiver.may_answer.wait()
            if status == 204:
                receiver.taken.append(body)
            with contextlib.suppress(OSError):  # the sender may be gone
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.daemon_threads = False  # ``server_close`` joins the threads
    server.server_bind()
    scheme = "http"
    if tls is not None:
        scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver = WebhookReceiver(f"{scheme}://127.0.0.1:{server.server_port}/hook?x=1", server)
    if up:
        receiver.start()
    try:
        yield receiver
    finally:
        receiver.close()
