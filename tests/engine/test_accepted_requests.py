"""The engine takes without an error everything that parsers and negotiation accept from a client.

The strategies stay close to the limits, on both sides of them: values that pass must be within the
engine's own checks, in bytes and in numbers.
"""

import copy
import hashlib
import ipaddress
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meet_trio import ortc
from meet_trio.engine import Core, EngineSettings, StatsReady
from meet_trio.errors import BadRequest
from meet_trio.media.engines import EngineHost
from meet_trio.media.plain import PlainPorts, PlainTransport
from meet_trio.media.settings import PlainSettings, TransportSettings
from meet_trio.media.specs import consumer_spec, producer_spec
from meet_trio.ortc import Uri
from meet_trio.room import parse_request, requests

REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "unit" / "ortc_reference.json").read_text(encoding="utf-8")
)
ROUTER = ortc.router_capabilities()
TRANSPORT, VIEWER, PRODUCER, CONSUMER = 1, 2, 3, 4

# lengths at the limits and just above, in characters and in bytes
names = st.sampled_from(
    [
        *("a" * 63, "a" * 64, "a" * 65, "ä" * 32, "ä" * 32 + "a", "ä" * 64, "€" * 21, "€" * 22),
        *("😀" * 16, "😀" * 17, "", "0", "a\r\nb", "\0", "\ud800"),
    ]
) | st.text(max_size=66)
cnames = names | st.sampled_from(["c" * 255, "c" * 256, "ä" * 127 + "c", "ä" * 128, "€" * 85])
ssrcs = st.sampled_from([0, 1, 2, 3, 2**32 - 1, 2**32, -1, 1.0])
payload_types = st.sampled_from([-1, 0, 1, 95, 96, 97, 127, 128, 255])
ids = st.sampled_from([0, 1, 2, 3, 4, 14, 15, 16, 255, 256])
clock_rates = st.sampled_from([0, 1, 48000, 90000, 90000.0, 1_000_000, 1_000_001, 2**31, 2**32])
uris = st.sampled_from([e.uri for e in ROUTER.header_extensions] + ["urn:x", "u" * 256, "ü" * 200])
mime_types = st.sampled_from(
    ["audio/opus", "video/VP8", "VIDEO/vp9", "video/H264", "video/rtx", "audio/rtx", "video/x/rtx"]
)
parameters = st.fixed_dictionaries(
    {},
    optional={
        "apt": payload_types,
        "profile-id": st.sampled_from([0, 2, "2", "02"]),
        "packetization-mode": st.sampled_from([0, 1, "1"]),
        "profile-level-id": st.sampled_from(["42e01f", "42E01F", "4d0032", "42f00b", 640032, "x"]),
        "level-asymmetry-allowed": st.sampled_from([0, 1, "1"]),
    },
)
CODEC: dict[str, st.SearchStrategy[Any]] = {
    "mimeType": mime_types,
    "payloadType": payload_types,
    "clockRate": clock_rates,
    "parameters": parameters,
    "channels": st.sampled_from([0, 1, 2, 255, 256]),
}
ENCODING: dict[str, st.SearchStrategy[Any]] = {
    "ssrc": ssrcs,
    "rid": names,
    "rtx": st.fixed_dictionaries({"ssrc": ssrcs}),
    "codecPayloadType": payload_types,
    "scalabilityMode": st.sampled_from(["L1T3", "L99T99", "L0T1", "L3T3_KEY", "S2T1" + "x" * 9]),
    "maxBitrate": st.sampled_from([0, 1.5, 2**63 - 1, 2**63, -1]),
}
EXTENSION: dict[str, st.SearchStrategy[Any]] = {"uri": uris, "id": ids}
LISTS = {"codecs": CODEC, "encodings": ENCODING, "headerExtensions": EXTENSION}
recorded = st.sampled_from(REFERENCE["producers"] + REFERENCE["meeting"])


