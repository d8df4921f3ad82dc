"""All settings, as frozen records: the one place where a setting is defined.

A field gives a setting's name, type and default; its metadata (``kinds.about``) the rest. A record
built by hand, as tests do, needs no more than ``Settings(http=HttpSettings(auth_token="..."))``.
Some defaults depend on other settings: ``load`` fills those in.
"""

from pathlib import Path
from typing import Literal

import attrs

from meet_trio.settings import kinds
from meet_trio.settings.kinds import about, or_none, seconds, whole


@attrs.frozen(kw_only=True)
class HttpSettings:
    """The one listener for HTTP and websockets."""

    host: str = attrs.field(
        default="0.0.0.0",
        metadata=about(
            kinds.HOST,
            "address to listen on",
            env="LISTENING_HOST",
            default="0.0.0.0 (demo: 127.0.0.1)",
        ),
    )
    port: int = attrs.field(
        default=12443,
        metadata=about(kinds.PORT, "port to listen on; 0 takes a free one", env="LISTENING_PORT"),
    )
    auth_token: str = attrs.field(
        repr=False,
        metadata=about(
            kinds.TOKEN,
            "token of the HTTP API, sent to it as X-Auth-Token",
            env="AUTH_TOKEN",
            default="none: must be set (demo: random)",
        ),
    )
    public_domain: str | None = attrs.field(
        default=None,
        metadata=about(
            kinds.DOMAIN,
            "host[:port] that clients reach this server by; stands in token URLs",
            env="PUBLIC_DOMAIN",
            default="127.0.0.1:PORT",
        ),
    )
    force_wss: bool = attrs.field(
        default=False,
        metadata=about(
            kinds.SWITCH,
            "say wss:// in token URLs although TLS ends at a proxy",
            env="FORCE_WSS",
        ),
    )
    tls_cert: Path | None = attrs.field(
        default=None,
        metadata=about(
            or_none(kinds.FILE), "certificate chain (PEM) to listen with TLS", env="SSL_CERT"
        ),
    )
    tls_key: Path | None = attrs.field(
        default=None,
        metadata=about(
            or_none(kinds.FILE),
            "private key (PEM) of the certificate",
            env="SSL_KEY",
            default="the certificate's file",
        ),
    )
    path_prefix: str = attrs.field(
        default="/meetmedia",
        metadata=about(kinds.PREFIX, "path before /api and /signaling"),
    )
    page: Literal["auto", "on", "off"] = attrs.field(
        default="auto",
        metadata=about(
            kinds.one_of("auto", "on", "off"), "serve the meeting page at /; auto: in demo mode"
        ),
    )
    cors_origins: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            kinds.ORIGINS,
            "web origins whose pages may use signaling; none: every origin's, by websocket alone",
            default="none",
        ),
    )
    max_body_bytes: int = attrs.field(
        default=5 * 1024 * 1024,
        metadata=about(whole(1024, 2**30, "bytes"), "longest request body"),
    )
    max_head_bytes: int = attrs.field(
        default=16 * 1024,
        metadata=about(whole(1024, 2**20, "bytes"), "longest request head"),
    )
    head_timeout: float = attrs.field(
        default=10.0,
        metadata=about(seconds(0.1, 600), "time for the TLS handshake and the first request head"),
    )
    body_timeout: float = attrs.field(
        default=30.0,
        metadata=about(seconds(0.1, 3600), "time for the body of a request"),
    )
    send_timeout: float = attrs.field(
        default=10.0,
        metadata=about(seconds(0.1, 600), "a connection that takes nothing for so long is closed"),
    )
    keep_alive_timeout: float = attrs.field(
        default=30.0,
        metadata=about(seconds(0.1, 3600), "an idle HTTP connection is closed after this time"),
    )
    max_connections: int = attrs.field(
        default=8192,
        metadata=about(whole(1, 1_000_000), "connections at once"),
    )
    max_strangers: int = attrs.field(
        default=4096,
        metadata=about(
            whole(1, 1_000_000),
            "HTTP connections at once that have shown neither the API's token nor a peer's",
        ),
    )
    max_strangers_per_address: int = attrs.field(
        default=1024,
        metadata=about(whole(1, 1_000_000), "such connections from one address (IPv6: one /64)"),
    )
    requests_per_second: float = attrs.field(
        default=100.0,
        metadata=about(
            kinds.number(0.1, 10**6),
            "requests and handshakes of one address per second that show no right token",
        ),
    )
    request_burst: int = attrs.field(
        default=2000, metadata=about(whole(1, 10**6), "such requests of one address at once")
    )
    trusted_proxies: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            kinds.NETWORKS,
            "proxies that are believed when they say whom a request is from",
            default="none",
        ),
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = attrs.field(
        default="x-forwarded-for",
        metadata=about(
            kinds.one_of("x-forwarded-for", "forwarded"),
            "header in which they say it; they must not let a client's own through",
        ),
    )

    def token_base(self, port: int) -> str:
        """What token URLs begin with; ``port`` is the one really listened on."""
        scheme = "wss" if self.force_wss or self.tls_cert is not None else "ws"
        return f"{scheme}://{self.public_domain or f'127.0.0.1:{port}'}"

    def page_url(self, port: int) -> str:
        """Where a browser on this machine finds the page."""
        scheme = "http" if self.tls_cert is None else "https"
        host = self.host
        if host in ("0.0.0.0", "::"):
            host = "127.0.0.1" if host == "0.0.0.0" else "::1"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


