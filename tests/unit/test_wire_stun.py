"""STUN and demultiplexing, with aioice and RFC 5769 as second opinions."""

import zlib

import pytest
from aioice import stun as aioice_stun
from hypothesis import given
from hypothesis import strategies as st
from support.wire import WireError
from support.wire.demux import DatagramKind, classify
from support.wire.rtcp import Pli, build_rtcp
from support.wire.rtp import RtpPacket, build_rtp
from support.wire.stun import (
    BINDING_REQUEST,
    FINGERPRINT,
    MESSAGE_INTEGRITY,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    StunMessage,
    binding_request,
    binding_response,
    build_stun,
    build_xor_address,
    has_integrity_untrusted,
    parse_stun_untrusted,
    parse_xor_address_untrusted,
)

# RFC 5769 §2.1: sample request, password "VOkJxbRl1RmTxUk/WvJxBt"
RFC_5769_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
RFC_5769_PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"

attributes = st.lists(
    st.tuples(
        st.integers(0, 0xFFFF).filter(lambda a: a not in (MESSAGE_INTEGRITY, FINGERPRINT)),
        st.binary(max_size=24),
    ),
    max_size=5,
).map(tuple)
messages = st.builds(
    StunMessage,
    st.integers(0, 0x3FFF),
    st.binary(min_size=12, max_size=12),
    attributes,
)


@given(messages, st.none() | st.text(max_size=20))
def test_message_survives_build_and_parse(message: StunMessage, password: str | None) -> None:
    raw = build_stun(message, password)
    parsed = parse_stun_untrusted(raw)
    added = 1 if password is None else 2
    assert parsed.attributes[:-added] == message.attributes
    assert parsed.message_type == message.message_type
    assert parsed.transaction_id == message.transaction_id
    assert has_integrity_untrusted(raw, password or "") is (password is not None)
    assert not has_integrity_untrusted(raw, "another" + (password or ""))


@given(messages, st.data())
def test_any_changed_byte_is_noticed(message: StunMessage, data: st.DataObject) -> None:
    raw = bytearray(build_stun(message, "secret"))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        intact = has_integrity_untrusted(bytes(raw), "secret")
    except WireError:
        return
    # Only a change of the fingerprint's own type leaves the integrity intact.
    assert not intact or at >= len(raw) - 8


@given(st.binary(max_size=100), st.booleans())
def test_garbage_gives_a_message_or_wire_error(body: bytes, head: bool) -> None:
    start = b"\x00\x01" + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12)
    data = start + body if head else body
    try:
        parse_stun_untrusted(data)
    except WireError:
        return
    assert head


def test_rfc_5769_sample_request() -> None:
    message = parse_stun_untrusted(RFC_5769_REQUEST)
    assert message.message_type == BINDING_REQUEST
    assert message.get(USERNAME) == b"evtj:h6vY"
    assert message.get(USE_CANDIDATE) is None
    assert has_integrity_untrusted(RFC_5769_REQUEST, RFC_5769_PASSWORD)
    assert not has_integrity_untrusted(RFC_5769_REQUEST, "x")


def test_nothing_may_follow_the_fingerprint() -> None:
    raw = build_stun(StunMessage(BINDING_REQUEST))
    longer = (int.from_bytes(raw[2:4], "big") + 4).to_bytes(2, "big")
    # The CRC covers the length, so it is correct.
    crc = zlib.crc32(raw[:2] + longer + raw[4:20]) ^ 0x5354554E
    forged = raw[:2] + longer + raw[4:24] + crc.to_bytes(4, "big") + bytes(4)
    with pytest.raises(WireError, match="fingerprint"):
        parse_stun_untrusted(forged)


def test_aioice_reads_our_check_and_we_read_its_answer() -> None:
    request = binding_request(remote_ufrag="srv", local_ufrag="me", tie_breaker=99, nominate=True)
    theirs = aioice_stun.parse_message(build_stun(request, "pw"))
    assert theirs.check_message_integrity(b"pw")
    assert theirs.attributes["USERNAME"] == "srv:me"
    assert theirs.attributes["ICE-CONTROLLING"] == 99
    assert "USE-CANDIDATE" in theirs.attributes
    assert theirs.message_class is aioice_stun.Class.REQUEST

    answer = aioice_stun.Message(
        message_method=aioice_stun.Method.BINDING,
        message_class=aioice_stun.Class.RESPONSE,
        transaction_id=theirs.transaction_id,
    )
    answer.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.1", 32853)
    answer.add_message_integrity(b"pw")
    raw = bytes(answer)
    parsed = parse_stun_untrusted(raw)
    assert parsed.transaction_id == request.transaction_id
    assert has_integrity_untrusted(raw, "pw")
    address = parsed.get(XOR_MAPPED_ADDRESS)
    assert address is not None
    assert parse_xor_address_untrusted(address, parsed.transaction_id) == ("192.0.2.1", 32853)
    ours = build_stun(binding_response(request, ("192.0.2.1", 32853)), "pw")
    assert ours == raw


@given(
    st.ip_addresses().map(str),
    st.integers(0, 0xFFFF),
    st.binary(min_size=12, max_size=12),
)
def test_xor_address_round_trip(ip: str, port: int, transaction_id: bytes) -> None:
    value = build_xor_address((ip, port), transaction_id)
    assert parse_xor_address_untrusted(value, transaction_id) == (ip, port)


@pytest.mark.parametrize("value", ["", "0001000001020304ff", "0002000001020304", "0001" * 10])
def test_malformed_xor_address(value: str) -> None:
    with pytest.raises(WireError):
        parse_xor_address_untrusted(bytes.fromhex(value), bytes(12))


@pytest.mark.parametrize(
    ("datagram", "kind"),
    [
        (RFC_5769_REQUEST, DatagramKind.STUN),
        (b"\x16\xfe\xfd", DatagramKind.DTLS),
        (b"\x40\x00\x00\x04", DatagramKind.TURN_CHANNEL),
        (
            build_rtp(
                RtpPacket(payload_type=111, sequence_number=1, timestamp=1, ssrc=1, marker=True)
            ),
            DatagramKind.RTP,
        ),
        (build_rtcp([Pli(1, 2)]), DatagramKind.RTCP),
        (b"\x80", DatagramKind.UNKNOWN),
        (b"\x13\x00", DatagramKind.UNKNOWN),
        (b"\xc0\x00", DatagramKind.UNKNOWN),
    ],
)
def test_classify(datagram: bytes, kind: DatagramKind) -> None:
    assert classify(datagram) is kind