@st.composite
def produce_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A recorded request with a few places changed, each to a value near a limit."""
    recording = draw(recorded)
    params = copy.deepcopy(recording.get("rtpParameters") or recording["sent"])
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(["mid", "cname", *LISTS]))
        if place == "mid":
            params["mid"] = draw(names | st.none())
        elif place == "cname":
            params["rtcp"]["cname"] = draw(cnames)
        else:
            _change_one(draw, params.setdefault(place, []), LISTS[place])
    return {
        "transportId": "t",
        "kind": recording["kind"],
        "rtpParameters": params,
        "appData": {"source": "mic"},
    }


def _change_one(draw: st.DrawFn, items: list[Any], fields: dict[str, Any]) -> None:
    """Leave an item out, put one in, or change a field of one."""
    index = draw(st.integers(0, len(items)))
    if index == len(items):
        items.append(draw(st.fixed_dictionaries({}, optional=fields)))
    elif draw(st.integers(0, 4)) == 0:
        del items[index]
    else:
        field = draw(st.sampled_from([*fields]))
        items[index][field] = draw(fields[field])


def take(data: dict[str, Any], *, by_payload_type: bool = False) -> dict[str, Any]:
    """Pass a request through parser and negotiation into an engine, with a viewer; return its
    figures.
    """
    request = parse_request("produce", data)
    assert isinstance(request, requests.Produce)
    new_ssrc = itertools.count(1).__next__
    rtp = ortc.negotiate_producer(
        request.kind,
        request.rtp_parameters,
        ROUTER,
        new_ssrc,
        by_payload_type=by_payload_type,
    )
    core = Core(EngineSettings())
    core.add_transport(TRANSPORT, "ufrag", "password")
    core.add_transport(VIEWER, "other", "password")
    core.add_producer(PRODUCER, TRANSPORT, producer_spec(rtp, paused=False))
    core.add_mirror(PRODUCER + 1, producer_spec(rtp, paused=False))
    consumer = ortc.negotiate_consumer(rtp, ROUTER, "0", new_ssrc)
    assert consumer is not None
    core.add_consumer(CONSUMER, VIEWER, PRODUCER, consumer_spec(consumer, paused=False))
    return figures(core)


def figures(core: Core) -> dict[str, Any]:
    """The engine's figures; closes the engine."""
    core.request_stats(1)
    core.tick()
    (stats,) = [e.stats for e in core.take_events() if isinstance(e, StatsReady)]
    core.close()
    return stats


@given(produce_requests(), st.booleans())
@example(
    {
        "transportId": "t",
        "kind": "video",
        "rtpParameters": {**REFERENCE["producers"][3]["rtpParameters"], "mid": "ä" * 64},
        "appData": {"source": "webcam"},
    },
    False,
)
def test_what_is_accepted_of_a_stream_the_engine_takes(data: Any, by_payload_type: bool) -> None:
    try:
        stats = take(data, by_payload_type=by_payload_type)
    except BadRequest as error:
        str(error).encode()
        return
    assert list(stats["producers"]) == [str(PRODUCER)]
    assert list(stats["mirrors"]) == [str(PRODUCER + 1)]
    assert list(stats["consumers"]) == [str(CONSUMER)]
    assert stats["engine"]["commands_refused"] == 0


def with_names(mid: str, rid: str, cname: str) -> dict[str, Any]:
    params = copy.deepcopy(REFERENCE["producers"][3]["rtpParameters"])
    params["mid"], params["rtcp"]["cname"] = mid, cname
    params["encodings"][0]["rid"] = rid
    return {
        "transportId": "t",
        "kind": "video",
        "rtpParameters": params,
        "appData": {"source": "webcam"},
    }


@pytest.mark.parametrize("name", ["a" * 64, "ä" * 32, "€" * 21 + "a", "😀" * 16])
def test_the_longest_names_come_through(name: str) -> None:
    stats = take(with_names(name, name, "ä" * 127 + "c"))
    assert stats["producers"][str(PRODUCER)]["streams"][0]["rid"] == name


@pytest.mark.parametrize("ids_", [(1, 2), (14, 15), (16, 254), (255, 1)])
def test_all_ids_of_header_extensions_come_through(ids_: tuple[int, int]) -> None:
    data = with_names("0", "r", "c")
    data["rtpParameters"]["headerExtensions"] = [
        {"uri": uri, "id": number} for uri, number in zip((Uri.MID, Uri.RID), ids_, strict=True)
    ]
    assert take(data)["producers"]