@attrs.frozen(kw_only=True)
class SignalingSettings:
    """Sockets of clients, and requests over them."""

    ping_interval: float = attrs.field(
        default=25.0, metadata=about(seconds(0.1, 600), "Engine.IO heartbeat: between pings")
    )
    ping_timeout: float = attrs.field(
        default=20.0, metadata=about(seconds(0.1, 600), "Engine.IO heartbeat: for the answer")
    )
    max_payload: int = attrs.field(
        default=1_000_000,
        metadata=about(whole(1024, 2**30, "bytes"), "longest message of a client"),
    )
    handshake_timeout: float = attrs.field(
        default=10.0, metadata=about(seconds(0.1, 600), "for the websocket handshake")
    )
    send_timeout: float = attrs.field(
        default=10.0,
        metadata=about(seconds(0.1, 600), "a client that takes nothing for so long is dropped"),
    )
    max_outbox: int = attrs.field(
        default=4096,
        metadata=about(whole(16, 1_000_000), "messages waiting for a client before it is dropped"),
    )
    max_outbox_bytes: int = attrs.field(
        default=8_000_000,
        metadata=about(
            whole(100_000, 2**30, "bytes"), "what may wait for a client before it is dropped"
        ),
    )
    max_outboxes_bytes: int = attrs.field(
        default=256_000_000,
        metadata=about(
            whole(1_000_000, 2**40, "bytes"),
            "what may wait for all clients together, what many are told counted once; beyond it, "
            "those are dropped for whom the most is waiting",
        ),
    )
    max_inbox: int = attrs.field(
        default=1024,
        metadata=about(
            whole(16, 1_000_000), "messages of a client waiting to be handled before it is dropped"
        ),
    )
    max_inbox_bytes: int = attrs.field(
        default=4_000_000,
        metadata=about(
            whole(100_000, 2**30, "bytes"),
            "what of a client may wait to be handled before it is dropped",
        ),
    )
    max_open_calls: int = attrs.field(
        default=4096,
        metadata=about(
            whole(16, 1_000_000),
            "requests that a client has not answered before it is dropped",
        ),
    )
    read_rate: int = attrs.field(
        default=1_000_000,
        metadata=about(
            whole(10_000, 2**30, "bytes"),
            "what is read of a client per second, each message or frame counting 1000 more, each "
            "HTTP request 10000; beyond it, reading is slower",
        ),
    )
    read_burst: int = attrs.field(
        default=4_000_000,
        metadata=about(whole(100_000, 2**30, "bytes"), "what is read of a client at once"),
    )
    max_stranger_payload: int = attrs.field(
        default=16_384,
        metadata=about(
            whole(1024, 2**30, "bytes"),
            "longest message of a client that has not shown a peer's token yet",
        ),
    )
    stranger_read_rate: int = attrs.field(
        default=10_000,
        metadata=about(whole(1000, 2**30, "bytes"), "`read_rate` of such a client"),
    )
    stranger_read_burst: int = attrs.field(
        default=64_000,
        metadata=about(whole(16_384, 2**30, "bytes"), "`read_burst` of such a client"),
    )
    connect_timeout: float = attrs.field(
        default=20.0,
        metadata=about(seconds(0.1, 600), "for a socket to say hello, after its handshake"),
    )
    max_unconnected: int = attrs.field(
        default=4096,
        metadata=about(whole(1, 1_000_000), "sockets at once that have not said hello yet"),
    )
    max_unconnected_per_address: int = attrs.field(
        default=1024,
        metadata=about(whole(1, 1_000_000), "such sockets of one address (IPv6: one /64)"),
    )
    max_polling: int = attrs.field(
        default=4096, metadata=about(whole(1, 1_000_000), "sockets at once that use long-polling")
    )
    request_timeout: float = attrs.field(
        default=20.0,
        metadata=about(seconds(0.1, 600), "for a client's answer to a request of the server"),
    )
    request_tries: int = attrs.field(
        default=3, metadata=about(whole(1, 100), "times that such a request is sent")
    )
    reconnect_grace: float = attrs.field(
        default=10.0,
        metadata=about(seconds(0, 3600), "a peer that lost its socket may come back for so long"),
    )
    first_connection_timeout: float = attrs.field(
        default=60.0,
        metadata=about(seconds(0.1, 86400), "a peer that never connects is removed after this"),
    )


