"""The engine's parsers and writers of STUN, RTP, RTCP and VP8 against aioice's and aiortc's, those
of VP9 and the Dependency Descriptor against ``support.wire``.

The units are compiled into one small shared library and called through ctypes.
"""

import ctypes
import itertools
from ctypes import (
    POINTER,
    byref,
    c_bool,
    c_char_p,
    c_size_t,
    c_uint,
    c_void_p,
    create_string_buffer,
)
from ctypes import c_int32 as i32
from ctypes import c_int64 as i64
from ctypes import c_uint8 as u8
from ctypes import c_uint16 as u16
from ctypes import c_uint32 as u32
from ctypes import c_uint64 as u64
from socket import AF_INET, AF_INET6, inet_pton
from struct import pack

import attrs
import pytest
from aioice import stun
from aiortc import rtp
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st
from support.c_sources import load_units
from support.wire import WireError
from support.wire.dependency import (
    L1T3,
    L3T3,
    L3T3_KEY,
    Descriptor,
    Structure,
    Template,
    build_descriptor,
)
from support.wire.rtcp import build_rtcp, parse_rtcp_untrusted
from support.wire.transport_cc import TransportFeedback
from support.wire.vp9 import Picture, Vp9Descriptor, Vp9Structure, build_vp9_descriptor


class Extension(ctypes.Structure):
    _fields_ = (("id", u8), ("len", u8), ("offset", u16))


class Rtp(ctypes.Structure):
    _fields_ = (
        *(("payload_type", u8), ("marker", c_bool), ("sequence", u16), ("timestamp", u32)),
        *(("ssrc", u32), ("header_len", u16), ("ext_count", u8), ("ext", Extension * 16)),
    )


class ExtensionOut(ctypes.Structure):
    _fields_ = (("id", u8), ("len", u8), ("value", c_char_p))


class Stun(ctypes.Structure):
    _fields_ = (
        *(("type", u16), ("transaction", u8 * 12), ("username", c_void_p), ("username_len", u16)),
        *(("local_ufrag_len", u16), ("use_candidate", c_bool), ("has_priority", c_bool)),
        *(("has_fingerprint", c_bool), ("ice_controlling", c_bool), ("ice_controlled", c_bool)),
        *(("priority", u32), ("tie_breaker", u64), ("integrity_offset", u16)),
        ("unknown_required", u16),
    )


class RtcpPacket(ctypes.Structure):
    _fields_ = (("type", u8), ("count", u8), ("body", c_void_p), ("body_len", u16))


class Report(ctypes.Structure):
    _fields_ = (
        *(("ssrc", u32), ("fraction_lost", u8), ("total_lost", i32), ("highest_sequence", u32)),
        *(("jitter", u32), ("last_sr", u32), ("delay_since_last_sr", u32)),
    )


class Twcc(ctypes.Structure):
    _fields_ = (
        *(("base_sequence", u16), ("packet_count", u16), ("reference_time", u32)),
        *(("feedback_count", u8), ("body", c_void_p), ("chunk", u16), ("delta", u16)),
        *(("in_chunk", u16), ("done", u16), ("ticks", i32)),
    )


class Arrival(ctypes.Structure):
    _fields_ = (("sequence", u16), ("count", u16), ("received", c_bool), ("arrival", i64))


class SenderInfo(ctypes.Structure):
    _fields_ = (
        *(("ssrc", u32), ("ntp", u64), ("rtp_timestamp", u32), ("packets", u32), ("octets", u32)),
    )


class Vp8(ctypes.Structure):
    _fields_ = (
        *(("descriptor_len", u8), ("start_of_partition", c_bool), ("partition", u8)),
        *(("non_reference", c_bool), ("keyframe", c_bool), ("has_picture_id", c_bool)),
        *(("long_picture_id", c_bool), ("has_tl0picidx", c_bool), ("has_tid", c_bool)),
        *(("has_keyidx", c_bool), ("layer_sync", c_bool), ("picture_id", u16)),
        *(("tl0picidx", u8), ("tid", u8), ("keyidx", u8), ("width", u16), ("height", u16)),
    )


