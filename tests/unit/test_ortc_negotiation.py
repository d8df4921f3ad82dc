"""Negotiation beyond the recorded cases: refusals, H.264 levels, and properties of every result."""

import contextlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio import ortc
from meet_trio.errors import BadRequest
from meet_trio.ortc import negotiate as negotiate_module
from meet_trio.ortc.h264 import Profile, answer_profile_level, parse_profile_level
from meet_trio.ortc.match import same_codec
from meet_trio.ortc.records import Feedback, is_rtx

REFERENCE: dict[str, Any] = json.loads(
    Path(__file__).with_name("ortc_reference.json").read_text(encoding="utf-8")
)
ROUTER = ortc.router_capabilities()
CLIENT = ortc.parse_rtp_capabilities(REFERENCE["clientRtpCapabilities"])
RIDS = REFERENCE["producers"][3]["rtpParameters"]
SSRCS = REFERENCE["producers"][1]["rtpParameters"]
OPUS = REFERENCE["producers"][2]["rtpParameters"]


def counter() -> Callable[[], int]:
    return itertools.count(1000).__next__


def negotiate(data: Any, kind: ortc.MediaKind = "video") -> ortc.ProducerRtp:
    return ortc.negotiate_producer(kind, ortc.parse_rtp_parameters(data), ROUTER, counter())


def changed(data: Any, path: str, value: object) -> Any:
    """A copy of ``data`` with one value set; ``path`` is like ``encodings.1.ssrc``. None removes
    the value.
    """
    copy = json.loads(json.dumps(data))
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = copy
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copy


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "rtpParameters: expected an object"),
        ({}, "rtpParameters.codecs: expected a media codec"),
        (changed(RIDS, "codecs", "x"), "rtpParameters.codecs: expected a list"),
        (changed(RIDS, "codecs.0", "x"), "rtpParameters.codecs[0]: expected an object"),
        (changed(RIDS, "codecs.0.mimeType", None), "rtpParameters.codecs[0].mimeType: is missing"),
        (
            changed(RIDS, "codecs.0.mimeType", "text/plain"),
            "rtpParameters.codecs[0].mimeType: expected audio/… or video/…",
        ),
        (
            changed(RIDS, "codecs.0.mimeType", "audio/opus"),
            "rtpParameters.codecs[0].mimeType: audio/opus is not video",
        ),
        (
            changed(RIDS, "codecs.0.mimeType", "video/H265"),
            "rtpParameters.codecs[0]: codec video/H265 is not supported as it is described",
        ),
        (
            changed(RIDS, "codecs.0.payloadType", 128),
            "rtpParameters.codecs[0].payloadType: expected an integer from 0 to 127",
        ),
        (
            changed(RIDS, "codecs.0.payloadType", True),
            "rtpParameters.codecs[0].payloadType: expected an integer from 0 to 127",
        ),
        (
            changed(RIDS, "codecs.1.payloadType", 96),
            "rtpParameters.codecs: payload type 96 is there twice",
        ),
        (
            changed(RIDS, "codecs.1.parameters.apt", None),
            "rtpParameters.codecs[1].parameters.apt: is missing",
        ),
        (
            changed(RIDS, "codecs.1.parameters.apt", 97),
            "rtpParameters.codecs[1].parameters.apt: repairs no known codec",
        ),
        (
            changed(RIDS, "codecs.0.parameters.max-fs", []),
            "rtpParameters.codecs[0].parameters.max-fs: expected [0-9]{1,10}",
        ),
        (
            changed(RIDS, "codecs.0.parameters.max-fs", 10**5000),
            "rtpParameters.codecs[0].parameters.max-fs: expected [0-9]{1,10}",
        ),
        (
            changed(RIDS, "codecs", [RIDS["codecs"][0]] * 33),
            "rtpParameters.codecs: expected at most 32 entries",
        ),
        (
            changed(RIDS, "headerExtensions.0.id", 0),
            "rtpParameters.headerExtensions[0].id: expected an integer from 1 to 255",
        ),
        (
            changed(RIDS, "headerExtensions.1.id", 4),
            "rtpParameters.headerExtensions: id 4 is there twice",
        ),
        (changed(RIDS, "mid", None), "rtpParameters.encodings[0].ssrc: is missing, and there is"),
        (
            changed(RIDS, "encodings.1.rid", None),
            "rtpParameters.encodings[1]: expected ssrc or rid",
        ),
        (
            changed(RIDS, "encodings.1.rid", "r0"),
            "rtpParameters.encodings: rid r0 is there twice",
        ),
        (
            changed(RIDS, "headerExtensions.1.uri", "urn:x"),
            "rtpParameters.headerExtensions: expected urn:ietf:params:rtp-hdrext:sdes:rtp-stream",
        ),
        (
            changed(RIDS, "encodings.0.scalabilityMode", "many"),
            "rtpParameters.encodings[0].scalabilityMode: expected one like L1T3",
        ),
        (
            changed(RIDS, "encodings.0.codecPayloadType", 96),
            "rtpParameters.encodings[0].codecPayloadType: expected one media codec for all",
        ),
        (
            changed(SSRCS, "encodings.1.ssrc", 2001),
            "rtpParameters.encodings: ssrc 2001 is there twice",
        ),
        (
            changed(SSRCS, "encodings.1.rtx", {"ssrc": 2001}),
            "rtpParameters.encodings: ssrc 2001 is there twice",
        ),
        (
            changed(SSRCS, "encodings.1.ssrc", 2**32),
            "rtpParameters.encodings[1].ssrc: expected an integer from 1 to 4294967295",
        ),
        (
            changed(SSRCS, "encodings", [{"ssrc": n} for n in range(1, 6)]),
            "rtpParameters.encodings: expected at most 4 entries",
        ),
        (changed(SSRCS, "rtcp.cname", "\ud800"), "rtpParameters.rtcp.cname: contains half of a"),
        (changed(SSRCS, "rtcp.cname", "ä" * 128), "rtpParameters.rtcp.cname: expected 0 to 255 by"),
        (changed(SSRCS, "rtcp.cname", "a\r\nm=x"), "rtpParameters.rtcp.cname: contains what canno"),
        (changed(RIDS, "mid", "ä" * 33), "rtpParameters.mid: expected 1 to 64 bytes"),
        (changed(RIDS, "mid", ""), "rtpParameters.mid: expected 1 to 64 bytes"),
        (
            changed(RIDS, "encodings.1.rid", "ä" * 33),
            "rtpParameters.encodings[1].rid: expected 1 to 64 bytes",
        ),
        (
            changed(RIDS, "encodings.0.scalabilityMode", "L1T3 and more"),
            "rtpParameters.encodings[0].scalabilityMode: expected one like L1T3",
        ),
    ],
)
def test_refused(data: Any, message: str) -> None:
    with pytest.raises(BadRequest) as error:
        negotiate(data)
    assert str(error.value).startswith(message)


