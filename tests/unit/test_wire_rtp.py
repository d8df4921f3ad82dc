"""RTP packets: round trips, garbage, and aiortc's parser as a second opinion."""

import contextlib
from typing import Any

import attrs
import pytest
from aiortc.rtp import RtpPacket as AiortcPacket
from aiortc.rtp import unwrap_rtx
from aiortc.rtp import wrap_rtx as aiortc_wrap_rtx
from hypothesis import given
from hypothesis import strategies as st
from support.wire import WireError
from support.wire.rtp import (
    RtpPacket,
    build_rtp,
    parse_rtp_untrusted,
    unwrap_rtx_untrusted,
    wrap_rtx,
)
from support.wire.vp8 import (
    Vp8Descriptor,
    build_vp8_descriptor,
    is_key_frame,
    key_frame_header,
    parse_vp8_untrusted,
)

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence_number=u16,
    timestamp=u32,
    ssrc=u32,
    payload=st.binary(max_size=40),
    marker=st.booleans(),
    csrcs=st.lists(u32, max_size=15).map(tuple),
    extensions=st.one_of(
        st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=6),
        st.dictionaries(st.integers(1, 255), st.binary(max_size=255), max_size=6),
    ),
    padding=st.integers(0, 255),
)


@given(packets)
def test_packet_survives_build_and_parse(packet: RtpPacket) -> None:
    assert parse_rtp_untrusted(build_rtp(packet)) == packet


@given(packets)
def test_aiortc_reads_what_we_build(packet: RtpPacket) -> None:
    theirs = AiortcPacket.parse(build_rtp(packet))
    assert (theirs.payload_type, theirs.sequence_number, theirs.timestamp, theirs.ssrc) == (
        packet.payload_type,
        packet.sequence_number,
        packet.timestamp,
        packet.ssrc,
    )
    assert (theirs.payload, bool(theirs.marker), tuple(theirs.csrc), theirs.padding_size) == (
        packet.payload,
        packet.marker,
        packet.csrcs,
        packet.padding,
    )


@given(st.binary(max_size=80))
def test_garbage_gives_a_packet_or_wire_error(data: bytes) -> None:
    try:
        packet = parse_rtp_untrusted(data)
    except WireError:
        return
    assert parse_rtp_untrusted(build_rtp(packet)) == packet


@given(packets, st.data())
def test_changed_bytes_never_raise_anything_else(packet: RtpPacket, data: st.DataObject) -> None:
    raw = bytearray(build_rtp(packet))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with contextlib.suppress(WireError):
        parse_rtp_untrusted(cut)


def test_one_byte_extensions_have_the_bytes_of_rfc_8285() -> None:
    packet = RtpPacket(
        payload_type=96, sequence_number=1, timestamp=2, ssrc=3, extensions={1: b"a", 4: b"xyz"}
    )
    # 0xBEDE, two words: id 1 length 1, id 4 length 3, two bytes of padding
    assert build_rtp(packet)[12:] == bytes.fromhex("bede000210614278797a0000")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("bede000110610000", {1: b"a"}),
        ("bede00011061f000", {1: b"a"}),  # id 15 ends the list
        ("bede00020010610020620000", {1: b"a", 2: b"b"}),  # padding between
        ("bede00021061106200000000", {1: b"a"}),  # the first of two with one id
        ("1000000101000201", None),  # two-byte form, the second element is cut off
        ("1003000101000200", {1: b"", 2: b""}),  # two-byte form with appbits
        ("abcd000110610000", {}),  # some other form
    ],
)
def test_extension_forms(body: str, expected: dict[int, bytes] | None) -> None:
    raw = bytes.fromhex("906000010000000200000003" + body)
    if expected is None:
        with pytest.raises(WireError, match="past the end"):
            parse_rtp_untrusted(raw)
    else:
        assert parse_rtp_untrusted(raw).extensions == expected