class Vp9(ctypes.Structure):
    _fields_ = (
        *(("descriptor_len", u16), ("begins", c_bool), ("ends", c_bool)),
        *(("inter_picture", c_bool), ("inter_layer", c_bool), ("not_for_upper", c_bool)),
        *(("flexible", c_bool), ("has_layers", c_bool), ("switch_up", c_bool)),
        *(("spatial", u8), ("temporal", u8), ("has_picture_id", c_bool)),
        *(("long_picture_id", c_bool), ("picture_id", u16), ("has_tl0picidx", c_bool)),
        *(("tl0picidx", u8), ("keyframe", c_bool), ("has_structure", c_bool)),
        *(("spatial_layers", u8), ("width", u16), ("height", u16)),
    )


class DdTemplate(ctypes.Structure):
    _fields_ = (("spatial", u8), ("temporal", u8), ("reach", u8), ("dtis", u64))


class DdStructure(ctypes.Structure):
    _fields_ = (
        *(("offset", u8), ("template_count", u8), ("target_count", u8), ("chain_count", u8)),
        *(("target_for", ctypes.c_int8 * 12), ("width", u16), ("height", u16)),
        ("templates", DdTemplate * 64),
    )


class Dd(ctypes.Structure):
    _fields_ = (
        *(("begins", c_bool), ("ends", c_bool), ("template_id", u8), ("frame", u16)),
        *(("has_structure", c_bool), ("known", c_bool), ("spatial", u8), ("temporal", u8)),
        *(("reach", u16), ("dtis", u64)),
    )


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    units = load_units(
        tmp_path_factory.mktemp("units"), "dependency", "rtcp", "rtp", "stun", "vp8", "vp9"
    )
    size = c_size_t
    for name, result, arguments in (
        ("mt_rtp_parse_untrusted", c_bool, [c_char_p, size, c_void_p]),
        ("mt_rtp_payload_untrusted", c_bool, [c_char_p, size, c_void_p, POINTER(size)]),
        (
            "mt_rtp_write_header",
            size,
            [c_void_p, size, u8, c_bool, u16, u32, u32, c_void_p, size, c_void_p],
        ),
        ("mt_stun_parse_untrusted", c_bool, [c_void_p, size, c_void_p]),
        ("mt_stun_check_integrity", c_bool, [c_void_p, size, c_void_p, c_char_p, size]),
        ("mt_stun_write_success", size, [*[c_void_p] * 3, c_char_p, size]),
        ("mt_stun_write_error", size, [c_void_p, c_void_p, u16, c_char_p, size]),
        ("mt_rtcp_next_untrusted", c_bool, [c_char_p, size, POINTER(size), c_void_p]),
        ("mt_rtcp_read_sender_info", c_bool, [c_void_p, c_void_p]),
        ("mt_rtcp_read_report", c_bool, [c_void_p, c_uint, c_void_p]),
        ("mt_rtcp_read_nack", c_bool, [c_void_p, c_uint, POINTER(u16), POINTER(u16)]),
        ("mt_rtcp_read_remb", c_bool, [c_void_p, POINTER(u64)]),
        ("mt_rtcp_read_twcc", c_bool, [c_void_p, c_void_p]),
        ("mt_rtcp_next_twcc", c_bool, [c_void_p, c_void_p]),
        ("mt_rtcp_write_sr", size, [c_void_p, size, c_void_p, c_void_p, c_uint]),
        ("mt_rtcp_write_rr", size, [c_void_p, size, u32, c_void_p, c_uint]),
        ("mt_rtcp_write_sdes_cname", size, [c_void_p, size, u32, c_char_p, size]),
        ("mt_rtcp_write_bye", size, [c_void_p, size, u32]),
        ("mt_rtcp_write_pli", size, [c_void_p, size, u32, u32]),
        ("mt_rtcp_write_fir", size, [c_void_p, size, u32, u32, u8]),
        ("mt_rtcp_write_nack", size, [c_void_p, size, u32, u32, c_void_p, c_uint]),
        ("mt_rtcp_write_remb", size, [c_void_p, size, u32, u64, c_void_p, c_uint]),
        ("mt_vp8_parse_untrusted", c_bool, [c_char_p, size, c_void_p]),
        ("mt_vp9_parse_untrusted", c_bool, [c_char_p, size, c_void_p]),
        ("mt_dd_parse_untrusted", c_bool, [c_char_p, size, c_void_p, c_void_p, c_void_p]),
    ):
        function = getattr(units, name)
        function.restype, function.argtypes = result, arguments
    return units