def test_mid_alone_is_enough_for_one_stream() -> None:
    data = changed(RIDS, "encodings", [])
    producer = negotiate(data)
    assert producer.type == "simple"
    assert len(producer.params.encodings) == len(producer.consumable.encodings) == 1


@pytest.mark.parametrize(
    ("encodings", "message"),
    [
        ([], None),
        ([{}], None),
        ([{}, {}], "rtpParameters.encodings[0].ssrc: is missing, and there is no mid"),
        ([{"ssrc": 1}, {}], "rtpParameters.encodings[1].ssrc: is missing, and there is no mid"),
        ([{"rid": "a"}], "rtpParameters.encodings[0].ssrc: is missing, and there is no mid"),
    ],
)
def test_the_payload_type_is_enough_for_one_stream_where_it_may_be(
    encodings: list[object], message: str | None
) -> None:
    bare = {"codecs": OPUS["codecs"], "encodings": encodings}
    params = ortc.parse_rtp_parameters(bare)
    with pytest.raises(BadRequest, match="no mid") if message else contextlib.nullcontext() as e:
        ortc.negotiate_producer("audio", params, ROUTER, counter(), by_payload_type=True)
    if e is not None:
        assert str(e.value).startswith(str(message))
    with pytest.raises(BadRequest, match="no mid"):
        ortc.negotiate_producer("audio", params, ROUTER, counter())


def test_all_streams_of_a_peer_share_the_cname_given_for_them() -> None:
    params = ortc.parse_rtp_parameters(changed(OPUS, "rtcp", None))
    named = ortc.negotiate_producer("audio", params, ROUTER, counter(), cname="peer")
    assert named.params.rtcp.cname == named.consumable.rtcp.cname == "peer"
    assert ortc.negotiate_producer("audio", params, ROUTER, counter()).consumable.rtcp.cname


