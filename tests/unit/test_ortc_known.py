"""Equal capabilities are parsed once and become one object; what is remembered is bounded."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from meet_trio import ortc
from meet_trio.errors import BadRequest
from meet_trio.ortc import KnownCapabilities, known
from meet_trio.ortc.known import MAX_KEY, MAX_KNOWN

REFERENCE: dict[str, Any] = json.loads(
    Path(__file__).with_name("ortc_reference.json").read_text(encoding="utf-8")
)
ROUTER = ortc.router_capabilities()


def client(**more: object) -> dict[str, Any]:
    """The capabilities of a browser; ``more`` are further fields, which are ignored."""
    return copy.deepcopy(REFERENCE["clientRtpCapabilities"]) | more


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was really parsed."""
    seen: list[object] = []

    def parse(data: object) -> ortc.RtpCapabilities:
        seen.append(data)
        return ortc.parse_rtp_capabilities(data)

    monkeypatch.setattr(known, "parse_rtp_capabilities", parse)
    return seen


def test_equal_ones_are_parsed_once(parsed: list[object]) -> None:
    cache = KnownCapabilities(ROUTER)
    first = cache.parse(client())
    whole = ortc.parse_rtp_capabilities(client())
    assert first == ortc.usable_capabilities(whole, ROUTER)
    assert all(cache.parse(client()) is first for _ in range(10))
    assert len(parsed) == 1


def test_others_are_parsed_but_what_is_equal_for_the_router_is_one_object(
    parsed: list[object],
) -> None:
    cache = KnownCapabilities(ROUTER)
    first = cache.parse(client())
    assert cache.parse(client(more=1)) is first
    assert cache.parse(client(more=1.0)) is first
    assert cache.parse(client(more=True)) is first
    assert len(parsed) == 4
    fewer = cache.parse(client() | {"codecs": client()["codecs"][:1]})
    assert fewer != first
    assert cache.parse(client()) is first


def test_what_is_invalid_is_refused_each_time() -> None:
    cache = KnownCapabilities(ROUTER)
    for _ in range(2):
        with pytest.raises(BadRequest, match="codecs"):
            cache.parse({"codecs": 1})
        with pytest.raises(BadRequest, match="object"):
            cache.parse([])
    assert not cache._known


def test_what_is_remembered_is_bounded(parsed: list[object]) -> None:
    cache = KnownCapabilities(ROUTER)
    usual = cache.parse(client())
    for number in range(3 * MAX_KNOWN):
        cache.parse(client(more=number))
        cache.parse(client())  # what is in use stays
    assert len(cache._known) == MAX_KNOWN
    assert len(parsed) == 1 + 3 * MAX_KNOWN
    assert cache.parse(client(more="x" * MAX_KEY)) is usual
    assert all(len(key) <= MAX_KEY for key in cache._known)
    assert len(parsed) == 2 + 3 * MAX_KNOWN


def test_nothing_that_nobody_sent_lately_is_kept() -> None:
    cache = KnownCapabilities(ROUTER)
    first = cache.parse(client())
    assert len(cache._shared) == 1
    for number in range(MAX_KNOWN):
        cache.parse({"codecs": [], "headerExtensions": [], "more": number})
    assert len(cache._shared) == 2
    del first
    assert len(cache._shared) == 1


def test_depth_is_no_way_around(parsed: list[object]) -> None:
    deep: object = 0
    for _ in range(5000):
        deep = [deep]
    cache = KnownCapabilities(ROUTER)
    cache.parse(client(more=deep))
    assert not cache._known
    assert len(parsed) == 1