# ---- STUN ----

PASSWORD = "u5s7L2yH0mT9wQ4b"
ADDRESSES = [("192.0.2.17", 4242), ("127.0.0.1", 1), ("2001:db8::17", 65535)]


def _sockaddr(address: tuple[str, int]) -> bytes:
    """Linux's struct sockaddr_in or sockaddr_in6."""
    host, port = address
    if ":" in host:
        return pack("=H", AF_INET6) + pack("!HL", port, 0) + inet_pton(AF_INET6, host) + bytes(4)
    return pack("=H", AF_INET) + pack("!H", port) + inet_pton(AF_INET, host) + bytes(8)


def _parse_stun(lib: ctypes.CDLL, data: bytes) -> tuple[Stun, ctypes.Array[ctypes.c_char]] | None:
    buffer, parsed = create_string_buffer(data, len(data)), Stun()
    return (
        (parsed, buffer) if lib.mt_stun_parse_untrusted(buffer, len(data), byref(parsed)) else None
    )


def _request(**more: object) -> stun.Message:
    attributes = {"USERNAME": "ours:theirs", "PRIORITY": 1853824767, **more}
    return stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)


@pytest.mark.parametrize("controlling", [True, False])
@pytest.mark.parametrize("nominated", [True, False])
def test_stun_request(lib: ctypes.CDLL, controlling: bool, nominated: bool) -> None:
    role = {"ICE-CONTROLLING" if controlling else "ICE-CONTROLLED": 0x1122334455667788}
    request = _request(**role, **({"USE-CANDIDATE": None} if nominated else {}))
    request.add_message_integrity(PASSWORD.encode())
    data = bytes(request)
    result = _parse_stun(lib, data)
    assert result
    ours, buffer = result
    assert ours.type == 1
    assert bytes(ours.transaction) == request.transaction_id
    assert ctypes.string_at(ours.username, ours.username_len) == b"ours:theirs"
    assert ours.local_ufrag_len == 4
    assert (ours.has_priority, ours.priority) == (True, 1853824767)
    assert (ours.ice_controlling, ours.ice_controlled) == (controlling, not controlling)
    assert ours.tie_breaker == 0x1122334455667788
    assert ours.use_candidate == nominated
    assert ours.has_fingerprint
    for password in (PASSWORD, PASSWORD + "x", ""):
        key = password.encode()
        right = lib.mt_stun_check_integrity(buffer, len(data), byref(ours), key, len(key))
        assert right == (password == PASSWORD)


@pytest.mark.parametrize("address", ADDRESSES)
def test_stun_success(lib: ctypes.CDLL, address: tuple[str, int]) -> None:
    request = _request()
    result = _parse_stun(lib, bytes(request))
    assert result
    out, key = create_string_buffer(128), PASSWORD.encode()
    n = lib.mt_stun_write_success(out, byref(result[0]), _sockaddr(address), key, len(key))
    answer = stun.parse_message(out.raw[:n])  # also checks FINGERPRINT
    assert answer.message_class is stun.Class.RESPONSE
    assert answer.transaction_id == request.transaction_id
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == address
    assert answer.check_message_integrity(key)
    assert list(answer.attributes) == ["XOR-MAPPED-ADDRESS", "MESSAGE-INTEGRITY", "FINGERPRINT"]


