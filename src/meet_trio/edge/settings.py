"""Settings of the HTTP side: listener, API, page, front door, webhooks."""

from pathlib import Path
from typing import Literal

import attrs

from meet_trio.rates import Rate
from meet_trio.settings import addresses, kinds
from meet_trio.settings.about import about, about_rate
from meet_trio.settings.kinds import number, one_of, or_none, seconds, whole

ForwardedHeader = Literal["x-forwarded-for", "forwarded"]


@attrs.frozen(kw_only=True)
class ListenerSettings:
    """Where the server listens, and the address in the URLs that it gives out."""

    host: str = attrs.field(
        default="0.0.0.0",
        metadata=about(
            "http.host",
            addresses.HOST,
            "address to listen on",
            env="LISTENING_HOST",
            default="0.0.0.0 (demo: 127.0.0.1)",
            operator=True,
        ),
    )
    port: int = attrs.field(
        default=12443,
        metadata=about(
            "http.port",
            addresses.PORT,
            "port to listen on; 0 takes a free one",
            env="LISTENING_PORT",
            operator=True,
        ),
    )
    public_domain: str | None = attrs.field(
        default=None,
        metadata=about(
            "http.public_domain",
            addresses.DOMAIN,
            "host[:port] that clients reach this server by; stands in token URLs",
            env="PUBLIC_DOMAIN",
            default="127.0.0.1:PORT",
            operator=True,
            reload=True,
            example="meet.example.org:12443",
        ),
    )
    force_wss: bool = attrs.field(
        default=False,
        metadata=about(
            "http.force_wss",
            kinds.SWITCH,
            "say wss:// in token URLs although TLS ends at a proxy",
            env="FORCE_WSS",
            operator=True,
            reload=True,
        ),
    )
    tls_cert: Path | None = attrs.field(
        default=None,
        metadata=about(
            "http.tls_cert",
            or_none(kinds.FILE),
            "certificate chain (PEM) to listen with TLS",
            env="SSL_CERT",
            operator=True,
            reload=True,
            example="/etc/ssl/certs/meet.pem",
        ),
    )
    tls_key: Path | None = attrs.field(
        default=None,
        metadata=about(
            "http.tls_key",
            or_none(kinds.FILE),
            "private key (PEM) of the certificate",
            env="SSL_KEY",
            default="the certificate's file",
            operator=True,
            reload=True,
            example="/etc/ssl/private/meet.key",
        ),
    )

    @property
    def secure(self) -> bool:
        """Whether clients reach the server by TLS, of its own or of a proxy."""
        return self.force_wss or self.tls_cert is not None

    def token_base(self, port: int) -> str:
        """The beginning of token URLs. ``port`` is the port of the listener, also if the setting is
        0.
        """
        scheme = "wss" if self.secure else "ws"
        return f"{scheme}://{self.public_domain or f'127.0.0.1:{port}'}"

    def page_url(self, port: int) -> str:
        """The URL of the page for a browser on this machine."""
        scheme = "http" if self.tls_cert is None else "https"
        host = self.host
        if host in ("0.0.0.0", "::"):
            host = "127.0.0.1" if host == "0.0.0.0" else "::1"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


@attrs.frozen(kw_only=True)
class HttpApiSettings:
    """The API that Kolab calls. ``token_drawn``: nobody has set ``auth_token``, it is random."""

    auth_token: str = attrs.field(
        repr=False,
        metadata=about(
            "http.auth_token",
            kinds.TOKEN,
            "token of the HTTP API, sent to it as X-Auth-Token",
            env="AUTH_TOKEN",
            default="none: must be set (demo: random)",
            operator=True,
            reload=True,
            example="0123456789abcdef0123456789abcdef",
        ),
    )
    old_auth_token: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(
            "http.old_auth_token",
            or_none(kinds.TOKEN),
            "a second token of the API, while clients change from it to the other",
            operator=True,
            reload=True,
            example="fedcba9876543210fedcba9876543210",
        ),
    )
    path_prefix: str = attrs.field(
        default="/meetmedia",
        metadata=about(
            "http.path_prefix", addresses.PREFIX, "path before /api and /signaling", operator=True
        ),
    )
    max_body_bytes: int = attrs.field(
        default=5 * 1024 * 1024,
        metadata=about(
            "http.max_body_bytes",
            whole(1024, 2**30, "bytes"),
            "longest request body",
            reload=True,
        ),
    )
    token_drawn: bool = False


@attrs.frozen(kw_only=True)
class SiteSettings:
    """The meeting page, and demo mode, in which anybody who reaches the page may open rooms."""

    page: Literal["auto", "on", "off"] = attrs.field(
        default="auto",
        metadata=about(
            "http.page",
            one_of("auto", "on", "off"),
            "serve the meeting page at /; auto: in demo mode",
            operator=True,
        ),
    )
    demo: bool = attrs.field(
        default=False,
        metadata=about(
            "demo.enabled",
            kinds.SWITCH,
            "demo mode: a page at /, rooms for everybody, page and API on loopback only",
            flag="--demo",
            default="off (on if there are no settings at all)",
            operator=True,
        ),
    )
    demo_allow_remote: bool = attrs.field(
        default=False,
        metadata=about(
            "demo.allow_remote",
            kinds.SWITCH,
            "let page and API of demo mode listen beyond loopback",
            operator=True,
        ),
    )

    @property
    def serves_page(self) -> bool:
        return self.page == "on" or (self.page == "auto" and self.demo)


