from .records import ConsumerSpec, EngineSettings, Event, ProducerSpec

class EngineOverloaded(Exception):
    """The command ring is full: the engine's thread does not keep up."""

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

    def set_max_incoming_bitrate(self, transport: int, bps: int) -> None:
        """What REMB grants, in bit/s."""

    def remove_transport(self, transport: int) -> None:
        """With its producers and consumers."""

    def add_producer(self, producer: int, transport: int, spec: ProducerSpec) -> None: ...
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
    """Opens the socket and starts the thread. OSError when it cannot."""

    def __init__(self, settings: EngineSettings) -> None: ...
    @property
    def ip(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def event_fd(self) -> int:
        """Readable when events wait."""

    def read_events(self) -> list[Event]:
        """All that wait; never blocks."""

    def close(self) -> None:
        """Stop and join the thread; idempotent."""

class Core(_Commands):
    """Its clock is ``now``, in µs. ``take_events_in`` False: as if nobody read events."""

    now: int
    take_events_in: bool

    def __init__(self, settings: EngineSettings, seed: int = 1) -> None: ...
    def datagram(self, ip: str, port: int, data: bytes) -> None: ...
    def tick(self) -> int:
        """When to come again."""

    def take_sent(self) -> list[tuple[str, int, bytes]]: ...
    def take_events(self) -> list[Event]: ...
