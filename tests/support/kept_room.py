"""A room that has something in each field of each record, for tests of what is kept of it."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from meet_trio import ortc
from meet_trio.ortc import KnownCapabilities
from meet_trio.records import Record
from meet_trio.room import Layers, Role, Room
from meet_trio.room.peer import Source
from meet_trio.room.requests import Produce

REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "unit" / "ortc_reference.json").read_text(encoding="utf-8")
)
ROUTER = ortc.router_capabilities()
KNOWN = KnownCapabilities(ROUTER)
CLIENT = KNOWN.parse(REFERENCE["clientRtpCapabilities"])
OTHER = attrs.evolve(CLIENT, header_extensions=())
OWNER = Role.OWNER | Role.MODERATOR | Role.PUBLISHER
STREAMS: tuple[tuple[str, int, Source], ...] = (
    ("A", 0, "webcam"),
    ("A", 2, "mic"),
    ("B", 1, "webcam"),
    ("B", 2, "mic"),
    ("C", 3, "webcam"),
    ("C", 1, "screen"),
    ("C", 2, "screen"),
)
"""Peers, the recorded streams that they send, and as what."""


def producer_rtp(which: int, new_ssrc: Callable[[], int]) -> ortc.ProducerRtp:
    recorded = REFERENCE["producers"][which]
    params = ortc.parse_rtp_parameters(recorded["rtpParameters"])
    return ortc.negotiate_producer(recorded["kind"], params, ROUTER, new_ssrc, cname="Zoë")


def busy_room() -> Room:
    """A room that has something in each field of each record. A and B get what the others send."""
    room = Room("room", 1_795_309_483, recorded=True)
    new_ssrc = itertools.count(5_000).__next__
    for peer in "ABC":
        room.add_peer(peer, OWNER if peer == "A" else Role.PUBLISHER, f"token-{peer}")
        room.connect(peer)
        room.set_receiving(peer, peer != "C")
        room.join(peer, f"Name \N{GRINNING FACE} {peer}", CLIENT)
    for peer, which, source in STREAMS:
        rtp = producer_rtp(which, new_ssrc)
        app_data = {"source": source, "deep": [{"ä": 1.0}, None, 1e300, -7]}
        request = Produce("t", rtp.kind, rtp.params, source, app_data, rtp.kind == "video")
        room.add_producer(peer, f"{peer}-{source}-{which}", request, rtp)
    room.refuse("A", "B-webcam-1")
    for mid, (viewer, producer) in enumerate(room.missing_consumers()):
        room.add_consumer(f"{viewer.id}-{producer.id}", viewer.id, producer.id, str(mid), new_ssrc)
    first, second, *_ = room.peers["B"].consumers.values()
    room.prefer_layers("B", first.id, Layers(1, 2))
    room.prioritize("B", first.id, 200)
    room.pause_consumer("B", second.id, True)
    room.pause_producer("A", next(iter(room.peers["A"].producers)), True)
    room.change_language("A", "B", "de")
    room.raise_hand("C", True)
    room.subscribe_speakers("A", True)
    room.subscribe_speakers("B", False)
    room.pin_peers("B", {"A", "gone"})
    room.set_last_n("A", 1)
    room.update_front(["C", "B"], 10.0)
    room.update_front(["B", "A"], 10.5)
    room.settle(3)
    return room


def records_of(room: Room) -> list[Record]:
    room.note_everything()
    return list(room.take_changes().records)


def written_and_read(records: list[Record]) -> list[Record]:
    return [type(record).from_json(record.to_json()) for record in records]
