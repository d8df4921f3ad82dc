"""Settings of engines, transports and TURN.

``engine`` imports nothing of ``meet_trio``, so ``ENGINE_SETTINGS`` describes those fields of its
``EngineSettings`` that are settings of this server. The defaults are those of ``EngineSettings``,
except for those in ``ENGINE_DEFAULTS``.
"""

from collections.abc import Mapping

import attrs

from meet_trio.engine import EngineSettings
from meet_trio.settings import addresses, kinds
from meet_trio.settings.about import Metadata, about
from meet_trio.settings.kinds import Kind, number, or_none, seconds, whole

_MAX_NETWORKS = 15  # the engine accepts 16 for a transport, and one is the client's own address


def _plain_networks(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str) and raw.strip().lower() == "none":
        return ()
    found = addresses.read_networks(raw)
    if len(found) > _MAX_NETWORKS:
        raise ValueError
    return found


@attrs.frozen(kw_only=True)
class MediaSettings:
    """The number of engines, and the addresses that clients send media to."""

    workers: int = attrs.field(
        default=1,
        metadata=about(
            "media.workers",
            whole(1, 256),
            "media workers (threads)",
            env="MEDIASOUP_NUM_WORKERS",
            default="number of cores",
            operator=True,
            example=4,
        ),
    )
    engine_deaths: int = attrs.field(
        default=3,
        metadata=about(
            "media.engine_deaths",
            whole(1, 1000),
            "deaths of a media worker within a minute after which no other takes its place and "
            "its rooms end; with 1 none ever does",
        ),
    )
    announced_address: tuple[str, ...] = attrs.field(
        default=("127.0.0.1",),
        metadata=about(
            "media.announced_address",
            addresses.HOSTS,
            "addresses or names that clients are told to send media to; a name is looked up here, "
            "again every minute",
            env="WEBRTC_ANNOUNCED_ADDRESS",
            default="the addresses that media is received on",
            operator=True,
            example=["198.51.100.10", "2001:db8::10"],
        ),
    )


ENGINE_DEFAULTS = EngineSettings(
    port=44444,  # a firewall needs a fixed port; the engine's own default is any free one
)

ENGINE_SETTINGS: Mapping[str, Metadata] = {
    "listen_ips": about(
        "media.listen_ip",
        addresses.ADDRESSES,
        "addresses that media is received on",
        env="WEBRTC_LISTEN_IP",
        default="this machine's address (demo: 127.0.0.1 too)",
        operator=True,
        example=["192.0.2.10", "2001:db8::10"],
    ),
    "port": about(
        "media.port",
        addresses.PORT,
        "media port of the first worker, others follow; 0 takes free ones",
        operator=True,
    ),
    "initial_outgoing_bitrate": about(
        "media.initial_outgoing_bitrate",
        whole(10_000, 10**10, "bit/s"),
        "first estimate of a client's downlink",
        operator=True,
    ),
    "consent_timeout": about(
        "media.consent_timeout",
        seconds(1, 600),
        "a transport whose client is silent for this time is closed (RFC 7675)",
    ),
    "max_tcp_connections": about(
        "media.max_tcp_connections",
        whole(0, 10**6),
        "ICE-TCP connections of a worker, each for one transport; a process needs as many file "
        "descriptors; 0: media by UDP only",
    ),
    "max_tcp_strangers": about(
        "media.max_tcp_strangers",
        whole(1, 10**6),
        "ICE-TCP connections that have not yet proved to be a transport's; one more closes the "
        "oldest",
    ),
    "max_tcp_strangers_per_address": about(
        "media.max_tcp_strangers_per_address",
        whole(1, 10**6),
        "such connections from one address (IPv6: from one /64 network)",
    ),
    "tcp_stranger_timeout": about(
        "media.tcp_stranger_timeout",
        seconds(0.1, 600),
        "time for an ICE-TCP connection to prove it",
    ),
    "tcp_send_buffer": about(
        "media.tcp_send_buffer",
        whole(4096, 2**26, "bytes"),
        "media waiting for one ICE-TCP connection that does not read fast enough; media beyond it "
        "is lost (the default is a second at 2 Mbit/s)",
    ),
    "gso": about(
        "media.gso",
        kinds.SWITCH,
        "whether datagrams for one client are given to the kernel together (Linux UDP GSO), where "
        "it takes them; without it each costs as much as two or three",
    ),
    "aead": about(
        "media.aead",
        kinds.one_of("auto", "libcrypto"),
        "the library that encrypts media with AES-GCM; `auto` takes libipsec-mb, which needs a "
        "fraction of the time, where it is installed and the processor has AVX2",
    ),
    "incoming_excess": about(
        "media.incoming_excess",
        number(1, 1000),
        "clients are told `max_incoming_bitrate` for each transport and exceed it for moments; "
        "media beyond this multiple of it in the long run is dropped, of plain RTP too",
    ),
    "incoming_burst": about(
        "media.incoming_burst",
        seconds(1, 600),
        "media that may come at once on top of that, as seconds of `max_incoming_bitrate`; never "
        "less than 1.25 MB",
    ),
}