@pytest.mark.parametrize("length", [63, 64])
@pytest.mark.parametrize("letter", ["ä", "€", "😀"])
def test_lengths_are_bytes(letter: str, length: int) -> None:
    for names_ in ((letter * length, "r", "c"), ("0", letter * length, "c")):
        with pytest.raises(BadRequest, match="expected 1 to 64 bytes"):
            take(with_names(*names_))


# The address of a client of plain RTP

addresses = (
    st.sampled_from(
        [
            *("127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.1", "1.2.3.4%eth0"),
            *("::1", "::", "ff02::1", "fe80::1%eth0", "fe80::1%", "fe80::1%" + "x" * 56, "%", ""),
            *("::ffff:192.0.2.1", "::ffff:127.0.0.1%lo", "2001:db8::1%a%b", "01.2.3.4", "1.2.3"),
            *(
                "::ffff:0.0.0.0",
                "::ffff:224.0.0.1",
                "::127.0.0.1",
                "64:ff9b::7f00:1",
                "\u0661.1.1.1",
            ),
        ]
    )
    | st.ip_addresses().map(str)
    | st.text(max_size=66)
)
ports = st.sampled_from([0, 1, 39999, 40000, 49999, 50000, 65535, 65536, -1, 5004.0, None])


@example("255.255.255.255", 5004, 5005, "::", False)
@example("fe80::1%eth0", 5004, 5005, "::", False)
@example("::ffff:192.0.2.1", 5004, 5004, "127.0.0.1", True)
@given(addresses, ports, ports, st.sampled_from(["::", "127.0.0.1", "::1"]), st.booleans())
def test_what_is_accepted_of_an_address_the_engine_takes(
    ip: str, port: object, rtcp_port: object, listen_ip: str, comedia: bool
) -> None:
    data = {"transportId": "t", "ip": ip, "port": port, "rtcpPort": rtcp_port}
    core = Core(EngineSettings())
    settings = PlainSettings(allowed=("0.0.0.0/0", "::/0"))
    transport = PlainTransport(
        host=EngineHost(core, itertools.count(1)),  # type: ignore[arg-type]
        ports=PlainPorts(settings, [listen_ip]),
        settings=TransportSettings(),
        addresses=["192.0.2.9"],
        client_ip="",
        producing=comedia,
        consuming=not comedia,
    )
    core.add_plain_transport(transport.number, -1, -1, transport._allowed, comedia)
    try:
        request = parse_request("connectPlainTransport", data)
        assert isinstance(request, requests.ConnectPlainTransport)
        transport.connect(request.ip, request.port, request.rtcp_port)
    except BadRequest as error:
        str(error).encode()
        return
    stats = figures(core)
    assert stats["engine"]["commands_refused"] == 0
    there = stats["transports"][str(transport.number)]["address"]
    address = ipaddress.ip_address(there[0])
    assert there[1] == port
    assert not address.is_multicast
    assert not address.is_unspecified
    assert address != ipaddress.ip_address("255.255.255.255")


# Certificates

fingerprints = st.fixed_dictionaries(
    {
        "algorithm": st.sampled_from(["sha-1", "sha-256", "sha-512", "SHA-256", "md5", ""]),
        "value": st.sampled_from([":".join(["ab"] * n) for n in (0, 1, 20, 31, 32, 33, 64, 86)])
        | st.text(max_size=100),
    }
)


@given(st.lists(fingerprints, max_size=17), st.sampled_from(["auto", "client", "server", None, ""]))
def test_what_is_accepted_of_a_certificate_can_be_compared(given: Any, role: object) -> None:
    data = {"transportId": "t", "dtlsParameters": {"role": role, "fingerprints": given}}
    try:
        request = parse_request("connectWebRtcTransport", data)
    except BadRequest as error:
        str(error).encode()
        return
    assert isinstance(request, requests.ConnectWebRtcTransport)
    for fingerprint in request.fingerprints:
        digest = hashlib.new(fingerprint.algorithm.replace("-", "")).digest_size
        assert len(bytes.fromhex(fingerprint.value.replace(":", ""))) == digest