@pytest.mark.parametrize(
    ("codec", "parameters", "mode", "type_"),
    [
        ("video/VP8", {}, "L1T1", "simple"),
        ("video/VP8", {}, "L1T3", "simulcast"),
        ("video/VP9", {"profile-id": 2}, "L3T3_KEY", "svc"),
        ("video/VP9", {"profile-id": "2"}, None, "simple"),
        ("video/h264", {"packetization-mode": 1, "profile-level-id": "42e01f"}, None, "simple"),
    ],
)
def test_types(codec: str, parameters: object, mode: str | None, type_: str) -> None:
    encoding = {"ssrc": 1} if mode is None else {"ssrc": 1, "scalabilityMode": mode}
    data = {
        "codecs": [
            {"mimeType": codec, "payloadType": 96, "clockRate": 90000, "parameters": parameters}
        ],
        "encodings": [encoding],
    }
    producer = negotiate(data)
    assert producer.type == type_
    assert producer.params.media_codec().payload_type == 96
    assert producer.params.rtx_codec() is None
    consumable_rtx = producer.consumable.rtx_codec()
    assert consumable_rtx is not None
    apt = consumable_rtx.parameters["apt"]
    assert apt == producer.consumable.media_codec().payload_type == producer.payload_types[96]


@pytest.mark.parametrize("profile", ["1", 3])
def test_vp9_profiles_differ(profile: object) -> None:
    data = {
        "codecs": [
            {
                "mimeType": "video/VP9",
                "payloadType": 96,
                "clockRate": 90000,
                "parameters": {"profile-id": profile},
            }
        ],
        "encodings": [{"ssrc": 1}],
    }
    with pytest.raises(BadRequest):
        negotiate(data)


def svc(mime_type: str, mode: str | None, **parameters: int) -> dict[str, Any]:
    codec = {
        "mimeType": mime_type,
        "payloadType": 96,
        "clockRate": 90000,
        "parameters": parameters,
    }
    encoding = {"ssrc": 1} if mode is None else {"ssrc": 1, "scalabilityMode": mode}
    return {
        "codecs": [codec],
        "encodings": [encoding],
        "headerExtensions": [{"uri": ortc.Uri.DEPENDENCY_DESCRIPTOR, "id": 12}],
    }


@pytest.mark.parametrize(
    ("mime_type", "parameters", "payload_type"),
    [
        ("video/VP9", {"profile-id": 2}, 103),
        ("video/VP9", {"profile-id": 0}, 109),
        ("video/VP9", {}, 109),
        ("video/AV1", {}, 111),
        ("video/AV1", {"profile": 0, "level-idx": 5, "tier": 0}, 111),
    ],
)
def test_svc(mime_type: str, parameters: dict[str, int], payload_type: int) -> None:
    producer = negotiate(svc(mime_type, "L3T3_KEY", **parameters))
    assert producer.type == "svc"
    assert producer.payload_types == {96: payload_type}
    consumer = ortc.negotiate_consumer(producer, ROUTER, "0", counter())
    assert consumer is not None
    assert consumer.type == "svc"
    assert consumer.params.encodings[0].scalability_mode == "L3T3_KEY"
    assert consumer.params.media_codec().payload_type == payload_type
    has_descriptor = ortc.Uri.DEPENDENCY_DESCRIPTOR in consumer.params.extension_ids()
    assert has_descriptor == (mime_type == "video/AV1")


def test_av1_without_layers_is_simple_and_profiles_differ() -> None:
    assert negotiate(svc("video/AV1", None)).type == "simple"
    with pytest.raises(BadRequest):
        negotiate(svc("video/AV1", None, profile=1))


@pytest.mark.parametrize("mode", ["L1T2", "L2T2h", "L3T3_KEY", "L2T2_KEY_SHIFT", "S3T3h", "S2T1"])
def test_scalability_modes_of_the_standard(mode: str) -> None:
    producer = negotiate(changed(SSRCS, "encodings.0.scalabilityMode", mode))
    assert producer.params.encodings[0].scalability_mode == mode


# A stream has one codec


H264 = {
    "mimeType": "video/H264",
    "clockRate": 90000,
    "parameters": {"packetization-mode": 1, "profile-level-id": "42e01f"},
}


