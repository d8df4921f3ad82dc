from collections.abc import Iterable, Sequence
from typing import Self

from meet_trio.engine.crowd_records import CrowdEvent, FeedSpec, ViewedSpec
from meet_trio.engine.records import (
    AeadChoice,
    AeadLibrary,
    ConsumerSpec,
    EngineEvent,
    EngineSettings,
    Kept,
    ProducerSpec,
)

def aead_library(choice: AeadChoice) -> AeadLibrary:
    """The library that engines with this setting use. The first call in a process may take some
    milliseconds.
    """

def read_kept(fd: int) -> Kept:
    """What an earlier process has left in the file of its region. The file is opened to be read; it
    stays the caller's. Damage is named and does no harm. Raises ValueError if nothing can be read:
    it is no region, or one of another layout.
    """

class _Commands:
    """The commands of both classes. They never wait. An impossible argument raises ValueError, and
    then nothing is done.

    A command for an unknown id does nothing: the object may have gone a moment ago.
    """

    def add_transport(self, transport: int, ufrag: str, password: str) -> None: ...
    def restart_ice(self, transport: int, ufrag: str, password: str) -> None:
        """The old credentials are valid until a check with the new ones comes."""

    def set_srtp(self, transport: int, profile: int, tx_keying: bytes, rx_keying: bytes) -> None:
        """``profile`` is a number of RFC 5764 §4.1.2; keying is the master key, then the salt."""

    def send_dtls(self, transport: int, datagram: bytes) -> None:
        """Send by the selected path; without one the datagram is dropped."""

    def add_plain_transport(
        self, transport: int, rtp_fd: int, rtcp_fd: int, allowed: Iterable[str], comedia: bool
    ) -> None:
        """Add a transport for RTP without ICE, DTLS and SRTP. ``allowed`` holds at most 16 networks
        like ``10.0.0.0/8``; the transport takes nothing from other addresses and sends nothing to
        them. ``comedia``: the first packet tells the client's address, separately for RTP and RTCP.

        The file descriptors are bound UDP sockets. If this returns, the engine owns them and closes
        them with the transport. If it raises, they stay the caller's. ``Core`` ignores them.
        """

    def connect_plain_transport(self, transport: int, ip: str, port: int, rtcp_port: int) -> None:
        """Tell the client's address. With ``comedia`` the client's packets may still change it. An
        address outside of the allowed networks is refused and counted.
        """

    def set_max_incoming_bitrate(self, transport: int, bps: int) -> None:
        """The bitrate that REMB grants, in bit/s."""

    def set_max_outgoing_bitrate(self, transport: int, bps: int) -> None:
        """The most that its consumers may send together, in bit/s; 0: no limit."""

    def trace_transport(self, transport: int, on: bool) -> None:
        """Copy its RTP and RTCP, without SRTP, into ``PacketsTraced`` events. At most 8 transports
        at once; more are refused and counted.
        """

    def remove_transport(self, transport: int) -> None:
        """Remove it with its producers and consumers."""

    def add_producer(self, producer: int, transport: int, spec: ProducerSpec) -> None: ...
    def add_mirror(self, producer: int, spec: ProducerSpec) -> None:
        """Add a producer of another engine, with the ``spec`` that was used there. It is silent
        until it is relayed, and it sends no events. It has consumers, and is paused, resumed and
        removed, like a producer of this engine.
        """

    def relay_producer(self, producer: int, to: Self) -> None:
        """Send the producer's packets to its mirror on ``to``, as far as that asks for them. The
        mirror must have been added before. Does nothing if ``to`` is closed. Raises ValueError if
        ``to`` is this engine.
        """

    def stop_relaying(self, producer: int, to: Self) -> None:
        """The mirror becomes silent and stays. Relaying also ends with the producer, with the
        mirror, and with either engine.
        """

    def set_producer_paused(self, producer: int, paused: bool) -> None: ...
    def watch_audio_level(self, producer: int) -> None:
        """Report the producer's audio level as ``AudioLevel`` from now on. A mirror has none."""

    def remove_producer(self, producer: int) -> None:
        """Remove the producer. Its consumers stay until they are removed, and are silent."""

    def request_keyframe(self, producer: int) -> None: ...
    def add_consumer(
        self, consumer: int, transport: int, producer: int, spec: ConsumerSpec
    ) -> None: ...
    def set_consumer_paused(self, consumer: int, paused: bool) -> None: ...
    def set_preferred_layers(self, consumer: int, spatial: int, temporal: int = 7) -> None:
        """The highest encoding to forward, and its highest temporal layer. 0 is the lowest of each;
        a number above the highest means the highest.
        """

    def set_consumer_priority(self, consumer: int, priority: int) -> None:
        """From 1, which is the default, to 255. Of the consumers of one transport, those with a
        higher priority get bandwidth first.
        """

    def request_consumer_keyframe(self, consumer: int) -> None:
        """As if its client had sent a PLI: it pays for it. Does nothing while it is paused."""

    def remove_consumer(self, consumer: int) -> None: ...
    def resume_transport(self, transport: int, blob: bytes, exact: bool = True) -> None:
        """Go on where an earlier process has left the transport, with a blob of ``Kept``. It comes
        after what adds the transport and its keys, before ``begin``. A blob that does not fit is
        refused and counted. With ``exact`` False the blob is one of a snapshot: the SRTCP index
        jumps ahead, and times count from the snapshot.

        A transport whose keys were set before ``begin``, and that was not resumed or was refused,
        sends and receives nothing: its SRTP indices must not begin anew. ``IceSilent`` follows
        ``begin``.
        """

    def resume_producer(self, producer: int, blob: bytes, exact: bool = True) -> None:
        """The same for a producer or a mirror, after its transport. With ``exact`` False only the
        SSRCs of its streams are taken.
        """

    def resume_consumer(self, consumer: int, blob: bytes, exact: bool = True) -> None:
        """The same for a consumer, after its producer. Its client sees one continuous stream, and
        needs no key frame. If it is refused, it begins with a key frame, at the index that its
        transport has kept. With ``exact`` False the blob is one of a snapshot: indices and picture
        numbers jump ahead, the indices by 16,384, and it begins with a key frame.
        """

    def request_snapshot(self, token: int) -> None:
        """Ask for a ``SnapshotReady`` event with this token, which is above 0. From the first
        snapshot on the engine uses no index 16,384 above that of the newest stored one, and drops
        packets that would need it.
        """

    def snapshot_stored(self, token: int) -> None:
        """The snapshot with this token is stored, and will not be replaced by an older one. It
        counts if it is the one that was taken last. 0: none is stored, or will be, anywhere.
        """

    def send_until(self, time: int) -> None:
        """Send nothing from this time on, in µs of CLOCK_MONOTONIC. 0: no limit."""

    def begin(self) -> None:
        """End a hold: see ``Engine``. All commands before this one are applied before the first
        datagram is read. Does nothing if the engine is not held.
        """

    def hold(self, token: int) -> None:
        """Hold an engine that has begun, so that another process may go on with its objects. What
        it has received is sent. ``EngineHeld`` with this token is the answer. From then on it reads
        and sends nothing, and its region has all that is kept. Commands are applied.

        What other engines relay to it meanwhile waits. A second call sends that too. So hold all
        engines, wait for their answers, and hold them all once more.
        """

    def request_stats(self, token: int) -> None:
        """Ask for a ``StatsReady`` event with this token."""

