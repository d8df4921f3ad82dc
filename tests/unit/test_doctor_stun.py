"""The doctor's STUN messages, with the Python of ``support.wire`` as a second opinion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import stun as wire

from meet_trio.doctor import stun
from meet_trio.doctor.relay import TurnUrl
from meet_trio.doctor.stun import StunError, StunMessage

ATTRIBUTES = st.lists(
    st.tuples(st.integers(0x0020, 0x7FFF), st.binary(max_size=40)), max_size=6
).map(tuple)


@given(ATTRIBUTES, st.binary(min_size=12, max_size=12))
def test_what_is_built_is_read(
    attributes: tuple[tuple[int, bytes], ...], transaction: bytes
) -> None:
    data = stun.build(StunMessage(stun.BINDING, attributes, transaction), b"key")
    for found in (stun.parse_untrusted(data), wire.parse_stun_untrusted(data)):
        assert tuple(found.attributes[: len(attributes)]) == attributes
    assert stun.parse_untrusted(data).transaction == transaction
    assert stun.body_length_untrusted(data[: stun.HEADER_SIZE]) == len(data) - stun.HEADER_SIZE


def test_integrity_is_that_of_the_second_opinion() -> None:
    data = stun.build(stun.binding_request("ufrag"), b"password")
    assert wire.has_integrity_untrusted(data, "password")
    assert not wire.has_integrity_untrusted(data, "another")


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (stun.parse_untrusted, lambda d: stun.read_xor_address_untrusted(d, bytes(12))):
        try:
            read(data)
        except StunError:
            continue


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_message_that_is_cut_is_refused(value: bytes, cut: int) -> None:
    data = stun.build(StunMessage(stun.BINDING, ((0x20, value),)))
    if cut < len(data):
        with pytest.raises(StunError):
            stun.parse_untrusted(data[:cut])


def test_an_attribute_longer_than_the_message() -> None:
    data = bytearray(stun.build(StunMessage(stun.BINDING, ((0x20, b"1234"),))))
    data[23] = 200
    with pytest.raises(StunError):
        stun.parse_untrusted(bytes(data))


@given(st.ip_addresses().map(str), st.integers(0, 65535), st.binary(min_size=12, max_size=12))
def test_addresses(address: str, port: int, transaction: bytes) -> None:
    value = stun.xor_address(address, port, transaction)
    assert stun.read_xor_address_untrusted(value, transaction) == (address, port)


def test_the_long_term_key_is_that_of_the_rfc() -> None:
    # RFC 8489 §9.2.2 has this example
    key = stun.long_term_key("user", "realm", "pass")
    assert key.hex() == "8493fbc53ba582fb4c044c456bdc40eb"


def test_the_error_code() -> None:
    failure = StunMessage(stun.ALLOCATE | stun.FAILURE, ((stun.ERROR_CODE, b"\0\0\x04\x01Nein"),))
    assert failure.error == (401, "Nein")
    assert StunMessage(stun.ALLOCATE | stun.FAILURE, ((stun.ERROR_CODE, b"\0"),)).error == (0, "")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("turn:t.test", TurnUrl("t.test", 3478, "udp", False)),
        ("turn:t.test:99?transport=tcp", TurnUrl("t.test", 99, "tcp", False)),
        ("turns:t.test", TurnUrl("t.test", 5349, "tcp", True)),
        ("turn:[2001:db8::1]:7", TurnUrl("2001:db8::1", 7, "udp", False)),
        ("turn:[2001:db8::1]", TurnUrl("2001:db8::1", 3478, "udp", False)),
    ],
)
def test_urls(url: str, wanted: TurnUrl) -> None:
    assert TurnUrl.parse(url) == wanted