def of_type(codec: Any, payload_type: int) -> Any:
    return {**codec, "payloadType": payload_type}


def rtx(payload_type: int, apt: int) -> Any:
    return {
        "mimeType": "video/rtx",
        "payloadType": payload_type,
        "clockRate": 90000,
        "parameters": {"apt": apt},
    }


@pytest.mark.parametrize(
    ("encoding", "sent", "routed"),
    [
        ({}, {96: 101, 97: 102}, [101, 102]),
        ({"codecPayloadType": 98}, {98: 107, 99: 108}, [107, 108]),
        ({"codecPayloadType": 100}, {100: 107}, [107, 108]),
    ],
)
def test_of_several_codecs_the_one_in_use_is_kept(
    encoding: Any, sent: dict[int, int], routed: list[int]
) -> None:
    """The first codec, or the one that the encodings name, is kept, with its RTX if it has one."""
    data = {
        "codecs": [
            RIDS["codecs"][0],
            of_type(H264, 98),
            rtx(99, 98),
            of_type(H264, 100),
            RIDS["codecs"][1],
        ],
        "encodings": [{"ssrc": 1, **encoding}],
    }
    producer = negotiate(data)
    assert [codec.payload_type for codec in producer.params.codecs] == list(sent)
    assert producer.payload_types == sent
    assert [codec.payload_type for codec in producer.consumable.codecs] == routed


def test_a_viewer_that_knows_another_codec_of_the_list_is_not_offered_it() -> None:
    data = {"codecs": [RIDS["codecs"][0], of_type(H264, 98)], "encodings": [{"ssrc": 1}]}
    caps = ortc.parse_rtp_capabilities(
        {"codecs": [{**H264, "kind": "video", "preferredPayloadType": 107}]}
    )
    producer = negotiate(data)
    assert not ortc.can_consume(producer, caps)
    assert ortc.negotiate_consumer(producer, caps, "0", counter()) is None


@pytest.mark.parametrize(
    ("codec", "parameters", "kept"),
    [
        (
            "audio/opus",
            {"useinbandfec": 1, "maxptime": "60"},
            {"useinbandfec": 1, "maxptime": "60"},
        ),
        ("audio/opus", {"apt": 1, "x": "y" * 500, "max-fs": 3, "111/111": None}, {}),
        ("audio/opus", {"stereo": None, "usedtx": 1.0}, {"usedtx": 1}),
        ("video/VP8", {"max-fs": 3, "profile-id": [{}]}, {"max-fs": 3}),
        ("VIDEO/vp9", {"profile-id": "2"}, {"profile-id": "2"}),
        ("video/H264", {"profile-level-id": 640032, "b\r\n": 1}, {"profile-level-id": 640032}),
        (
            "video/h264",
            {"sprop-parameter-sets": "Z0==,aA=="},
            {"sprop-parameter-sets": "Z0==,aA=="},
        ),
        ("video/rtx", {"apt": 5.0, "rtx-time": 3}, {"apt": 5}),
        ("video/AV1", {"profile": 0, "level-idx": "5", "x": 1}, {"profile": 0, "level-idx": "5"}),
        ("video/H265", {"profile-id": 0}, {}),
    ],
)
def test_parameters_that_matter_are_kept(codec: str, parameters: Any, kept: Any) -> None:
    data = {"codecs": [{"mimeType": codec, "clockRate": 1, "parameters": parameters}]}
    (parsed,) = ortc.parse_rtp_capabilities(data).codecs
    assert parsed.parameters == kept


@pytest.mark.parametrize(
    ("codec", "key", "value"),
    [
        ("audio/opus", "stereo", "1\r\na=x"),
        ("audio/opus", "stereo", "1\n"),
        ("audio/opus", "stereo", "٣"),
        ("audio/opus", "stereo", True),
        ("audio/opus", "stereo", -1),
        ("audio/opus", "stereo", 0.5),
        ("audio/opus", "stereo", 10**10),
        ("audio/opus", "stereo", float("inf")),
        ("audio/opus", "stereo", {}),
        ("video/VP9", "profile-id", ""),
        ("video/H264", "profile-level-id", "42e01"),
        ("video/H264", "profile-level-id", "42e01f;x"),
        ("video/H264", "sprop-parameter-sets", "A" * 257),
        ("video/H264", "sprop-parameter-sets", "A;x=y"),
    ],
)
def test_parameters_are_what_they_should_be(codec: str, key: str, value: object) -> None:
    data = {"codecs": [{"mimeType": codec, "clockRate": 1, "parameters": {key: value}}]}
    with pytest.raises(BadRequest, match=rf"^rtpCapabilities.codecs\[0\].parameters.{key}: exp"):
        ortc.parse_rtp_capabilities(data)