@pytest.mark.parametrize("code", [400, 401, 420, 487])
def test_stun_error(lib: ctypes.CDLL, code: int) -> None:
    request = _request()
    result = _parse_stun(lib, bytes(request))
    assert result
    out, key = create_string_buffer(128), PASSWORD.encode()
    n = lib.mt_stun_write_error(out, byref(result[0]), code, key, len(key))
    answer = stun.parse_message(out.raw[:n])
    assert answer.message_class is stun.Class.ERROR
    assert answer.error_code == code
    assert answer.check_message_integrity(key)


# ---- RTP ----

extensions_strategy = st.lists(
    st.tuples(st.integers(1, 255), st.binary(max_size=20)),
    max_size=8,
    unique_by=lambda extension: extension[0],
)


@given(
    payload_type=st.integers(0, 127),
    marker=st.booleans(),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15),
    extensions=extensions_strategy,
    payload=st.binary(max_size=40),
    padding=st.integers(0, 255),
)
def test_rtp_header(
    lib: ctypes.CDLL,
    payload_type: int,
    marker: bool,
    sequence: int,
    timestamp: int,
    ssrc: int,
    csrcs: list[int],
    extensions: list[tuple[int, bytes]],
    payload: bytes,
    padding: int,
) -> None:
    profile, value = rtp.pack_header_extensions(extensions) if extensions else (0, b"")
    first = 0x80 | bool(padding) << 5 | bool(extensions) << 4 | len(csrcs)
    data = pack("!BBHLL", first, marker << 7 | payload_type, sequence, timestamp, ssrc)
    data += b"".join(pack("!L", csrc) for csrc in csrcs)
    if extensions:
        data += pack("!HH", profile, len(value) // 4) + value
    header_len = len(data)
    data += payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")

    ours, length = Rtp(), c_size_t()
    assert lib.mt_rtp_parse_untrusted(data, len(data), byref(ours))
    assert (ours.payload_type, ours.marker) == (payload_type, marker)
    assert (ours.sequence, ours.timestamp, ours.ssrc) == (sequence, timestamp, ssrc)
    assert ours.header_len == header_len
    found = [(e.id, data[e.offset : e.offset + e.len]) for e in ours.ext[: ours.ext_count]]
    assert found == extensions
    assert lib.mt_rtp_payload_untrusted(data, len(data), byref(ours), byref(length))
    assert length.value == len(payload)

    # The engine writes, aiortc reads.
    out, entries = create_string_buffer(600), (ExtensionOut * 8)()
    for i, (number, text) in enumerate(extensions):
        entries[i] = ExtensionOut(number, len(text), text)
    n = lib.mt_rtp_write_header(
        out,
        len(out),
        payload_type,
        marker,
        sequence,
        timestamp,
        ssrc,
        entries,
        len(extensions),
        None,
    )
    again = rtp.RtpPacket.parse(out.raw[:n] + payload)
    assert (again.payload_type, again.marker) == (payload_type, marker)
    assert (again.sequence_number, again.timestamp, again.ssrc) == (sequence, timestamp, ssrc)
    assert again.payload == payload
    if extensions:
        written = int.from_bytes(out.raw[12:14], "big")
        assert rtp.unpack_header_extensions(written, out.raw[16:n]) == extensions
        assert out.raw[12:n] == data[12 + 4 * len(csrcs) : header_len]


# ---- RTCP ----


def _walk(lib: ctypes.CDLL, data: bytes) -> list[RtcpPacket]:
    offset = c_size_t()
    packets: list[RtcpPacket] = []
    while True:
        packet = RtcpPacket()
        if not lib.mt_rtcp_next_untrusted(data, len(data), byref(offset), byref(packet)):
            assert offset.value == len(data)
            return packets
        packets.append(packet)


THEIR_REPORT = rtp.RtcpReceiverInfo(0x11223344, 77, -5, 0x00012345, 99, 0xABCDEF01, 65536)
OUR_REPORT = Report(0x11223344, 77, -5, 0x00012345, 99, 0xABCDEF01, 65536)


def test_rtcp_written_by_us(lib: ctypes.CDLL) -> None:
    out = create_string_buffer(1500)
    base = ctypes.addressof(out)
    info = SenderInfo(1, 0x0123456789ABCDEF, 90000, 12, 3456)
    lost = [65530, 65531, 65535, 4, 100]
    n = 0
    for write, *arguments in (
        (lib.mt_rtcp_write_sr, byref(info), byref(OUR_REPORT), 1),
        (lib.mt_rtcp_write_rr, 2, byref(OUR_REPORT), 1),
        (lib.mt_rtcp_write_sdes_cname, 3, b"somebody", 8),
        (lib.mt_rtcp_write_pli, 4, 5),
        (lib.mt_rtcp_write_fir, 6, 7, 8),
        (lib.mt_rtcp_write_nack, 9, 10, (u16 * len(lost))(*lost), len(lost)),
        (lib.mt_rtcp_write_remb, 11, 1500000, (u32 * 2)(12, 13), 2),
        (lib.mt_rtcp_write_bye, 14),
    ):
        written = write(base + n, 1500 - n, *arguments)
        assert written
        n += written
    sr, rr, sdes, pli, fir, nack, remb, bye = rtp.RtcpPacket.parse(out.raw[:n])
    assert sr == rtp.RtcpSrPacket(
        1, rtp.RtcpSenderInfo(0x0123456789ABCDEF, 90000, 12, 3456), [THEIR_REPORT]
    )
    assert rr == rtp.RtcpRrPacket(2, [THEIR_REPORT])
    assert isinstance(sdes, rtp.RtcpSdesPacket)
    assert sdes.chunks == [rtp.RtcpSourceInfo(3, [(1, b"somebody")])]
    assert pli == rtp.RtcpPsfbPacket(1, 4, 5)
    assert fir == rtp.RtcpPsfbPacket(4, 6, 0, pack("!LL", 7, 8 << 24))
    assert isinstance(nack, rtp.RtcpRtpfbPacket)
    assert (nack.ssrc, nack.media_ssrc) == (9, 10)
    assert [sequence & 0xFFFF for sequence in nack.lost] == lost
    assert isinstance(remb, rtp.RtcpPsfbPacket)
    assert rtp.unpack_remb_fci(remb.fci) == (1500000, [12, 13])
    assert bye == rtp.RtcpByePacket([14])


def _read_twcc(lib: ctypes.CDLL, packet: RtcpPacket) -> list[int | None] | None:
    """Ticks of 250 µs since the reference time, or None for a lost packet. None: malformed."""
    feedback, arrival, found = Twcc(), Arrival(), []
    if not lib.mt_rtcp_read_twcc(byref(packet), byref(feedback)):
        return None
    while lib.mt_rtcp_next_twcc(byref(feedback), byref(arrival)):
        assert arrival.sequence == (feedback.base_sequence + len(found)) & 0xFFFF
        found += [arrival.arrival // 250 if arrival.received else None] * arrival.count
    assert len(found) == feedback.packet_count
    return found


def _ticks(feedback: TransportFeedback) -> list[int | None]:
    at = itertools.accumulate(delta or 0 for delta in feedback.deltas)
    return [
        None if delta is None else tick for delta, tick in zip(feedback.deltas, at, strict=True)
    ]


DELTAS = st.none() | st.integers(0, 255) | st.integers(-0x8000, 0x7FFF)
FEEDBACK = st.builds(
    TransportFeedback,
    sender_ssrc=st.just(1),
    media_ssrc=st.just(2),
    base_sequence=st.integers(0, 0xFFFF),
    reference_time=st.integers(-0x800000, 0x7FFFFF),
    feedback_count=st.integers(0, 255),
    deltas=st.lists(DELTAS | st.just(4), min_size=1, max_size=80).map(tuple)
    | st.lists(st.none() | st.just(3), min_size=1, max_size=300).map(tuple),
)


@given(FEEDBACK)
def test_transport_cc_written_by_them(lib: ctypes.CDLL, feedback: TransportFeedback) -> None:
    raw = build_rtcp([feedback])  # the packet points into it
    (packet,) = _walk(lib, raw)
    assert _read_twcc(lib, packet) == _ticks(feedback)


@given(FEEDBACK, st.data())
def test_broken_transport_cc(
    lib: ctypes.CDLL, feedback: TransportFeedback, data: st.DataObject
) -> None:
    """Both accept the same bytes, and read the same in them."""
    broken = bytearray(build_rtcp([feedback]))
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(12, len(broken) - 1))] = data.draw(st.integers(0, 255))
    raw = bytes(broken)
    (packet,) = _walk(lib, raw)
    try:
        (theirs,) = parse_rtcp_untrusted(raw)
    except WireError:
        assert _read_twcc(lib, packet) is None
        return
    assert isinstance(theirs, TransportFeedback)
    assert _read_twcc(lib, packet) == _ticks(theirs)


