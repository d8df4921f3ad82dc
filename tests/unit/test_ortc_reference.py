"""Negotiation has the same results as mediasoup 3.14 for the same input (see
ortc_reference.json). The recorded clients offer no NACK for audio: there the results would differ,
because mediasoup takes it away.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meet_trio import ortc

REFERENCE: dict[str, Any] = json.loads(
    Path(__file__).with_name("ortc_reference.json").read_text(encoding="utf-8")
)
ROUTER = ortc.router_capabilities()
CLIENT = ortc.parse_rtp_capabilities(REFERENCE["clientRtpCapabilities"])


def ssrcs_of(*recorded: dict[str, Any]) -> Callable[[], int]:
    """Return the SSRCs that mediasoup happened to choose."""

    def walk() -> Iterator[int]:
        for params in recorded:
            for encoding in params["encodings"]:
                yield encoding["ssrc"]
                if "rtx" in encoding:
                    yield encoding["rtx"]["ssrc"]

    return walk().__next__


def negotiated(recorded: dict[str, Any]) -> ortc.ProducerRtp:
    return ortc.negotiate_producer(
        recorded["kind"],
        ortc.parse_rtp_parameters(recorded["rtpParameters"]),
        ROUTER,
        ssrcs_of(recorded["consumableRtpParameters"]),
    )


def test_router_capabilities() -> None:
    """Those of the reference, with the same numbers. VP9 with profile 0, AV1 and their RTX follow.
    The Dependency Descriptor has an id that was free.
    """
    ours, theirs = ROUTER.to_json(), REFERENCE["routerRtpCapabilities"]
    assert ours["codecs"][: len(theirs["codecs"])] == theirs["codecs"]
    added = ours["codecs"][len(theirs["codecs"]) :]
    assert [
        (codec["mimeType"], codec["preferredPayloadType"], codec["parameters"]) for codec in added
    ] == [
        ("video/VP9", 109, {"profile-id": 0, "x-google-start-bitrate": 1000}),
        ("video/rtx", 110, {"apt": 109}),
        ("video/AV1", 111, {"x-google-start-bitrate": 1000}),
        ("video/rtx", 112, {"apt": 111}),
    ]
    descriptor = {
        "kind": "video",
        "uri": ortc.Uri.DEPENDENCY_DESCRIPTOR,
        "preferredId": 8,
        "preferredEncrypt": False,
        "direction": "sendrecv",
    }
    assert descriptor in ours["headerExtensions"]
    assert [ext for ext in ours["headerExtensions"] if ext != descriptor] == theirs[
        "headerExtensions"
    ]


def test_capabilities_round_trip() -> None:
    assert CLIENT.to_json() == REFERENCE["clientRtpCapabilities"]


@pytest.mark.parametrize("recorded", REFERENCE["producers"], ids=lambda p: p["type"])
def test_producers(recorded: dict[str, Any]) -> None:
    producer = negotiated(recorded)
    assert producer.kind == recorded["kind"]
    assert producer.type == recorded["type"]
    assert producer.params.to_json() == recorded["rtpParameters"]
    assert producer.consumable.to_json() == recorded["consumableRtpParameters"]


@pytest.mark.parametrize("recorded", REFERENCE["consumers"], ids=lambda p: p["type"])
def test_consumers(recorded: dict[str, Any]) -> None:
    producer = negotiated(REFERENCE["producers"][recorded["producer"]])
    expected = recorded["rtpParameters"]
    consumer = ortc.negotiate_consumer(producer, CLIENT, expected["mid"], ssrcs_of(expected))
    assert consumer is not None
    assert consumer.kind == recorded["kind"]
    assert consumer.type == recorded["type"]
    assert consumer.params.to_json() == expected


@pytest.mark.parametrize("recorded", REFERENCE["meeting"], ids=lambda m: m["received"]["mid"])
def test_what_browsers_sent_and_received(recorded: dict[str, Any]) -> None:
    sent, received = recorded["sent"], recorded["received"]
    mapped = iter(range(1, 10))
    producer = ortc.negotiate_producer(
        recorded["kind"], ortc.parse_rtp_parameters(sent), ROUTER, lambda: next(mapped)
    )
    consumer = ortc.negotiate_consumer(producer, CLIENT, received["mid"], ssrcs_of(received))
    assert consumer is not None
    assert consumer.type == recorded["type"]
    assert consumer.params.to_json() == received