def test_feedback_that_nobody_gives_is_left_out() -> None:
    feedback = [
        {"type": "nack", "parameter": "pli"},
        {"type": "nack", "parameter": "pli"},
        {"type": "nack", "parameter": "rpsi"},
        {"type": "ccm", "parameter": "tmmbr"},
        {"type": "nack"},
    ]
    data = {"codecs": [{"mimeType": "video/VP8", "clockRate": 90000, "rtcpFeedback": feedback}]}
    (parsed,) = ortc.parse_rtp_capabilities(data).codecs
    assert parsed.rtcp_feedback == (Feedback("nack", "pli"), Feedback("nack"))


# Values of profile-level-id from Chromium and Firefox, and special cases of RFC 6184.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42e01f", (Profile.CONSTRAINED_BASELINE, 31)),
        ("42E01F", (Profile.CONSTRAINED_BASELINE, 31)),
        ("42001f", (Profile.BASELINE, 31)),
        ("4d0032", (Profile.MAIN, 50)),
        ("4d8020", (Profile.CONSTRAINED_BASELINE, 32)),
        ("58c01f", (Profile.CONSTRAINED_BASELINE, 31)),
        ("64001f", (Profile.HIGH, 31)),
        ("640c1f", (Profile.CONSTRAINED_HIGH, 31)),
        ("42f00b", (Profile.CONSTRAINED_BASELINE, 0)),
        ("42e00b", (Profile.CONSTRAINED_BASELINE, 11)),
        ("42e01e1", None),
        ("42e0", None),
        ("gggggg", None),
        ("42e0ff", None),
        ("00001f", None),
    ],
)
def test_profile_level_id(text: str, expected: object) -> None:
    assert parse_profile_level({"profile-level-id": text}) == expected


@pytest.mark.parametrize(
    ("offer", "ours", "asymmetric", "answer"),
    [
        ("42e01f", "42e034", False, "42e01f"),
        ("42e034", "42e01f", False, "42e01f"),
        ("42e034", "42e01f", True, "42e034"),
        ("42f00b", "42e00b", False, "42f00b"),
        ("42e00a", "42f00b", False, "42e00a"),
        ("4d001f", "42e01f", False, None),
        ("garbage", "42e01f", False, None),
    ],
)
def test_level_of_the_answer(offer: str, ours: str, asymmetric: bool, answer: str | None) -> None:
    allowed = {"level-asymmetry-allowed": int(asymmetric)}
    result = answer_profile_level(
        {"profile-level-id": offer, **allowed}, {"profile-level-id": ours, **allowed}
    )
    assert result == answer


def test_h264_viewer_gets_the_level_in_use() -> None:
    caps = ortc.parse_rtp_capabilities(
        {
            "codecs": [
                {
                    "kind": "video",
                    "mimeType": "video/H264",
                    "clockRate": 90000,
                    "preferredPayloadType": 107,
                    "parameters": {"packetization-mode": 1, "profile-level-id": "42e01f"},
                }
            ]
        }
    )
    codec = {
        "mimeType": "video/H264",
        "payloadType": 125,
        "clockRate": 90000,
        "parameters": {"packetization-mode": 1, "profile-level-id": "42e034"},
    }
    producer = negotiate({"codecs": [codec], "encodings": [{"ssrc": 1}]})
    consumer = ortc.negotiate_consumer(producer, caps, "0", counter())
    assert consumer is not None
    used = consumer.params.media_codec()
    assert used.payload_type == 107
    assert used.parameters["profile-level-id"] == "42e01f"
    baseline = changed(codec, "parameters.packetization-mode", 0)
    with pytest.raises(BadRequest):
        negotiate({"codecs": [baseline], "encodings": [{"ssrc": 1}]})