def test_rtcp_written_by_them(lib: ctypes.CDLL) -> None:
    sender = rtp.RtcpSenderInfo(0x0123456789ABCDEF, 90000, 12, 3456)
    lost = [5, 6, 21, 22, 4000]
    data = b"".join(
        bytes(packet)
        for packet in (
            rtp.RtcpSrPacket(1, sender, [THEIR_REPORT, THEIR_REPORT]),
            rtp.RtcpRtpfbPacket(1, 2, 3, lost),
            rtp.RtcpPsfbPacket(15, 4, 0, rtp.pack_remb_fci(987654321, [7])),
        )
    )
    sr, nack, remb = _walk(lib, data)
    info, report = SenderInfo(), Report()
    assert lib.mt_rtcp_read_sender_info(byref(sr), byref(info))
    assert bytes(info) == bytes(SenderInfo(1, sender.ntp_timestamp, 90000, 12, 3456))
    for i in range(2):
        assert lib.mt_rtcp_read_report(byref(sr), i, byref(report))
        for name, _ in Report._fields_:
            assert getattr(report, name) == getattr(OUR_REPORT, name)
    assert not lib.mt_rtcp_read_report(byref(sr), 2, byref(report))

    pid, blp, found = u16(), u16(), []
    for i in itertools.count():
        if not lib.mt_rtcp_read_nack(byref(nack), i, byref(pid), byref(blp)):
            break
        bits = [pid.value + 1 + bit for bit in range(16) if blp.value >> bit & 1]
        found += [pid.value, *bits]
    assert found == lost

    bitrate = u64()
    assert lib.mt_rtcp_read_remb(byref(remb), byref(bitrate))
    assert bitrate.value == rtp.unpack_remb_fci(rtp.pack_remb_fci(987654321, [7]))[0]


