"""The description of every metric: name, kind, labels, and the help that Prometheus shows.

``python -m meet_trio.operator.described`` prints the table of ``docs/metrics.md``. Names and units
follow Prometheus' rules: base units, and ``_total`` for counters, which is added here. Metrics of
the process have the names that they have everywhere: ``process_…``.
"""

import sys
from enum import Enum

import attrs

PREFIX = "meet_trio_"


class MetricKind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    DISTRIBUTION = "gauge histogram"


@attrs.frozen
class Described:
    """``labels`` with the values that each may have; those of a histogram have ``le`` too."""

    name: str
    kind: MetricKind
    help: str
    values: dict[str, str] = attrs.field(factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.values)

    @property
    def full_name(self) -> str:
        return self.family + ("_total" if self.kind is MetricKind.COUNTER else "")

    @property
    def family(self) -> str:
        """The name without the suffix of counters."""
        return self.name if self.name.startswith("process_") else PREFIX + self.name


def _counter(name: str, help: str, **values: str) -> Described:
    return Described(name, MetricKind.COUNTER, help, values)


def _gauge(name: str, help: str, **values: str) -> Described:
    return Described(name, MetricKind.GAUGE, help, values)


def _histogram(name: str, help: str, **values: str) -> Described:
    return Described(name, MetricKind.HISTOGRAM, help, values)


def _distribution(name: str, help: str) -> Described:
    return Described(name, MetricKind.DISTRIBUTION, help)


_DIRECTION = "in, out"
_MEDIA = "audio, video"
_OF_VIEWERS = "audio, video, unknown (the producer is gone)"
_ENGINE = "0, 1, …"