class Engine(_Commands):
    """An engine with its own sockets and thread. Raises OSError if a socket cannot be opened.

    ``sockets``: file descriptors of an earlier process, for each of the settings' addresses its
    UDP socket and its listening TCP socket. They are taken over in place of new ones. If this
    returns, the engine owns them; if it raises, they stay the caller's. Raises ValueError if one is
    not bound as the settings say.

    A new engine is held until ``begin``: it applies commands, but reads no socket, accepts no
    connection, and gives no events. What comes meanwhile waits in the kernel. After ``hold`` it is
    the same, but events that commands cause are given. The end of an engine that is held sends
    nothing, and ends no connection that another process has too.

    ``region_fd``: an empty file on a file system in memory, which the caller may close. What has to
    outlive the process lies in it (``c/base/region.h``). ``index`` is written into it. Without it
    nothing outlives the process. Raises OSError if the file is not empty, or has no room.

    Commands that find the ring full wait, in order, until the thread has taken others. For each
    object only the newest of each setting waits; for a removed object only the removal waits.
    """

    def __init__(
        self,
        settings: EngineSettings,
        sockets: Sequence[tuple[int, int]] = (),
        region_fd: int = -1,
        index: int = 0,
    ) -> None: ...
    @property
    def ips(self) -> tuple[str, ...]:
        """The addresses that it listens on, as in its settings."""

    @property
    def port(self) -> int:
        """One port, the same at all addresses."""

    @property
    def sockets(self) -> tuple[tuple[int, int], ...]:
        """For each address the file descriptors of its UDP socket and of its listening TCP socket.
        They stay the engine's.
        """

    @property
    def event_fd(self) -> int:
        """Becomes readable when events wait."""

    def read_events(self) -> list[EngineEvent]:
        """All waiting events; never blocks. Also gives waiting commands to the thread, as far as
        the ring has room.
        """

    @property
    def waiting(self) -> int:
        """The number of commands that wait for room in the ring. While it is above 0, ``event_fd``
        becomes readable when the engine takes commands.
        """

    def give_up(self) -> None:
        """Give up a thread that hangs. It ends when it can, and commands do nothing from now on."""

    def join(self) -> None:
        """Stop the thread and wait for its end. Until ``close`` the sockets stay open. The region
        stays as it is. Commands do nothing from now on. Idempotent.
        """

    def close(self) -> None:
        """Join the thread and free all; idempotent."""