@attrs.frozen(kw_only=True)
class FrontDoorSettings:
    """Limits of connections and requests, and the trusted proxies.

    ``max_addresses``: the number of addresses whose rate of requests is remembered.
    """

    trusted_proxies: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            "http.trusted_proxies",
            addresses.NETWORKS,
            "proxies that are believed when they say whom a request is from",
            default="none",
            operator=True,
            reload=True,
            example=["127.0.0.1"],
        ),
    )
    forwarded_header: ForwardedHeader = attrs.field(
        default="x-forwarded-for",
        metadata=about(
            "http.forwarded_header",
            one_of("x-forwarded-for", "forwarded"),
            "header in which they say it; they must not let a client's own through",
            operator=True,
            reload=True,
        ),
    )
    max_head_bytes: int = attrs.field(
        default=16 * 1024,
        metadata=about(
            "http.max_head_bytes",
            whole(1024, 2**20, "bytes"),
            "longest request head",
            reload=True,
        ),
    )
    head_timeout: float = attrs.field(
        default=10.0,
        metadata=about(
            "http.head_timeout",
            seconds(0.1, 600),
            "time for the TLS handshake and the first request head",
            reload=True,
        ),
    )
    body_timeout: float = attrs.field(
        default=30.0,
        metadata=about(
            "http.body_timeout",
            seconds(0.1, 3600),
            "time for the body of a request",
            reload=True,
        ),
    )
    send_timeout: float = attrs.field(
        default=10.0,
        metadata=about(
            "http.send_timeout",
            seconds(0.1, 600),
            "a connection that takes no data for this time is closed",
            reload=True,
        ),
    )
    keep_alive_timeout: float = attrs.field(
        default=30.0,
        metadata=about(
            "http.keep_alive_timeout",
            seconds(0.1, 3600),
            "an idle HTTP connection is closed after this time",
            reload=True,
        ),
    )
    max_connections: int = attrs.field(
        default=8192,
        metadata=about(
            "http.max_connections",
            whole(1, 1_000_000),
            "connections at once",
            reload=True,
        ),
    )
    max_strangers: int = attrs.field(
        default=4096,
        metadata=about(
            "http.max_strangers",
            whole(1, 1_000_000),
            "HTTP connections at once that have shown neither the API's token nor a peer's",
        ),
    )
    max_strangers_per_address: int = attrs.field(
        default=1024,
        metadata=about(
            "http.max_strangers_per_address",
            whole(1, 1_000_000),
            "such connections from one address (IPv6: one /64)",
        ),
    )
    requests: Rate = attrs.field(
        default=Rate(per_second=100.0, burst=2000),
        metadata=about_rate(
            per_second=about(
                "http.requests_per_second",
                number(0.1, 10**6),
                "requests and handshakes of one address per second that show no right token",
            ),
            burst=about(
                "http.request_burst", whole(1, 10**6), "such requests of one address at once"
            ),
        ),
    )
    max_addresses: int = 10_000


@attrs.frozen(kw_only=True)
class WebhookSettings:
    """The receiver of webhooks. With ``url`` None there are no webhooks.

    The pause between two tries doubles from ``first_pause`` to ``longest_pause`` seconds.
    """

    url: str | None = attrs.field(
        default=None,
        metadata=about(
            "webhook.url",
            or_none(addresses.HTTP_URL),
            "URL that room events are posted to",
            env="WEBHOOK_URL",
            operator=True,
            reload=True,
            example="https://kolab.example.org/api/webhooks/meet",
        ),
    )
    token: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(
            "webhook.token",
            or_none(kinds.TOKEN),
            "X-Auth-Token sent with them",
            env="WEBHOOK_TOKEN",
            operator=True,
            reload=True,
            example="fedcba9876543210fedcba9876543210",
        ),
    )
    timeout: float = attrs.field(
        default=5.0,
        metadata=about(
            "webhook.timeout",
            seconds(0.1, 600),
            "time for the answer to one post",
            reload=True,
        ),
    )
    tries: int = attrs.field(
        default=8,
        metadata=about(
            "webhook.tries",
            whole(1, 100),
            "times that an event is posted at most",
            reload=True,
        ),
    )
    max_pending: int = attrs.field(
        default=100,
        metadata=about(
            "webhook.max_pending",
            whole(1, 100_000),
            "events of one room that wait to be posted; answers to more join requests are lost, "
            "the event that the room has closed is not",
            reload=True,
        ),
    )
    first_pause: float = 1.0
    longest_pause: float = 60.0
