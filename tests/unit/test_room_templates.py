"""Negotiation whose result viewers share."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meet_trio import ortc
from meet_trio.room import templates
from meet_trio.room.templates import MAX_TEMPLATES, ConsumerTemplates

REFERENCE: dict[str, Any] = json.loads(
    Path(__file__).with_name("ortc_reference.json").read_text(encoding="utf-8")
)
CLIENT = REFERENCE["clientRtpCapabilities"]


def capabilities(client: dict[str, Any] = CLIENT) -> ortc.RtpCapabilities:
    return ortc.parse_rtp_capabilities(copy.deepcopy(client))


def ssrcs() -> Callable[[], int]:
    return iter(range(100, 200)).__next__


def producer(which: int) -> ortc.ProducerRtp:
    recorded = REFERENCE["producers"][which]
    params = ortc.parse_rtp_parameters(recorded["rtpParameters"])
    return ortc.negotiate_producer(recorded["kind"], params, ortc.router_capabilities(), ssrcs())


@pytest.fixture
def negotiations(monkeypatch: pytest.MonkeyPatch) -> list[ortc.RtpCapabilities]:
    """The negotiations that were really made."""
    made: list[ortc.RtpCapabilities] = []

    def negotiate(rtp: Any, caps: ortc.RtpCapabilities, *more: Any) -> Any:
        made.append(caps)
        return ortc.negotiate_consumer(rtp, caps, *more)

    monkeypatch.setattr(templates, "negotiate_consumer", negotiate)
    return made


@pytest.mark.parametrize("which", range(len(REFERENCE["producers"])))
def test_a_template_filled_in_is_what_negotiation_gives(which: int) -> None:
    rtp, caps = producer(which), capabilities()
    template = ConsumerTemplates(rtp).get(caps)
    alone = ortc.negotiate_consumer(rtp, caps, "7", ssrcs())
    filled = template and template.fill("7", ssrcs())
    assert filled == alone
    if template and filled and alone:
        # the order of the fields too
        assert json.dumps(template.to_json(filled.params)) == json.dumps(alone.params.to_json())


def test_viewers_share_what_is_negotiated(negotiations: list[ortc.RtpCapabilities]) -> None:
    known = ConsumerTemplates(producer(3))
    caps = capabilities()
    template = known.get(caps)
    assert all(known.get(caps) is template for _ in range(100))
    assert len(negotiations) == 1
    # The absence of a result is remembered too.
    audio = [codec for codec in CLIENT["codecs"] if codec["kind"] == "audio"]
    deaf = capabilities({**CLIENT, "codecs": audio})
    assert [known.get(deaf) for _ in range(100)] == [None] * 100
    assert len(negotiations) == 2


def test_what_is_remembered_is_bounded(negotiations: list[ortc.RtpCapabilities]) -> None:
    known = ConsumerTemplates(producer(3))
    many = [capabilities() for _ in range(5 * MAX_TEMPLATES)]
    for caps in many:
        assert known.get(caps) is not None
    assert len(known._known) == MAX_TEMPLATES
    assert len(negotiations) == len(many)
    known.get(many[-1])
    assert len(negotiations) == len(many)
    known.get(many[0])
    assert len(negotiations) == len(many) + 1
