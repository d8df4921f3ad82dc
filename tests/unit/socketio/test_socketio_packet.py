"""Engine.IO packets: known bytes, round trips, garbage."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.packet import (
    Packet,
    PacketType,
    decode_frame_untrusted,
    decode_payload_untrusted,
    encode_frame,
    encode_payload,
)
from meet_trio.socketio.settings import Revision

MESSAGE = PacketType.MESSAGE
# characters that JSON text on the wire can contain: no lone surrogates
_text = st.text(st.characters(exclude_categories=["Cs"]))
_packets = st.one_of(
    st.builds(Packet, st.sampled_from(PacketType), _text.filter(lambda text: "\x1e" not in text)),
    st.builds(Packet, st.just(MESSAGE), st.binary()),
)
_revisions = st.sampled_from(get_args(Revision))


@pytest.mark.parametrize(
    ("packet", "revision", "b64", "frame"),
    [
        (Packet(PacketType.PING), 4, False, "2"),
        (Packet(PacketType.PONG, "probe"), 3, False, "3probe"),
        (Packet(MESSAGE, "2[1]"), 4, False, "42[1]"),
        (Packet(MESSAGE, b"\1\2\3\4"), 4, False, b"\1\2\3\4"),
        (Packet(MESSAGE, b"\1\2\3\4"), 4, True, "bAQIDBA=="),
        (Packet(MESSAGE, b"\1\2\3\4"), 3, False, b"\4\1\2\3\4"),
        (Packet(MESSAGE, b"\1\2\3\4"), 3, True, "b4AQIDBA=="),
    ],
)
def test_frames(packet: Packet, revision: Revision, b64: bool, frame: str | bytes) -> None:
    assert encode_frame(packet, revision, b64=b64) == frame
    assert decode_frame_untrusted(frame, revision) == packet


# the examples of engine.io-protocol, both revisions
@pytest.mark.parametrize(
    ("packets", "revision", "b64", "payload"),
    [
        ([Packet(MESSAGE, "hello"), Packet(PacketType.PING)], 4, False, "4hello\x1e2"),
        ([Packet(MESSAGE, "a"), Packet(MESSAGE, b"\1\2\3\4")], 4, False, "4a\x1ebAQIDBA=="),
        ([Packet(MESSAGE, "hello"), Packet(MESSAGE, "€")], 3, False, "6:4hello2:4€"),
        ([Packet(MESSAGE, "€"), Packet(MESSAGE, b"\1\2\3\4")], 3, True, "2:4€10:b4AQIDBA=="),
        (
            [Packet(MESSAGE, "€"), Packet(MESSAGE, b"\1\2\3\4")],
            3,
            False,
            b"\x00\x04\xff\x34\xe2\x82\xac\x01\x05\xff\x04\x01\x02\x03\x04",
        ),
        # JavaScript counts a character outside the basic plane as two.
        ([Packet(MESSAGE, "😀"), Packet(PacketType.NOOP)], 3, False, "3:4😀1:6"),
    ],
)
def test_payloads(
    packets: list[Packet], revision: Revision, b64: bool, payload: str | bytes
) -> None:
    assert encode_payload(packets, revision, b64=b64) == payload
    assert decode_payload_untrusted(payload, revision, 10) == packets


@given(_packets, _revisions, st.booleans())
def test_frames_come_back(packet: Packet, revision: Revision, b64: bool) -> None:
    assert decode_frame_untrusted(encode_frame(packet, revision, b64=b64), revision) == packet


@given(st.lists(_packets, min_size=1, max_size=12), _revisions, st.booleans())
def test_payloads_come_back(packets: list[Packet], revision: Revision, b64: bool) -> None:
    payload = encode_payload(packets, revision, b64=b64)
    assert decode_payload_untrusted(payload, revision, 12) == packets


@pytest.mark.parametrize(
    ("payload", "revision"),
    [
        ("", 4),
        ("", 3),
        ("abc", 4),
        ("4a\x1e", 4),
        (b"4a", 4),
        ("bA", 4),
        ("bAQIDBA", 4),
        ("b4é===", 3),
        ("b0AQIDBA==", 3),
        ("4hello", 3),
        (":4", 3),
        ("-1:4", 3),
        ("²:4ab", 3),
        ("3:4a", 3),
        ("2:4😀", 3),
        ("9" * 30 + ":4a", 3),
        (b"\x02\x01\xff4", 3),
        (b"\x00\xff4", 3),
        (b"\x00\x0a\xff4", 3),
        (b"\x00\x02\xff4", 3),
        (b"\x00\x02\xff4\xff", 3),
        (b"\x01\x01\xff\x02", 3),
        (b"\x00" + b"\x09" * 30 + b"\xff4", 3),
    ],
)
def test_malformed_payloads(payload: str | bytes, revision: Revision) -> None:
    with pytest.raises(ProtocolError):
        decode_payload_untrusted(payload, revision, 10)


def test_number_of_packets_is_limited() -> None:
    assert len(decode_payload_untrusted("\x1e".join("222"), 4, 3)) == 3
    with pytest.raises(ProtocolError, match="too many"):
        decode_payload_untrusted("\x1e".join("2222"), 4, 3)


@given(st.one_of(st.text(), st.text("0123456789:b\x1e😀"), st.binary()), _revisions)
def test_garbage_raises_nothing_else(garbage: str | bytes, revision: Revision) -> None:
    for decode in (
        lambda: decode_frame_untrusted(garbage, revision),
        lambda: decode_payload_untrusted(garbage, revision, 10),
    ):
        try:
            decode()
        except ProtocolError:
            continue