@pytest.mark.parametrize(
    "change",
    [
        {"payload_type": 128},
        {"sequence_number": 1 << 16},
        {"ssrc": -1},
        {"csrcs": tuple(range(16))},
        {"extensions": {0: b"x"}},
        {"extensions": {1: bytes(256)}},
        {"padding": 256},
    ],
)
def test_fields_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    packet = RtpPacket(payload_type=96, sequence_number=1, timestamp=2, ssrc=3)
    with pytest.raises(ValueError, match=r"."):
        build_rtp(attrs.evolve(packet, **change))


@given(packets, u16, u32)
def test_rtx_round_trip_and_aiortc_agrees(packet: RtpPacket, number: int, ssrc: int) -> None:
    packet = attrs.evolve(packet, extensions={}, padding=0)
    rtx = wrap_rtx(packet, payload_type=97, ssrc=ssrc, sequence_number=number)
    assert unwrap_rtx_untrusted(rtx, payload_type=packet.payload_type, ssrc=packet.ssrc) == packet
    theirs = AiortcPacket.parse(build_rtp(packet))
    wrapped = aiortc_wrap_rtx(theirs, payload_type=97, sequence_number=number, ssrc=ssrc)
    assert wrapped.serialize() == build_rtp(rtx)
    again = unwrap_rtx(
        AiortcPacket.parse(build_rtp(rtx)), payload_type=packet.payload_type, ssrc=packet.ssrc
    )
    assert again.serialize() == build_rtp(packet)


def test_padding_may_not_reach_into_the_header() -> None:
    raw = bytes.fromhex("a06000010000000200000003")
    assert parse_rtp_untrusted(raw + b"\x00\x02").padding == 2
    with pytest.raises(WireError, match="padding"):
        parse_rtp_untrusted(raw + b"\x00\x03")


def test_rtx_probe_without_payload_is_an_error() -> None:
    probe = RtpPacket(payload_type=97, sequence_number=1, timestamp=0, ssrc=2, padding=200)
    with pytest.raises(WireError):
        unwrap_rtx_untrusted(probe, payload_type=96, ssrc=1)


descriptors = st.builds(
    Vp8Descriptor,
    start_of_partition=st.booleans(),
    partition=st.integers(0, 7),
    non_reference=st.booleans(),
    picture_id=st.none() | st.integers(0, 0x7FFF),
    tl0_picture_index=st.none() | st.integers(0, 255),
    temporal_layer=st.integers(0, 3),
    layer_sync=st.booleans(),
    key_index=st.none() | st.integers(0, 31),
)


@given(descriptors, st.binary(max_size=20))
def test_vp8_descriptor_round_trip(descriptor: Vp8Descriptor, data: bytes) -> None:
    assert parse_vp8_untrusted(build_vp8_descriptor(descriptor) + data) == (descriptor, data)


def test_vp8_key_index_without_a_temporal_layer() -> None:
    # X set; of the extensions only K: one byte with the key index in its low five bits
    descriptor, data = parse_vp8_untrusted(bytes.fromhex("9010e7aa"))
    assert (descriptor.key_index, descriptor.temporal_layer, data) == (7, None, b"\xaa")


@given(st.binary(max_size=12))
def test_vp8_garbage(payload: bytes) -> None:
    try:
        _, data = parse_vp8_untrusted(payload)
    except WireError:
        return
    assert payload.endswith(data)


def test_vp8_key_frame_is_told_from_a_delta_frame() -> None:
    start = Vp8Descriptor(start_of_partition=True, picture_id=5)
    assert is_key_frame(start, key_frame_header(640, 480))
    assert not is_key_frame(start, b"\x31\x00\x00")
    assert not is_key_frame(start, b"")
    later = Vp8Descriptor(start_of_partition=True, partition=1)
    assert not is_key_frame(later, key_frame_header(2, 2))
    assert not is_key_frame(Vp8Descriptor(start_of_partition=False), key_frame_header(2, 2))
    assert key_frame_header(640, 480)[3:] == bytes.fromhex("9d012a8002e001")