@attrs.frozen(kw_only=True)
class RoomSettings:
    """Lives of rooms."""

    empty_timeout: float = attrs.field(
        default=10.0,
        metadata=about(seconds(0, 86400), "a room that everybody left closes after this"),
    )
    never_joined_timeout: float = attrs.field(
        default=300.0,
        metadata=about(
            seconds(0.1, 86400 * 7), "a room that nobody ever entered closes after this"
        ),
    )
    spread_size: int = attrs.field(
        default=16,
        metadata=about(
            whole(1, 100_000),
            "peers of a room on one media worker before it spreads to another",
            env="ROUTER_SCALE_SIZE",
        ),
    )


@attrs.frozen(kw_only=True)
class MediaSettings:
    """RTP, ICE and DTLS."""

    workers: int = attrs.field(
        default=1,
        metadata=about(
            whole(1, 256),
            "media workers (threads)",
            env="MEDIASOUP_NUM_WORKERS",
            default="number of cores",
        ),
    )
    listen_ip: tuple[str, ...] = attrs.field(
        default=("127.0.0.1",),
        metadata=about(
            kinds.ADDRESSES,
            "addresses that media is received on",
            env="WEBRTC_LISTEN_IP",
            default="this machine's address (demo: 127.0.0.1)",
        ),
    )
    announced_address: tuple[str, ...] = attrs.field(
        default=("127.0.0.1",),
        metadata=about(
            kinds.HOSTS,
            "addresses or names that clients are told to send media to; a name is looked up here, "
            "again every minute",
            env="WEBRTC_ANNOUNCED_ADDRESS",
            default="the addresses that media is received on",
        ),
    )
    port: int = attrs.field(
        default=44444,
        metadata=about(
            kinds.PORT, "media port of the first worker, others follow; 0 takes free ones"
        ),
    )
    plain_transports: bool = attrs.field(
        default=True,
        metadata=about(
            kinds.SWITCH, "whether clients may use plain RTP, at their own address or as allowed"
        ),
    )
    plain_ports: tuple[int, int] = attrs.field(
        default=(40000, 49999),
        metadata=about(
            kinds.PORTS,
            "ports of plain RTP transports, two for each",
            default="40000-49999",
        ),
    )
    plain_allowed: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            kinds.PLAIN_NETWORKS,
            "networks that plain RTP of any client is taken from and sent to, besides the address "
            "that its own signaling comes from, which is never one of this machine or of a proxy",
            default="none",
        ),
    )
    connect_timeout: float = attrs.field(
        default=30.0,
        metadata=about(seconds(0.1, 600), "for ICE and the DTLS handshake of a transport"),
    )
    consent_timeout: float = attrs.field(
        default=30.0,
        metadata=about(
            seconds(1, 600), "a transport whose client is silent for so long is closed (RFC 7675)"
        ),
    )
    max_tcp_connections: int = attrs.field(
        default=4096,
        metadata=about(
            whole(0, 10**6),
            "ICE-TCP connections of a worker, each for one transport; a process needs as many file "
            "descriptors; 0: media by UDP only",
        ),
    )
    max_tcp_strangers: int = attrs.field(
        default=1024,
        metadata=about(
            whole(1, 10**6),
            "ICE-TCP connections that have not yet proved to be a transport's; of more the oldest "
            "is closed",
        ),
    )
    max_tcp_strangers_per_address: int = attrs.field(
        default=256,
        metadata=about(whole(1, 10**6), "the same from one address (IPv6: from one /64 network)"),
    )
    tcp_stranger_timeout: float = attrs.field(
        default=10.0,
        metadata=about(seconds(0.1, 600), "the time that an ICE-TCP connection has to prove it"),
    )
    tcp_send_buffer: int = attrs.field(
        default=256 * 1024,
        metadata=about(
            whole(4096, 2**26, "bytes"),
            "what may wait for one ICE-TCP connection that does not read fast enough; what comes "
            "on top is lost (a second of media at 2 Mbit/s)",
        ),
    )
    max_incoming_bitrate: int = attrs.field(
        default=1_500_000,
        metadata=about(whole(10_000, 10**10, "bit/s"), "most that a client may send"),
    )
    incoming_excess: float = attrs.field(
        default=2.0,
        metadata=about(
            kinds.number(1, 1000),
            "clients are told that limit for each transport, and those that keep to it send more "
            "than it for moments; what is above so many times of it in the long run is dropped, "
            "of plain RTP too",
        ),
    )
    incoming_burst: float = attrs.field(
        default=10.0,
        metadata=about(
            seconds(1, 600),
            "as many seconds' worth of that limit may come on top at once, and always 1.25 MB",
        ),
    )
    initial_outgoing_bitrate: int = attrs.field(
        default=1_000_000,
        metadata=about(
            whole(10_000, 10**10, "bit/s"),
            "what a client's downlink is taken for at first",
            planned=True,
        ),
    )


