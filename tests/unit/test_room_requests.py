"""Requests of clients: what is accepted, and what the errors say."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio.errors import BadRequest
from meet_trio.ortc import DtlsFingerprint
from meet_trio.room import (
    Layers,
    Role,
    RoomLimits,
    UnknownMethod,
    parse_request,
    parse_role,
    requests,
)

REFERENCE: dict[str, Any] = json.loads(
    Path(__file__).with_name("ortc_reference.json").read_text(encoding="utf-8")
)
SHA256 = ":".join(["AB"] * 32)
FINGERPRINT = {"algorithm": "sha-256", "value": SHA256}
PRODUCE = {
    "transportId": "t",
    "kind": "audio",
    "rtpParameters": REFERENCE["producers"][2]["rtpParameters"],
    "appData": {"source": "mic", "extra": {"nested": [1, 2]}},
}
METHODS = [*requests._WITHOUT_DATA, *requests._PARSERS]


def without(data: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != key}


@pytest.mark.parametrize(
    ("method", "data", "expected"),
    [
        ("ping", None, requests.Ping()),
        ("dumpStats", {"any": "thing"}, requests.DumpStats()),
        ("getRouterRtpCapabilities", None, requests.GetRouterRtpCapabilities()),
        ("join", {}, requests.Join(None, None)),
        (
            "createWebRtcTransport",
            {"forceTcp": False, "producing": True, "consuming": False},
            requests.CreateWebRtcTransport(False, True, False),
        ),
        ("createWebRtcTransport", {}, requests.CreateWebRtcTransport(False, False, False)),
        (
            "connectWebRtcTransport",
            {
                "transportId": "t",
                "dtlsParameters": {
                    "role": "client",
                    "fingerprints": [{"algorithm": "sha-256", "value": SHA256.lower()}],
                },
            },
            requests.ConnectWebRtcTransport("t", (DtlsFingerprint("sha-256", SHA256),)),
        ),
        ("restartIce", {"transportId": "t"}, requests.RestartIce("t")),
        ("createPlainTransport", {"producing": True}, requests.CreatePlainTransport(True, False)),
        (
            "connectPlainTransport",
            {"transportId": "t", "ip": "::1", "port": 22222, "rtcpPort": 22223},
            requests.ConnectPlainTransport("t", "::1", 22222, 22223),
        ),
        ("closeProducer", {"producerId": "p"}, requests.CloseProducer("p")),
        ("subscribeSpeakers", {}, requests.SubscribeSpeakers(False)),
        ("subscribeSpeakers", {"audioLevels": True}, requests.SubscribeSpeakers(True)),
        ("unsubscribeSpeakers", None, requests.UnsubscribeSpeakers()),
        ("setPinnedPeers", {"peerIds": []}, requests.SetPinnedPeers(frozenset())),
        (
            "setPinnedPeers",
            {"peerIds": ["a", "b", "a"]},
            requests.SetPinnedPeers(frozenset({"a", "b"})),
        ),
        ("moderator:setLastN", {"n": 9}, requests.SetLastN(9)),
        ("moderator:setLastN", {"n": None}, requests.SetLastN(None)),
        ("pauseProducer", {"producerId": "p"}, requests.PauseProducer("p")),
        ("resumeProducer", {"producerId": "p"}, requests.ResumeProducer("p")),
        ("pauseConsumer", {"consumerId": "c"}, requests.PauseConsumer("c")),
        ("resumeConsumer", {"consumerId": "c"}, requests.ResumeConsumer("c")),
        (
            "setConsumerPreferredLayers",
            {"consumerId": "c", "spatialLayer": 0},
            requests.SetConsumerPreferredLayers("c", Layers(0)),
        ),
        (
            "setConsumerPreferredLayers",
            {"consumerId": "c", "spatialLayer": 2, "temporalLayer": 1},
            requests.SetConsumerPreferredLayers("c", Layers(2, 1)),
        ),
        (
            "setConsumerPriority",
            {"consumerId": "c", "priority": 255},
            requests.SetConsumerPriority("c", 255),
        ),
        (
            "requestConsumerKeyFrame",
            {"consumerId": "c"},
            requests.RequestConsumerKeyFrame("c"),
        ),
        (
            "setTransportMaxBitrate",
            {"transportId": "t", "maxBitrate": 30_000},
            requests.SetTransportMaxBitrate("t", 30_000),
        ),
        (
            "setTransportMaxBitrate",
            {"maxBitrate": 0},
            requests.SetTransportMaxBitrate(None, 0),
        ),
        ("changeNickname", {"nickname": ""}, requests.ChangeNickname("")),
        ("raisedHand", {"raisedHand": True}, requests.RaisedHand(True)),
        ("chatMessage", {"message": "ünïcødé 😀"}, requests.ChatMessage("ünïcødé 😀")),
        (
            "moderator:addRole",
            {"peerId": "p", "role": 6},
            requests.AddRole("p", Role.PUBLISHER | Role.MODERATOR),
        ),
        ("moderator:removeRole", {"peerId": "p", "role": "8"}, requests.RemoveRole("p", Role(8))),
        ("moderator:removeRole", {"peerId": "p", "role": 8.0}, requests.RemoveRole("p", Role(8))),
        (
            "moderator:changeLanguage",
            {"peerId": "p", "language": "de"},
            requests.ChangeLanguage("p", "de"),
        ),
        (
            "moderator:changeLanguage",
            {"peerId": "p", "language": None},
            requests.ChangeLanguage("p", None),
        ),
        (
            "moderator:changeLanguage",
            {"peerId": "p", "language": ""},
            requests.ChangeLanguage("p", ""),
        ),
        ("moderator:joinRequestAccept", {"requestId": "r"}, requests.JoinRequestAccept("r")),
        ("moderator:joinRequestDeny", {"requestId": "r"}, requests.JoinRequestDeny("r")),
        ("moderator:kickPeer", {"peerId": "p"}, requests.KickPeer("p")),
        ("moderator:closeRoom", None, requests.CloseRoom()),
    ],
)
def test_requests(method: str, data: object, expected: requests.Request) -> None:
    assert parse_request(method, data) == expected


def test_join() -> None:
    join = parse_request(
        "join", {"nickname": "A", "rtpCapabilities": REFERENCE["clientRtpCapabilities"]}
    )
    assert isinstance(join, requests.Join)
    assert join.nickname == "A"
    assert join.rtp_capabilities is not None
    assert join.rtp_capabilities.to_json() == REFERENCE["clientRtpCapabilities"]


def test_produce_keeps_unknown_app_data() -> None:
    produce = parse_request("produce", PRODUCE)
    assert isinstance(produce, requests.Produce)
    assert produce.source == "mic"
    assert produce.app_data == {"source": "mic", "extra": {"nested": [1, 2]}}
    assert not produce.layers_wanted
    asking = parse_request("produce", {**PRODUCE, "layersWanted": True})
    assert asking == attrs.evolve(produce, layers_wanted=True)
    assert produce.rtp_parameters.to_json() == PRODUCE["rtpParameters"]


@pytest.mark.parametrize(
    ("method", "data", "message"),
    [
        ("join", None, "data: expected an object"),
        ("join", "text", "data: expected an object"),
        ("join", {"nickname": 5}, "nickname: expected a string"),
        ("join", {"nickname": "x" * 257}, "nickname: expected 0 to 256 characters"),
        ("join", {"nickname": "\ud800"}, "nickname: contains half of a surrogate pair"),
        ("join", {"rtpCapabilities": {"codecs": "x"}}, "rtpCapabilities.codecs: expected a list"),
        ("produce", {**PRODUCE, "layersWanted": 1}, "layersWanted: expected true or false"),
        (
            "setConsumerPreferredLayers",
            {"consumerId": "c"},
            "spatialLayer: is missing",
        ),
        (
            "setConsumerPreferredLayers",
            {"consumerId": "c", "spatialLayer": -1},
            "spatialLayer: expected an integer from 0 to 255",
        ),
        (
            "setConsumerPreferredLayers",
            {"consumerId": "c", "spatialLayer": 0, "temporalLayer": 256},
            "temporalLayer: expected an integer from 0 to 255",
        ),
        (
            "setConsumerPriority",
            {"consumerId": "c", "priority": 0},
            "priority: expected an integer from 1 to 255",
        ),
        (
            "setConsumerPriority",
            {"consumerId": "c", "priority": 256},
            "priority: expected an integer from 1 to 255",
        ),
        ("requestConsumerKeyFrame", {}, "consumerId: is missing"),
        (
            "setTransportMaxBitrate",
            {"maxBitrate": 29_999},
            "maxBitrate: expected 0 or at least 30000",
        ),
        (
            "setTransportMaxBitrate",
            {"maxBitrate": 10**10 + 1},
            "maxBitrate: expected an integer from 0 to 10000000000",
        ),
        ("createWebRtcTransport", {"forceTcp": "yes"}, "forceTcp: expected true or false"),
        ("connectWebRtcTransport", {"transportId": "t"}, "dtlsParameters: is missing"),
        (
            "connectWebRtcTransport",
            {"dtlsParameters": {"fingerprints": [FINGERPRINT]}},
            "transportId: is missing",
        ),
        (
            "connectWebRtcTransport",
            {"transportId": "t", "dtlsParameters": {"role": "chicken"}},
            "dtlsParameters.role: expected one of auto, client, server",
        ),
        (
            "connectWebRtcTransport",
            {"transportId": "t", "dtlsParameters": {"fingerprints": []}},
            "dtlsParameters.fingerprints: expected at least one",
        ),
        (
            "connectWebRtcTransport",
            {
                "transportId": "t",
                "dtlsParameters": {"fingerprints": [{**FINGERPRINT, "algorithm": "sha-384"}]},
            },
            "dtlsParameters.fingerprints[0].value: expected 48 bytes in hex with colons",
        ),
        (
            "connectPlainTransport",
            {"transportId": "t", "ip": "not-an-ip", "port": 1, "rtcpPort": 2},
            "ip: expected an IP address",
        ),
        (
            "connectPlainTransport",
            {"transportId": "t", "ip": "127.0.0.1", "port": 22222},
            "rtcpPort: is missing",
        ),
        ("produce", {**PRODUCE, "kind": "chicken"}, "kind: expected one of audio, video"),
        ("produce", without(PRODUCE, "rtpParameters"), "rtpParameters: expected an object"),
        ("produce", without(PRODUCE, "appData"), "appData: is missing"),
        (
            "produce",
            {**PRODUCE, "appData": {"source": "invalid"}},
            "appData.source: expected one of mic, webcam, screen",
        ),
        (
            "produce",
            {**PRODUCE, "appData": {"source": "mic", "x": "y" * 5000}},
            "appData: expected at most 4096 bytes of JSON",
        ),
        (
            "produce",
            {**PRODUCE, "appData": {"source": "mic", "x": "\udfff"}},
            "appData: cannot be written as JSON",
        ),
        (
            "produce",
            {**PRODUCE, "appData": {"source": "mic", "x": float("nan")}},
            "appData: cannot be written as JSON",
        ),
        ("raisedHand", {"raisedHand": 1}, "raisedHand: expected true or false"),
        ("raisedHand", {}, "raisedHand: is missing"),
        ("chatMessage", {"message": {"any": "json"}}, "message: expected a string"),
        ("chatMessage", {"message": "x" * 8193}, "message: expected 0 to 8192 characters"),
        ("moderator:addRole", {"peerId": "p"}, "role: is missing"),
        ("moderator:addRole", {"peerId": "p", "role": 64}, "role: has unknown bits"),
        ("moderator:addRole", {"peerId": "p", "role": -1}, "role: has unknown bits"),
        ("moderator:addRole", {"peerId": "p", "role": "abc"}, "role: expected an integer"),
        ("moderator:addRole", {"peerId": "p", "role": True}, "role: expected an integer"),
        (
            "moderator:changeLanguage",
            {"peerId": "p", "language": "FR"},
            "language: expected two lower-case letters",
        ),
        (
            "moderator:changeLanguage",
            {"peerId": "p", "language": "d\n"},
            "language: expected two lower-case letters",
        ),
        ("moderator:changeLanguage", {"peerId": "p", "language": 5}, "language: expected a string"),
        ("moderator:joinRequestAccept", {}, "requestId: is missing"),
        (
            "subscribeSpeakers",
            {"audioLevels": "yes"},
            "audioLevels: expected true or false",
        ),
        ("setPinnedPeers", {}, "peerIds: is missing"),
        ("setPinnedPeers", {"peerIds": "a"}, "peerIds: expected a list"),
        ("setPinnedPeers", {"peerIds": ["a", 5]}, "peerIds.1: expected a string"),
        ("setPinnedPeers", {"peerIds": ["a"] * 17}, "peerIds: expected at most 16 entries"),
        ("moderator:setLastN", {"n": -1}, "n: expected an integer from 0 to 1000"),
        ("moderator:setLastN", {"n": "9"}, "n: expected an integer from 0 to 1000"),
        ("pauseProducer", {"producerId": ""}, "producerId: expected 1 to 128 characters"),
    ],
)
def test_refused(method: str, data: object, message: str) -> None:
    with pytest.raises(BadRequest) as error:
        parse_request(method, data)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("no-such-method", 'unknown request.method "no-such-method"'),
        (5, 'unknown request.method "5"'),
        (None, 'unknown request.method "null"'),
        ("x" * 200, f'unknown request.method "{"x" * 100}"'),
        ("\ud800", 'unknown request.method "?"'),
    ],
)
def test_unknown_methods(method: object, message: str) -> None:
    with pytest.raises(UnknownMethod) as error:
        parse_request(method, {})
    assert str(error.value) == message


def test_limits_are_the_rooms() -> None:
    limits = RoomLimits(nickname=3, chat_message=3)
    with pytest.raises(BadRequest):
        parse_request("changeNickname", {"nickname": "four"}, limits)
    with pytest.raises(BadRequest):
        parse_request("chatMessage", {"message": "four"}, limits)


def test_deep_app_data_is_refused() -> None:
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadRequest, match="appData: cannot be written as JSON"):
        parse_request("produce", {**PRODUCE, "appData": {"source": "mic", "x": deep}})


@pytest.mark.parametrize("value", [0, 31, "22"])
def test_roles(value: object) -> None:
    assert parse_role(value) == Role(int(str(value)))


@pytest.mark.parametrize("value", [32, -1, 1.5, "", "-1", "٣", "9" * 5000, None, [], 10**400])
def test_roles_refused(value: object) -> None:
    with pytest.raises(BadRequest):
        parse_role(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["peerId", "role", "rtpParameters", "codecs", "appData", "source", "fingerprints"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(st.sampled_from(METHODS), JSON)
def test_garbage_is_a_bad_request_or_understood(method: str, data: object) -> None:
    try:
        parse_request(method, data)
    except BadRequest as error:
        str(error).encode()