@attrs.frozen(kw_only=True)
class TransportSettings:
    """``max_incoming_bitrate`` is the highest bitrate that RTCP feedback allows a client. The
    engine drops media far above it.
    """

    connect_timeout: float = attrs.field(
        default=30.0,
        metadata=about(
            "media.connect_timeout",
            seconds(0.1, 600),
            "time for ICE and the DTLS handshake of a transport",
            reload=True,
        ),
    )
    max_incoming_bitrate: int = attrs.field(
        default=1_500_000,
        metadata=about(
            "media.max_incoming_bitrate",
            whole(10_000, 10**10, "bit/s"),
            "most that a client may send",
            operator=True,
            reload=True,
        ),
    )


@attrs.frozen(kw_only=True)
class PlainSettings:
    """``enabled``: clients may make plain transports. ``ports``: the first and the last port."""

    enabled: bool = attrs.field(
        default=True,
        metadata=about(
            "media.plain_transports",
            kinds.SWITCH,
            "whether clients may use plain RTP, at their own address or as allowed",
            operator=True,
            reload=True,
        ),
    )
    ports: tuple[int, int] = attrs.field(
        default=(40000, 49999),
        metadata=about(
            "media.plain_ports",
            addresses.PORTS,
            "ports of plain RTP transports, two for each",
            default="40000-49999",
            operator=True,
            reload=True,
            example="40000-49999",
        ),
    )
    allowed: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            "media.plain_allowed",
            Kind(
                f"at most {_MAX_NETWORKS} networks like 10.0.0.0/8 (separated by commas), or none,",
                _plain_networks,
            ),
            "networks that any client's plain RTP is taken from and sent to, besides the address "
            "that its own signaling comes from, which is never one of this machine or of a proxy",
            default="none",
            operator=True,
            reload=True,
            example=["10.0.0.0/8"],
        ),
    )


@attrs.frozen(kw_only=True)
class TurnSettings:
    """The TURN relay that clients are told of."""

    server: str | None = attrs.field(
        default=None,
        metadata=about(
            "turn.server",
            or_none(addresses.TURN_URL),
            "TURN URL given to clients",
            env="TURN_SERVER",
            default="turn:127.0.0.1:3478?transport=tcp if there is a secret, else none",
            operator=True,
            reload=True,
            example="turn:meet.example.org:3478?transport=tcp",
        ),
    )
    static_secret: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(
            "turn.static_secret",
            or_none(kinds.TEXT),
            "coturn's static-auth-secret",
            env="TURN_STATIC_SECRET",
            operator=True,
            reload=True,
            example="a-long-random-text",
        ),
    )
    credential_lifetime: float = attrs.field(
        default=86400.0,
        metadata=about(
            "turn.credential_lifetime",
            seconds(60, 86400 * 30),
            "credentials are good for this time",
            operator=True,
            reload=True,
        ),
    )