@attrs.frozen(kw_only=True)
class LimitSettings:
    """How much clients can make the server keep; far above what people do."""

    rooms: int = attrs.field(default=10_000, metadata=about(whole(1, 10**6), "rooms at once"))
    peers_per_room: int = attrs.field(
        default=1000, metadata=about(whole(1, 10**6), "peers in a room")
    )
    transports_per_peer: int = attrs.field(
        default=8, metadata=about(whole(1, 1000), "transports of a peer")
    )
    producers_per_peer: int = attrs.field(
        default=16, metadata=about(whole(1, 1000), "streams that a peer sends")
    )
    consumers_per_peer: int = attrs.field(
        default=2000,
        metadata=about(
            whole(1, 10**6), "streams that a peer is sent; further ones come when others end"
        ),
    )
    requests_per_second: float = attrs.field(
        default=200.0,
        metadata=about(kinds.number(0.1, 10**6), "requests of a peer per second, in the long run"),
    )
    request_burst: int = attrs.field(
        default=1000,
        metadata=about(
            whole(10, 10**6),
            "requests of a peer at once; as many again, refused, and its connection is closed",
        ),
    )
    announcements_per_second: float = attrs.field(
        default=20.0,
        metadata=about(
            kinds.number(0.1, 10**6),
            "what a peer may tell everyone per second: chat, nickname, raised hand, joining",
        ),
    )
    announcement_burst: int = attrs.field(
        default=200, metadata=about(whole(1, 10**6), "such announcements of a peer at once")
    )
    work_per_second: float = attrs.field(
        default=1000.0,
        metadata=about(
            kinds.number(1, 10**6),
            "messages to clients that a peer's requests may cause per second, in the long run, a "
            "stream offered to a client counting 8; moderators who have caused more wait, others "
            "are refused",
        ),
    )
    work_burst: int = attrs.field(
        default=30_000,
        metadata=about(whole(100, 10**8), "such messages on top of that, if it was quiet before"),
    )
    work_pace: float = attrs.field(
        default=3000.0,
        metadata=about(
            kinds.number(1, 10**6),
            "such messages of a peer per second at any time; its next request waits",
        ),
    )
    nickname: int = attrs.field(
        default=256, metadata=about(whole(1, 10**6, "characters"), "longest nickname")
    )
    chat_message: int = attrs.field(
        default=8192, metadata=about(whole(1, 10**6, "characters"), "longest chat message")
    )
    app_data: int = attrs.field(
        default=4096, metadata=about(whole(64, 10**6, "bytes"), "longest appData (as JSON)")
    )
    json_depth: int = attrs.field(
        default=64, metadata=about(whole(8, 500), "levels of nesting in a client's JSON")
    )
    json_items: int = attrs.field(
        default=16_384,
        metadata=about(
            whole(1000, 10**6),
            "values in one message of signaling, about: its commas and brackets are counted",
        ),
    )