METRICS = {
    metric.name: metric
    for metric in (
        # the server
        _gauge(
            "build_info",
            "1, with the versions of meet-trio and Python",
            version="of meet-trio",
            python="of Python",
        ),
        _gauge("rooms", "Open rooms"),
        _counter("opened_rooms", "Rooms that were opened"),
        _gauge(
            "peers",
            "Peers: invited and never connected, connected, or away (the socket was lost)",
            state="invited, connected, away",
        ),
        _counter("invited_peers", "Peers that were invited"),
        _gauge(
            "transports",
            "Transports by the state of ICE and DTLS",
            kind="webrtc, plain",
            state="new, connecting, connected",
        ),
        _counter("dtls_handshakes", "DTLS handshakes that have begun"),
        _counter(
            "transport_connects",
            "Ended attempts to connect a WebRTC transport. no_path: no DTLS datagram came in time",
            result="connected, failed, timed_out, no_path, abandoned",
        ),
        _gauge("webhooks_waiting", "Webhooks that are not delivered yet"),
        _counter(
            "webhooks",
            "Webhooks by what became of them; tried_again counts tries",
            result="sent, tried_again, lost, dropped",
        ),
        _gauge("http_connections", "HTTP connections, websockets among them"),
        # sums over the engines' counters
        _counter("datagrams", "Datagrams from and to clients", direction=_DIRECTION),
        _counter("bytes", "Bytes of these datagrams, without UDP and IP", direction=_DIRECTION),
        _counter("dropped", "Datagrams that were dropped, by cause", cause="see below"),
        _counter("forwarded_packets", "RTP packets that were sent to viewers for the first time"),
        _counter("retransmitted_packets", "RTP packets that were sent again, for NACKs"),
        _counter(
            "retransmissions_failed",
            "Packets that a NACK asked for and that were not sent again",
            cause="not_kept, over_budget",
        ),
        _counter("redundant_packets", "RTP packets that were sent twice at once, against loss"),
        _counter("repeated_packets", "Packets of a key frame sent from the history to new viewers"),
        _counter("padding_packets", "Packets of padding, to probe links"),
        _counter("keyframe_requests", "PLIs and FIRs from and to clients", direction=_DIRECTION),
        _counter("keyframe_requests_put_off", "Key frame requests above a viewer's budget"),
        _counter(
            "nacked_packets",
            "Packets that NACKs asked for: of clients (in), of the server (out)",
            direction=_DIRECTION,
        ),
        _counter(
            "lost_packets",
            "RTP packets lost on the way from clients (in), and to them by their reports (out)",
            direction=_DIRECTION,
        ),
        _counter("stun_answers", "STUN requests that were answered"),
        _counter(
            "rebindings",
            "Packets from a new address of a client, and what became of them",
            result="tried, put_off, claimed, moved, confirmed, unconfirmed, taken_back",
        ),
        _counter("relayed_packets", "Packets between engines", direction=_DIRECTION),
        _counter("relayed_bytes", "Bytes between engines", direction=_DIRECTION),
        _counter("tcp_accepted_connections", "ICE-TCP connections", result="accepted, refused"),
        _counter(
            "tcp_closed_connections",
            "ICE-TCP connections that were closed by the server",
            cause="displaced, timed_out, bad_frame",
        ),
        _counter("tcp_accept_pauses", "Pauses in accepting ICE-TCP connections, without resources"),
        _counter("engine_commands", "Commands that engines have applied"),
        _counter(
            "engine_commands_in_vain",
            "Commands without effect",
            cause="unknown_id, refused, not_resumed",
        ),
        # sums over the engines' objects
        _gauge(
            "paths",
            "Transports in the engines by the protocol of their path; none: no path yet",
            protocol="none, udp, tcp",
            secure="yes, no",
        ),
        _gauge("producers", "Streams that peers send", kind=_MEDIA, paused="yes, no"),
        _gauge(
            "active_streams",
            "Encodings of producers that arrive now; layer 0 is the lowest",
            kind=_MEDIA,
            layer="0 to 3",
        ),
        _gauge(
            "consumers",
            "Streams that viewers get, by the encoding that is sent now; none: nothing is sent",
            kind=_OF_VIEWERS,
            layer="0 to 3, none",
        ),
        _gauge("paused_consumers", "Consumers that are paused, or held back", kind=_OF_VIEWERS),
        _gauge("tcp_connections", "Open ICE-TCP connections", state="proven, stranger"),
        _distribution(
            "estimate_bytes_per_second",
            "What the links to clients can carry, over the present transports with an estimate",
        ),
        _distribution(
            "round_trip_seconds",
            "Round trip times to clients, over the present transports where it is known",
        ),
        _distribution(
            "outgoing_loss_ratio",
            "Lost share of the packets to clients, over the transports with an estimate",
        ),
        # each engine
        _gauge("engine_up", "1 if the engine answers", engine=_ENGINE),
        _counter(
            "engine_restarts",
            "Engines that took the place of one that had died",
            engine=_ENGINE,
        ),
        _gauge("engine_peers", "Peers that are placed on the engine", engine=_ENGINE),
        _gauge(
            "engine_waiting_commands",
            "Commands that a busy engine has not taken yet",
            engine=_ENGINE,
        ),
        _counter(
            "engine_busy_seconds",
            "Time that the engine's thread has worked and not waited",
            engine=_ENGINE,
        ),
        _counter("engine_turns", "Turns of the engine's thread", engine=_ENGINE),
        _gauge(
            "engine_longest_turn_seconds",
            "The longest turn since the start, and of the last 10 to 20 seconds",
            engine=_ENGINE,
            span="start, recent",
        ),
        _gauge(
            "engine_packet_buffers",
            "Buffers of the packets that are kept to be sent again",
            engine=_ENGINE,
            state="used, free",
        ),
        # times
        _histogram("join_seconds", "From the accepted socket until join was answered"),
        _histogram("transport_connect_seconds", "From connectWebRtcTransport until DTLS was done"),
        _histogram("dtls_handshake_seconds", "From the first DTLS datagram until DTLS was done"),
        _histogram("first_packet_in_seconds", "From produce until the producer's first packet"),
        _histogram(
            "first_packet_out_seconds",
            "Until a client is sent a consumer's first packet: of video from its answer to "
            "newConsumer, of audio from newConsumer",
            kind=_MEDIA,
        ),
        _histogram(
            "loop_turn_seconds",
            "Turns of the event loop: held in wall-clock time, worked in CPU time",
            clock="held, worked",
        ),
        # the process
        _counter("process_cpu_seconds", "CPU time of all threads, in user and system mode"),
        _gauge("process_resident_memory_bytes", "Memory in RAM"),
        _gauge("process_virtual_memory_bytes", "Address space"),
        _gauge("process_open_fds", "Open file descriptors"),
        _gauge("process_max_fds", "Most file descriptors that may be open"),
        _gauge("process_start_time_seconds", "When the process began, in Unix time"),
    )
}


def markdown() -> str:
    """The table of all metrics."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in METRICS.values():
        labels = "; ".join(f"`{label}`: {values}" for label, values in metric.values.items())
        lines.append(f"| `{metric.full_name}` | {metric.kind.value} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