def test_bandwidth_feedback_follows_the_header_extensions() -> None:
    both = (Feedback("goog-remb"), Feedback("transport-cc"))
    codecs = tuple(attrs.evolve(codec, rtcp_feedback=both) for codec in CLIENT.codecs)
    producer = negotiate(RIDS)
    for dropped, left in (
        ((), {"transport-cc"}),
        ((ortc.Uri.TRANSPORT_CC,), {"goog-remb"}),
        ((ortc.Uri.TRANSPORT_CC, ortc.Uri.ABS_SEND_TIME), set()),
    ):
        extensions = tuple(ext for ext in CLIENT.header_extensions if ext.uri not in dropped)
        caps = ortc.RtpCapabilities(codecs, extensions)
        consumer = ortc.negotiate_consumer(producer, caps, "0", counter())
        assert consumer is not None
        assert {fb.type for fb in consumer.params.media_codec().rtcp_feedback} == left


def test_lost_audio_is_asked_for_by_clients_that_offer_it() -> None:
    feedback = (Feedback("nack"), Feedback("nack", "other"))
    codecs = tuple(attrs.evolve(codec, rtcp_feedback=feedback) for codec in CLIENT.codecs)
    caps = attrs.evolve(CLIENT, codecs=codecs)
    audio = ortc.negotiate_consumer(negotiate(OPUS, "audio"), caps, "0", counter())
    video = ortc.negotiate_consumer(negotiate(RIDS), caps, "0", counter())
    assert audio is not None
    assert video is not None
    assert audio.params.media_codec().rtcp_feedback == feedback
    assert [codec.mime_type for codec in audio.params.codecs] == ["audio/opus"]
    assert video.params.feedback("nack")
    without = tuple(attrs.evolve(codec, rtcp_feedback=()) for codec in CLIENT.codecs)
    caps = attrs.evolve(CLIENT, codecs=without)
    silent = ortc.negotiate_consumer(negotiate(OPUS, "audio"), caps, "0", counter())
    assert silent is not None
    assert not silent.params.feedback("nack")


def test_a_header_extension_under_another_id_is_left_out() -> None:
    extensions = tuple(attrs.evolve(ext, preferred_id=15) for ext in CLIENT.header_extensions)
    caps = attrs.evolve(CLIENT, header_extensions=extensions)
    consumer = ortc.negotiate_consumer(negotiate(RIDS), caps, "0", counter())
    assert consumer is not None
    assert consumer.params.header_extensions == ()


def test_rtx_alone_is_nothing_to_consume() -> None:
    only_rtx = tuple(codec for codec in CLIENT.codecs if is_rtx(codec.mime_type))
    caps = attrs.evolve(CLIENT, codecs=only_rtx)
    assert not ortc.can_consume(negotiate(RIDS), caps)
    assert ortc.negotiate_consumer(negotiate(RIDS), caps, "0", counter()) is None


def many_capabilities() -> ortc.RtpCapabilities:
    """As many capabilities as a client may send; the router knows all but the last."""
    codecs = [
        {**H264, "kind": "video", "parameters": {**H264["parameters"], "max-fs": number}}
        for number in range(125)
    ]
    extensions = [
        {"uri": ext.uri, "preferredId": ext.preferred_id, "kind": kind}
        for ext in ROUTER.header_extensions
        for kind in ("audio", "video")
    ]
    client = REFERENCE["clientRtpCapabilities"]
    return ortc.parse_rtp_capabilities(
        {"codecs": codecs + client["codecs"], "headerExtensions": extensions}
    )


def test_of_what_a_client_can_the_room_keeps_what_it_needs() -> None:
    usable = ortc.usable_capabilities(many_capabilities(), ROUTER)
    names = [codec.mime_type for codec in usable.codecs]
    assert names == ["video/H264", "audio/opus", "video/VP8", "video/rtx"]
    assert usable.codecs[0].parameters["max-fs"] == 0  # the first one
    assert len(usable.header_extensions) == len({e.uri for e in ROUTER.header_extensions})