@attrs.frozen(kw_only=True)
class TurnSettings:
    """The TURN relay that clients are told of."""

    server: str | None = attrs.field(
        default=None,
        metadata=about(
            or_none(kinds.TURN_URL),
            "TURN URL given to clients",
            env="TURN_SERVER",
            default="turn:127.0.0.1:3478?transport=tcp if there is a secret, else none",
        ),
    )
    static_secret: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(
            or_none(kinds.TEXT), "coturn's static-auth-secret", env="TURN_STATIC_SECRET"
        ),
    )
    credential_lifetime: float = attrs.field(
        default=86400.0, metadata=about(seconds(60, 86400 * 30), "credentials are good for so long")
    )


@attrs.frozen(kw_only=True)
class WebhookSettings:
    """Where events of rooms are posted."""

    url: str | None = attrs.field(
        default=None,
        metadata=about(
            or_none(kinds.HTTP_URL), "URL that room events are posted to", env="WEBHOOK_URL"
        ),
    )
    token: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(or_none(kinds.TOKEN), "X-Auth-Token sent with them", env="WEBHOOK_TOKEN"),
    )
    timeout: float = attrs.field(
        default=5.0, metadata=about(seconds(0.1, 600), "for the answer to one post")
    )
    tries: int = attrs.field(
        default=8, metadata=about(whole(1, 100), "times that an event is posted at most")
    )
    max_pending: int = attrs.field(
        default=100,
        metadata=about(
            whole(1, 100_000),
            "events of one room that wait to be posted; answers to more join requests are lost, "
            "that the room closes is not",
        ),
    )


@attrs.frozen(kw_only=True)
class DemoSettings:
    """Trying it: anybody who reaches the page may open rooms."""

    enabled: bool = attrs.field(
        default=False,
        metadata=about(
            kinds.SWITCH,
            "demo mode: a page at /, rooms for everybody, loopback only",
            default="off (on if there are no settings at all)",
        ),
    )
    allow_remote: bool = attrs.field(
        default=False,
        metadata=about(kinds.SWITCH, "let demo mode listen beyond loopback"),
    )


@attrs.frozen(kw_only=True)
class ProcessSettings:
    """The process itself."""

    shutdown_timeout: float = attrs.field(
        default=1.5,
        metadata=about(seconds(0.1, 60), "for goodbyes after SIGTERM or SIGINT, then it ends"),
    )
    log_level: Literal["debug", "info", "warning", "error"] = attrs.field(
        default="info",
        metadata=about(kinds.one_of("debug", "info", "warning", "error"), "what is logged"),
    )
    log_repeats: int = attrs.field(
        default=20,
        metadata=about(
            whole(1, 1_000_000),
            "lines of the log that say the same at once; more of them come at one per second, "
            "with the number of those left out",
        ),
    )
    debug: str | None = attrs.field(
        default=None,
        metadata=about(
            or_none(kinds.TEXT),
            "patterns of what is logged in full: kolabmeet-server*, or meet_trio.PART",
            env="DEBUG",
        ),
    )


@attrs.frozen(kw_only=True)
class Settings:
    """One group for each table of the TOML file."""

    http: HttpSettings
    signaling: SignalingSettings = SignalingSettings()
    rooms: RoomSettings = RoomSettings()
    media: MediaSettings = MediaSettings()
    limits: LimitSettings = LimitSettings()
    turn: TurnSettings = TurnSettings()
    webhook: WebhookSettings = WebhookSettings()
    demo: DemoSettings = DemoSettings()
    process: ProcessSettings = ProcessSettings()

    @property
    def page(self) -> bool:
        """Whether the meeting page is served."""
        return self.http.page == "on" or (self.http.page == "auto" and self.demo.enabled)