# ---- VP8 ----


@given(
    start=st.integers(0, 1),
    partition=st.integers(0, 7),
    picture_id=st.none() | st.integers(0, 0x7FFF),
    tl0picidx=st.none() | st.integers(0, 255),
    tid=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 1)),
    keyidx=st.none() | st.integers(0, 31),
    frame=st.binary(min_size=1, max_size=12),
)
def test_vp8_descriptor(
    lib: ctypes.CDLL,
    start: int,
    partition: int,
    picture_id: int | None,
    tl0picidx: int | None,
    tid: tuple[int, int] | None,
    keyidx: int | None,
    frame: bytes,
) -> None:
    theirs = bytes(VpxPayloadDescriptor(start, partition, picture_id, tl0picidx, tid, keyidx))
    ours = Vp8()
    assert lib.mt_vp8_parse_untrusted(theirs + frame, len(theirs) + len(frame), byref(ours))
    assert ours.descriptor_len == len(theirs)
    assert (ours.start_of_partition, ours.partition) == (bool(start), partition)
    assert (ours.picture_id if ours.has_picture_id else None) == picture_id
    assert (ours.tl0picidx if ours.has_tl0picidx else None) == tl0picidx
    assert ((ours.tid, int(ours.layer_sync)) if ours.has_tid else None) == tid
    assert (ours.keyidx if ours.has_keyidx else None) == keyidx
    assert ours.keyframe == (start == 1 and partition == 0 and frame[0] & 1 == 0)