def test_whether_a_client_can_take_a_stream_costs_few_comparisons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number does not depend on the length of the publisher's and the viewer's lists."""
    compared = 0

    def counting(a: Any, b: Any) -> bool:
        nonlocal compared
        compared += 1
        return same_codec(a, b)

    data = {
        "codecs": [of_type(H264, number) for number in range(96, 128)],
        "encodings": [{"ssrc": 1, "codecPayloadType": 127}],
    }
    producers_ = [negotiate(data), negotiate(RIDS), negotiate(OPUS, "audio")]
    usable = ortc.usable_capabilities(many_capabilities(), ROUTER)
    monkeypatch.setattr(negotiate_module, "same_codec", counting)
    for producer in producers_:
        compared = 0
        assert ortc.can_consume(producer, usable)
        assert compared <= 8  # the router has opus, VP8, two of VP9, two of H264, AV1, RTX
        compared = 0
        assert ortc.negotiate_consumer(producer, usable, "0", counter()) is not None
        assert compared <= 12


producers = st.sampled_from(REFERENCE["producers"])
subsets_of_codecs = st.lists(st.sampled_from(CLIENT.codecs), unique_by=id)
subsets_of_extensions = st.lists(st.sampled_from(CLIENT.header_extensions), unique_by=id)


@given(producers, subsets_of_codecs, subsets_of_extensions)
def test_a_consumer_never_gets_what_its_client_does_not_know(
    recorded: Any, codecs: Any, extensions: Any
) -> None:
    producer = negotiate(recorded["rtpParameters"], recorded["kind"])
    caps = ortc.RtpCapabilities(tuple(codecs), tuple(extensions))
    new_ssrc = counter()
    consumer = ortc.negotiate_consumer(producer, caps, "7", new_ssrc)
    assert (consumer is not None) == ortc.can_consume(producer, caps)
    if consumer is None:
        return
    params = consumer.params
    known = {codec.mime_type for codec in codecs}
    assert {codec.mime_type for codec in params.codecs} <= known
    assert not params.codecs[0].is_rtx
    assert set(params.extension_ids().items()) <= {(e.uri, e.preferred_id) for e in extensions}
    (encoding,) = params.encodings
    assert encoding.ssrc == 1000
    assert (encoding.rtx_ssrc is not None) == (params.rtx_codec() is not None)
    assert (
        len({Feedback("goog-remb"), Feedback("transport-cc")} & {*params.codecs[0].rtcp_feedback})
        < 2
    )
    assert ortc.parse_rtp_parameters(params.to_json()) == attrs.evolve(
        params, encodings=(attrs.evolve(encoding, dtx=False),)
    )


@given(
    producers,
    st.lists(st.sampled_from([*CLIENT.codecs, *many_capabilities().codecs[:3], *ROUTER.codecs])),
    st.lists(st.sampled_from([*CLIENT.header_extensions, *ROUTER.header_extensions])),
)
def test_what_is_left_out_of_capabilities_makes_no_difference(
    recorded: Any, codecs: Any, extensions: Any
) -> None:
    producer = negotiate(recorded["rtpParameters"], recorded["kind"])
    caps = ortc.RtpCapabilities(tuple(codecs), tuple(extensions))
    usable = ortc.usable_capabilities(caps, ROUTER)
    assert ortc.can_consume(producer, usable) == ortc.can_consume(producer, caps)
    assert ortc.negotiate_consumer(producer, usable, "0", counter()) == ortc.negotiate_consumer(
        producer, caps, "0", counter()
    )


PLACES = (
    "mid",
    "codecs",
    "encodings",
    "headerExtensions",
    "rtcp",
    "rtcp.cname",
    "rtcp.reducedSize",
    "codecs.0",
    "codecs.0.mimeType",
    "codecs.0.payloadType",
    "codecs.0.clockRate",
    "codecs.0.parameters",
    "codecs.0.rtcpFeedback",
    "codecs.0.rtcpFeedback.0",
    "codecs.0.rtcpFeedback.0.type",
    "codecs.1.parameters.apt",
    "encodings.0",
    "encodings.0.rid",
    "encodings.0.maxBitrate",
    "encodings.0.scalabilityMode",
    "encodings.1.active",
    "headerExtensions.0",
    "headerExtensions.0.uri",
    "headerExtensions.0.id",
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([])


@given(st.data())
def test_one_wrong_place_is_refused_by_name_or_harmless(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(PLACES))
    params = json.loads(json.dumps(RIDS))
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = params
    for step in way:
        place = place[step]
    place[last] = data.draw(VALUES)
    try:
        producer = negotiate(params)
    except BadRequest as error:
        named = str(error).startswith("rtpParameters.")
    else:
        named = True
        consumer = ortc.negotiate_consumer(producer, CLIENT, "0", counter())
        json.dumps(producer.params.to_json(), allow_nan=False).encode()
        assert consumer is not None
    assert named
