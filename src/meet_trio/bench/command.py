"""The command ``meet-trio bench``: its arguments, its runs and its output.

Exit codes: 0 the run is valid, 1 it is not a measurement (packets were wrong, peers have failed,
the generator was saturated, it was stopped), 2 wrong arguments, 3 the server cannot be used.
"""

import argparse
import os
import sys
from pathlib import Path

from meet_trio.bench.errors import BenchError, ScenarioError, bench_error_of
from meet_trio.bench.scenario import Scenario

FINE, DOUBTFUL, USAGE, UNUSABLE = range(4)

_TOKEN_VARIABLE = "AUTH_TOKEN"
_SUFFIXES = {"k": 1_000, "M": 1_000_000}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", help: str) -> None:
    """Add the command's arguments."""
    default = Scenario()
    parser = commands.add_parser(
        "bench",
        help=help,
        usage="meet-trio bench URL [--token TOKEN] [--rooms N] [--publishers N] ...",
        description=(
            "Load a server with rooms full of clients, check every packet that they receive, and "
            "say what it cost. The server is known by the URL of its HTTP API and its token only."
        ),
        epilog=(
            "Exit codes: 0 the run is valid, 1 it is no measurement (the output says why), 2 wrong "
            "arguments, 3 the server cannot be used."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("url", metavar="URL", help="http://HOST:PORT/meetmedia/api")
    parser.add_argument(
        "--token",
        help=f"token of the HTTP API (env {_TOKEN_VARIABLE}, which other users cannot see)",
    )
    parser.add_argument(
        "--insecure", action="store_true", help="believe any TLS certificate of the server"
    )
    people = parser.add_argument_group("who comes")
    _number(people, "rooms", default.rooms, "how many rooms")
    _number(people, "publishers", default.publishers, "peers of each room that send")
    _number(people, "subscribers", default.subscribers, "peers of each room that only receive")
    people.add_argument(
        "--publishers-view",
        action="store_true",
        help="publishers receive the others, as in a meeting",
    )
    _number(people, "join-rate", default.join_rate, "peers that join in a second", kind=float)
    _number(people, "join-timeout", default.join_timeout, "seconds that a join may take", float)
    people.add_argument(
        "--quiet-joins",
        action="store_true",
        help="media begins when all have joined, so that joins are measured alone",
    )
    _number(people, "newcomers", 0, "subscribers who come when the others have been measured")
    _number(people, "newcomer-rate", default.newcomer_rate, "newcomers in a second", kind=float)
    media = parser.add_argument_group("what they send")
    media.add_argument(
        "--bitrate",
        type=_bitrate,
        default=default.bitrate,
        metavar="BPS",
        help="of a camera, such as 800k or 1.5M (default: 1M)",
    )
    _number(media, "fps", default.fps, "frames of a camera in a second")
    _number(media, "packet-size", default.packet_size, "bytes of payload of a packet at most")
    _number(media, "frame-packets", 0, "each frame has as many full packets, whatever the bitrate")
    _number(media, "keyframe-every", default.keyframe_every, "seconds; 0: when asked for", float)
    media.add_argument("--simulcast", action="store_true", help="cameras send three encodings")
    media.add_argument("--audio", action="store_true", help="publishers have a microphone too")
    media.add_argument(
        "--transport",
        choices=("webrtc", "plain"),
        default="webrtc",
        help="by which transports subscribers receive (default: webrtc, which is DTLS-SRTP)",
    )
    media.add_argument(
        "--publish-by",
        choices=("webrtc", "plain"),
        help="by which transports publishers send (default: as --transport)",
    )
    run = parser.add_argument_group("the run")
    _number(run, "warm-up", default.warm_up, "seconds before the measuring", kind=float)
    _number(run, "duration", default.duration, "seconds of measuring", kind=float)
    _number(run, "threads", default.threads, "threads of the generator for media")
    run.add_argument(
        "--no-gro",
        action="store_true",
        help="receive each datagram alone, also if the server has sent several at once",
    )
    run.add_argument(
        "--pid",
        type=int,
        action="append",
        default=[],
        help="the server's process, if it is on this machine: its CPU and memory are measured, "
        "and those of the processes that it has started",
    )
    run.add_argument(
        "--find-limit",
        nargs="?",
        const="rooms",
        choices=("rooms", "subscribers"),
        help="run again and again with more of these (default: rooms), until it is too much",
    )
    _number(run, "max-delay", 50.0, "with --find-limit: ms for 99 of 100 packets", kind=float)
    _number(run, "max-loss", 0.5, "with --find-limit: percent of the packets", kind=float)
    out = parser.add_argument_group("the output")
    out.add_argument("--json", action="store_true", help="print one JSON object")
    out.add_argument("--plots", type=Path, metavar="DIR", help="write SVG files there")


def _number(
    group: "argparse._ArgumentGroup", name: str, default: float, text: str, kind: type = int
) -> None:
    group.add_argument(
        f"--{name}", type=kind, default=default, metavar="N", help=f"{text} (default: {default:g})"
    )


def _bitrate(text: str) -> int:
    factor = _SUFFIXES.get(text[-1:], 1)
    number = text[:-1] if text[-1:] in _SUFFIXES else text
    try:
        return round(float(number) * factor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no bitrate such as 800k or 1.5M") from None


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the return value is the process's exit code."""
    token = arguments.token or os.environ.get(_TOKEN_VARIABLE)
    if not token:
        print(f"meet-trio: there is no token: --token or {_TOKEN_VARIABLE}", file=sys.stderr)
        return USAGE
    try:
        scenario = _scenario(arguments)
        if arguments.find_limit and scenario.newcomers:
            raise ScenarioError("--newcomers: not with --find-limit")
    except ScenarioError as error:
        print(f"meet-trio: {error}", file=sys.stderr)
        return USAGE
    # Imported here, so that other commands and --help do not load the generator.
    from meet_trio.bench import session

    try:
        return session.run(arguments, token, scenario)
    except (BenchError, BaseExceptionGroup) as error:
        print(f"meet-trio: {bench_error_of(error)}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:  # before the run has begun
        return DOUBTFUL


def _scenario(arguments: argparse.Namespace) -> Scenario:
    given = vars(arguments)
    names = (
        *("rooms", "publishers", "subscribers", "bitrate", "fps", "packet_size", "frame_packets"),
        *("keyframe_every", "simulcast", "audio", "publishers_view", "quiet_joins", "join_rate"),
        *("join_timeout", "newcomers", "newcomer_rate", "warm_up", "duration", "threads"),
    )
    return Scenario(
        **{name: given[name] for name in names},
        view_by=arguments.transport,
        publish_by=arguments.publish_by or arguments.transport,
        join_datagrams=not arguments.no_gro,
    )