# ---- VP9 ----

bytes_strategy = st.integers(0, 255)
vp9_structures = st.builds(
    Vp9Structure,
    spatial_layers=st.integers(1, 8),
    pictures=st.none()
    | st.lists(
        st.builds(
            Picture,
            temporal=st.integers(0, 7),
            switch_up=st.booleans(),
            references=st.lists(bytes_strategy, max_size=3),
        ),
        max_size=12,
    ),
)


@given(
    descriptor=st.builds(
        Vp9Descriptor,
        begins=st.booleans(),
        ends=st.booleans(),
        picture_id=st.integers(0, 0x7F),
        long_picture_id=st.booleans(),
        flexible=st.booleans(),
        inter_picture=st.booleans(),
        references=st.lists(st.integers(0, 127), min_size=1, max_size=3),
        layers=st.none() | st.tuples(st.integers(0, 7), st.integers(0, 7)),
        switch_up=st.booleans(),
        inter_layer=st.booleans(),
        not_for_upper=st.booleans(),
        tl0_picture_index=bytes_strategy,
        structure=st.none() | vp9_structures,
    ),
    has_picture_id=st.booleans(),
    high_bits=st.integers(0, 0xFF),
    with_sizes=st.booleans(),
    frame=st.binary(min_size=1, max_size=12),
)
def test_vp9_descriptor(
    lib: ctypes.CDLL,
    descriptor: Vp9Descriptor,
    has_picture_id: bool,
    high_bits: int,
    with_sizes: bool,
    frame: bytes,
) -> None:
    picture_id = descriptor.picture_id or 0
    if descriptor.long_picture_id:
        picture_id |= high_bits << 7
    numbered = has_picture_id or descriptor.flexible
    descriptor = attrs.evolve(descriptor, picture_id=picture_id if numbered else None)
    structure = descriptor.structure
    if structure and with_sizes:
        sizes = [(16 << i, 9 << i) for i in range(structure.spatial_layers)]
        structure = attrs.evolve(structure, sizes=sizes)
        descriptor = attrs.evolve(descriptor, structure=structure)
    theirs, ours = build_vp9_descriptor(descriptor), Vp9()
    assert lib.mt_vp9_parse_untrusted(theirs + frame, len(theirs) + len(frame), byref(ours))
    assert not lib.mt_vp9_parse_untrusted(theirs, len(theirs), byref(Vp9()))
    assert ours.descriptor_len == len(theirs)
    for name in ("begins", "ends", "inter_picture", "not_for_upper", "flexible"):
        assert getattr(ours, name) == getattr(descriptor, name)
    assert (ours.picture_id if ours.has_picture_id else None) == descriptor.picture_id
    assert ((ours.spatial, ours.temporal) if ours.has_layers else None) == descriptor.layers
    layered = descriptor.layers is not None
    assert ours.switch_up == (layered and descriptor.switch_up)
    assert ours.inter_layer == (layered and descriptor.inter_layer)
    assert ours.has_tl0picidx == (layered and not descriptor.flexible)
    if ours.has_tl0picidx:
        assert ours.tl0picidx == descriptor.tl0_picture_index
    assert ours.spatial_layers == (structure.spatial_layers if structure else 0)
    assert (ours.width, ours.height) == (
        structure.sizes[-1] if structure and with_sizes else (0, 0)
    )


# ---- the Dependency Descriptor ----