class Core(_Commands):
    """The engine's state machine alone, for tests. ``now`` is its clock, in µs. With
    ``take_events_in`` False it behaves as if nobody read its events. ``region_fd``, ``index``: as
    for ``Engine``. ``held``: it is held until ``begin``.
    """

    now: int
    take_events_in: bool

    def __init__(
        self,
        settings: EngineSettings,
        seed: int = 1,
        region_fd: int = -1,
        index: int = 0,
        held: bool = False,
    ) -> None: ...
    def datagram(self, ip: str, port: int, data: bytes) -> None: ...
    def tcp_datagram(self, connection: int, ip: str, port: int, data: bytes) -> None:
        """A datagram that came by a TCP connection, without its frame."""

    def tcp_closed(self, connection: int, ip: str, port: int) -> None:
        """The TCP connection has ended."""

    def plain_datagram(
        self, transport: int, ip: str, port: int, data: bytes, rtcp: bool = False
    ) -> None:
        """A datagram that came by a plain transport's RTP or RTCP socket."""

    def gather(self) -> None:
        """Packets of the datagrams that follow may wait for others, until ``forward`` is called.
        That has to come before any other call.
        """

    def forward(self) -> None: ...
    def tick(self) -> int:
        """Do what is due; returns the time of the next call, in µs."""

    def event(self, number: int, id: int) -> EngineEvent:
        """The record of an event with this ``mt_event_type``. ValueError if there is none."""

    def cross(self) -> None:
        """Take the messages of the links to other cores. They are taken at no other time."""

    def close(self) -> None:
        """End as an engine does, for linked cores. Commands do nothing from now on."""

    def die(self) -> None:
        """The same, by a failure: mirrors on other cores wait for a core in its place."""

    def take_sent(self) -> list[tuple[str, int, bytes]]: ...
    def take_tcp_sent(self) -> list[tuple[int, bytes]]:
        """Datagrams for TCP connections: ``(connection, datagram)``."""

    def take_plain_sent(self) -> list[tuple[int, bool, str, int, bytes]]:
        """Datagrams of plain transports: ``(transport, is_rtcp, ip, port, datagram)``; ``is_rtcp``
        tells by which of the two sockets.
        """

    def take_events(self) -> list[EngineEvent]: ...

class Crowd:
    """The media of many clients of a server, with sockets and a thread of its own. Commands do not
    wait, but for milliseconds if the ring is full. An impossible argument raises ValueError.

    ``join``: datagrams that the server on this machine has sent as one are received as one.
    """

    def __init__(self, join: bool = True) -> None: ...
    @property
    def event_fd(self) -> int:
        """Becomes readable when events wait."""

    def add_endpoint(
        self, rtp_fd: int, rtcp_fd: int, check: bytes, transport_cc_id: int, ssrc: int
    ) -> int:
        """Add the client's end of a transport; returns its number. The file descriptors are
        connected UDP sockets, which are the crowd's from now on. ``rtcp_fd`` is -1 unless RTCP has
        a socket of its own. ``check`` is the connectivity check to send; an empty one makes a plain
        transport.
        ``transport_cc_id``: the id of that header extension in what comes; 0: no feedback.
        ``ssrc``: of its RTCP.
        """

    def set_srtp(self, endpoint: int, profile: int, tx_keying: bytes, rx_keying: bytes) -> None: ...
    def send(self, endpoint: int, datagram: bytes) -> None:
        """Send a DTLS datagram."""

    def add_feed(self, endpoint: int, spec: FeedSpec) -> None: ...
    def add_viewed(self, endpoint: int, spec: ViewedSpec) -> None: ...
    def set_silent(self, silent: bool) -> None:
        """While silent the feeds do not send."""

    def request_report(self, token: int) -> None:
        """Ask for a ``CrowdReport`` with this token."""

    def read_events(self) -> list[CrowdEvent]:
        """All waiting events; never blocks."""

    def close(self) -> None:
        """Stop and join the thread; close the sockets; idempotent."""
