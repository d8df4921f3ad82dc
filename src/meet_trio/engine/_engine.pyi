from collections.abc import Iterable
from typing import Self

from meet_trio.engine.records import ConsumerSpec, EngineSettings, Event, ProducerSpec

class _Commands:
    """What both take. Nothing waits; ValueError for what cannot be, before anything happens.

    An unknown id is an object that has gone a moment ago: the command does nothing.
    """

    def add_transport(self, transport: int, ufrag: str, password: str) -> None: ...
    def restart_ice(self, transport: int, ufrag: str, password: str) -> None:
        """The old credentials hold until a check with the new ones comes."""

    def set_srtp(self, transport: int, profile: int, tx_keying: bytes, rx_keying: bytes) -> None:
        """``profile`` as in RFC 5764 §4.1.2; keying is master key and salt together."""

    def send_dtls(self, transport: int, datagram: bytes) -> None:
        """To the selected path; dropped as long as there is none."""

    def add_plain_transport(
        self, transport: int, rtp_fd: int, rtcp_fd: int, allowed: Iterable[str], comedia: bool
    ) -> None:
        """RTP without ICE, DTLS and SRTP. Nothing is taken from or sent to addresses outside of
        ``allowed``, at most 16 networks like ``10.0.0.0/8``. ``comedia``: the first packet says
        where the client is, for RTP and RTCP by itself.

        The bound UDP sockets are the engine's if this returns, and closed with the transport; the
        caller's if it raises. ``Core`` does not look at them.
        """

    def connect_plain_transport(self, transport: int, ip: str, port: int, rtcp_port: int) -> None:
        """Say where the client is. With ``comedia`` its packets may still say better. Refused,
        and counted, outside of the allowed networks.
        """

    def set_max_incoming_bitrate(self, transport: int, bps: int) -> None:
        """What REMB grants, in bit/s."""

    def remove_transport(self, transport: int) -> None:
        """With its producers and consumers."""

    def add_producer(self, producer: int, transport: int, spec: ProducerSpec) -> None: ...
    def add_mirror(self, producer: int, spec: ProducerSpec) -> None:
        """A producer of another engine, as it was added there. Its consumers are added here as
        ever; it is silent until it is relayed, sends no events, and is removed, paused and resumed
        here like a producer.
        """

    def relay_producer(self, producer: int, to: Self) -> None:
        """Send what its mirror on ``to`` wants; the mirror is there already. To a closed engine
        nothing happens. ValueError when ``to`` is this one.
        """

    def stop_relaying(self, producer: int, to: Self) -> None:
        """The mirror falls silent and stays. It ends by itself with the producer, with the mirror
        and with either engine.
        """

    def set_producer_paused(self, producer: int, paused: bool) -> None: ...
    def remove_producer(self, producer: int) -> None:
        """Its consumers stay, silent, until they are removed."""

    def request_keyframe(self, producer: int) -> None: ...
    def add_consumer(
        self, consumer: int, transport: int, producer: int, spec: ConsumerSpec
    ) -> None: ...
    def set_consumer_paused(self, consumer: int, paused: bool) -> None: ...
    def set_preferred_layers(self, consumer: int, spatial: int) -> None:
        """The highest encoding to forward."""

    def remove_consumer(self, consumer: int) -> None: ...
    def request_stats(self, token: int) -> None:
        """Answered by a ``StatsReady``."""

class Engine(_Commands):
    """Opens the sockets and starts the thread. OSError when it cannot.

    Commands that find its ring full wait, in order, until it has taken others. Of each object only
    the newest of each setting waits, and nothing of one that is removed meanwhile but its removal.
    """

    def __init__(self, settings: EngineSettings) -> None: ...
    @property
    def ips(self) -> tuple[str, ...]:
        """Where it listens, as in its settings."""

    @property
    def port(self) -> int:
        """The same one at all addresses."""

    @property
    def event_fd(self) -> int:
        """Readable when events wait."""

    def read_events(self) -> list[Event]:
        """All that wait; never blocks. Commands that wait are given, as far as there is room."""

    @property
    def waiting(self) -> int:
        """Commands that wait for room. While there are some, ``event_fd`` becomes readable as the
        engine takes commands.
        """

    def give_up(self) -> None:
        """Commands do nothing any more, and the thread ends when it can. For one that hangs."""

    def close(self) -> None:
        """Stop and join the thread; idempotent."""

class Core(_Commands):
    """Its clock is ``now``, in µs. ``take_events_in`` False: as if nobody read events."""

    now: int
    take_events_in: bool

    def __init__(self, settings: EngineSettings, seed: int = 1) -> None: ...
    def datagram(self, ip: str, port: int, data: bytes) -> None: ...
    def tcp_datagram(self, connection: int, ip: str, port: int, data: bytes) -> None:
        """What has come by a TCP connection, without its frame."""

    def tcp_closed(self, connection: int, ip: str, port: int) -> None:
        """That connection has ended."""

    def plain_datagram(
        self, transport: int, ip: str, port: int, data: bytes, rtcp: bool = False
    ) -> None:
        """What has come by a plain transport's RTP or RTCP socket."""

    def tick(self) -> int:
        """When to come again."""

    def event(self, number: int, id: int) -> Event:
        """What an event of this number (``mt_event_type``) is to Python. ValueError for others."""

    def cross(self) -> None:
        """Take what other cores have sent; their own packets and wishes cross only so."""

    def close(self) -> None:
        """As an engine's end looks to linked cores. Afterwards commands do nothing."""

    def take_sent(self) -> list[tuple[str, int, bytes]]: ...
    def take_tcp_sent(self) -> list[tuple[int, bytes]]:
        """By TCP connections: which, and the datagram."""

    def take_plain_sent(self) -> list[tuple[int, bool, str, int, bytes]]:
        """By plain transports' sockets: transport, whether by its RTCP socket, ip, port, data."""

    def take_events(self) -> list[Event]: ...