def _dtis(value: int, count: int) -> str:
    return "".join("-DSR"[value >> 2 * i & 3] for i in range(count))


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    targets = draw(st.integers(1, 32))
    chains = draw(st.integers(0, targets))
    layers = sorted(
        draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20))
    )
    reached: list[tuple[int, int]] = []  # each step goes to the next layer or stays
    for spatial, temporal in layers:
        last = reached[-1] if reached else (0, 0)
        if not reached or spatial > last[0] + 1:
            reached.append((0, 0) if not reached else (last[0] + 1, 0))
        elif spatial == last[0] + 1:
            reached.append((spatial, 0))
        else:
            reached.append((last[0], min(temporal, last[1] + 1) if temporal > last[1] else last[1]))
    return Structure(
        templates=[
            Template(
                spatial,
                temporal,
                draw(st.text("-DSR", min_size=targets, max_size=targets)),
                draw(st.lists(st.integers(1, 16), max_size=4)),
                draw(st.lists(st.integers(0, 15), min_size=chains, max_size=chains)),
            )
            for spatial, temporal in reached
        ],
        protected_by=draw(st.lists(st.integers(0, chains - 1), min_size=targets, max_size=targets))
        if chains
        else (),
        resolutions=draw(
            st.just(()) | st.just([(320 << i, 180 << i) for i in range(reached[-1][0] + 1)])
        ),
        offset=draw(st.integers(0, 63)),
    )


def _read(lib: ctypes.CDLL, descriptor: Descriptor, kept: DdStructure) -> tuple[Dd, DdStructure]:
    value, found, brought = build_descriptor(descriptor), Dd(), DdStructure()
    assert lib.mt_dd_parse_untrusted(
        value, len(value), byref(kept), byref(found), byref(brought)
    ), value.hex()
    assert (found.begins, found.ends) == (descriptor.begins, descriptor.ends)
    assert (found.template_id, found.frame) == (descriptor.template, descriptor.frame)
    assert found.has_structure == (descriptor.structure is not None)
    return found, brought if found.has_structure else kept


@given(structure=st.sampled_from((L1T3, L3T3, L3T3_KEY)) | structures(), data=st.data())
def test_dependency_descriptor(lib: ctypes.CDLL, structure: Structure, data: st.DataObject) -> None:
    templates, targets = structure.templates, structure.target_count
    frames, kept = st.integers(0, 0xFFFF), DdStructure()
    for i in range(3):
        index = data.draw(st.integers(0, len(templates) - 1))
        template = templates[index]
        dtis = data.draw(st.none() | st.text("-DSR", min_size=targets, max_size=targets))
        descriptor = Descriptor(
            template=(index + structure.offset) % 64,
            frame=data.draw(frames),
            begins=data.draw(st.booleans()),
            ends=data.draw(st.booleans()),
            structure=structure if i == 0 else None,
            active=(1 << targets) - 1 if i == 0 or dtis else None,
            dtis=dtis,
            differences=data.draw(st.none() | st.lists(st.integers(1, 4096), max_size=5)),
            chains=data.draw(
                st.none()
                | st.lists(
                    st.integers(0, 255),
                    min_size=structure.chain_count,
                    max_size=structure.chain_count,
                )
            ),
        )
        found, kept = _read(lib, descriptor, kept)
        assert found.known
        assert (found.spatial, found.temporal) == (template.spatial, template.temporal)
        assert _dtis(found.dtis, targets) == (dtis or template.dtis)
        own = descriptor.differences
        assert found.reach == max(template.differences if own is None else own, default=0)
    assert (kept.template_count, kept.target_count) == (len(templates), targets)
    assert (kept.width, kept.height) == (structure.resolutions or [(0, 0)])[-1]
    unknown = Descriptor(template=(structure.offset + len(templates)) % 64, frame=1)
    assert len(templates) == 64 or not _read(lib, unknown, kept)[0].known


def test_decode_targets_of_the_specification(lib: ctypes.CDLL) -> None:
    descriptor = Descriptor(template=0, frame=1, structure=L3T3)
    _, kept = _read(lib, descriptor, DdStructure())
    # HD, VGA and QVGA with 30, 15 and 7.5 frames a second are the targets 0 to 8
    assert list(kept.target_for) == [8, 7, 6, 6, 5, 4, 3, 3, 2, 1, 0, 0]
