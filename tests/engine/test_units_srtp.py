"""SRTP and SRTCP of the engine against libsrtp (pylibsrtp), with the same keys the other way round.

The unit is compiled into a small shared library and called through ctypes: both directions, all
three profiles, headers of every shape, roll-over, reordering and replays.
"""

import ctypes
import itertools
import os
import random
from collections.abc import Iterator
from ctypes import byref, c_bool, c_char_p, c_size_t, c_uint, c_void_p, create_string_buffer
from ctypes import c_uint32 as u32
from ctypes import c_uint64 as u64
from struct import pack

import pylibsrtp
import pytest
from support.aead import need_libipsec_mb
from support.c_sources import load_units

PROFILES = {
    "cm-sha1-80": (0x0001, pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    "gcm-128": (0x0007, pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "gcm-256": (0x0008, pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
}
LIBCRYPTO, IPSEC_MB = 0, 1  # mt_aead_library
OK, TOO_SHORT, REPLAYED, BAD_AUTH = range(4)


class Window(ctypes.Structure):
    _fields_ = (("started", c_bool), ("highest", u64), ("bits", u64 * 16))


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    units = load_units(tmp_path_factory.mktemp("units"), "srtp", "aead", "ipsec_mb")
    size = c_size_t
    for name, result, arguments in (
        ("mt_srtp_new", c_void_p, [c_uint, c_uint, c_char_p, c_char_p]),
        ("mt_srtp_free", None, [c_void_p]),
        ("mt_srtp_protect", size, [c_void_p, u64, c_void_p, size, size, c_char_p, size]),
        ("mt_srtp_unprotect", c_uint, [*[c_void_p] * 3, size, size, *[c_void_p] * 2]),
        ("mt_srtcp_protect", size, [c_void_p, u32, c_void_p, size, size]),
        ("mt_srtcp_unprotect", c_uint, [c_void_p, c_void_p, c_void_p, size, c_void_p]),
    ):
        function = getattr(units, name)
        function.restype, function.argtypes = result, arguments
    return units


class Ours:
    """One session of the engine, with a window per SSRC as the engine keeps them."""

    def __init__(self, lib: ctypes.CDLL, profile: int, library: int, tx: bytes, rx: bytes) -> None:
        self.lib = lib
        self.session = lib.mt_srtp_new(profile, library, tx, rx)
        assert self.session
        self.windows: dict[tuple[str, bytes], Window] = {}

    def close(self) -> None:
        self.lib.mt_srtp_free(self.session)

    def protect(self, packet: bytes, header_len: int, index: int, prefix: int) -> bytes:
        cut = min(header_len + prefix, len(packet))
        out = create_string_buffer(packet[:cut], len(packet) + 16)
        rest = packet[cut:]
        n = self.lib.mt_srtp_protect(
            self.session, index, out, header_len, cut - header_len, rest, len(rest)
        )
        assert n
        return out.raw[:n]

    def unprotect(self, packet: bytes, header_len: int) -> tuple[int, bytes, int]:
        window = self.windows.setdefault(("rtp", packet[8:12]), Window())
        buffer, length, index = create_string_buffer(packet, len(packet)), c_size_t(), u64()
        status = self.lib.mt_srtp_unprotect(
            self.session,
            byref(window),
            buffer,
            len(packet),
            header_len,
            byref(length),
            byref(index),
        )
        return status, buffer.raw[: length.value], index.value

    def protect_rtcp(self, packet: bytes, index: int) -> bytes:
        buffer = create_string_buffer(packet, len(packet) + 20)
        n = self.lib.mt_srtcp_protect(self.session, index, buffer, len(packet), len(buffer))
        assert n
        return buffer.raw[:n]

    def unprotect_rtcp(self, packet: bytes) -> tuple[int, bytes]:
        window = self.windows.setdefault(("rtcp", packet[4:8]), Window())
        buffer, length = create_string_buffer(packet, len(packet)), c_size_t()
        status = self.lib.mt_srtcp_unprotect(
            self.session, byref(window), buffer, len(packet), byref(length)
        )
        return status, buffer.raw[: length.value]


class Theirs:
    """libsrtp with the same keys the other way round."""

    def __init__(self, profile: int, tx: bytes, rx: bytes) -> None:
        policy = pylibsrtp.Policy
        self.tx = pylibsrtp.Session(
            policy(key=tx, ssrc_type=policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
        )
        self.rx = pylibsrtp.Session(
            policy(key=rx, ssrc_type=policy.SSRC_ANY_INBOUND, srtp_profile=profile)
        )


@pytest.fixture(params=[*PROFILES, "gcm-128 by libipsec-mb", "gcm-256 by libipsec-mb"])
def pair(request: pytest.FixtureRequest, lib: ctypes.CDLL) -> Iterator[tuple[Ours, Theirs]]:
    name, _, other = request.param.partition(" by ")
    if other:
        need_libipsec_mb()
    profile, their_profile, keying = PROFILES[name]
    a, b = random.Random(1).randbytes(keying), random.Random(2).randbytes(keying)
    ours = Ours(lib, profile, IPSEC_MB if other else LIBCRYPTO, a, b)
    yield ours, Theirs(their_profile, b, a)
    ours.close()


def _rtp(
    sequence: int,
    payload: bytes,
    csrcs: int = 0,
    extension: int | None = None,
    ssrc: int = 0xFEDCBA98,
) -> tuple[bytes, int]:
    """A packet and the length of its header; ``extension`` in words."""
    first = 0x80 | csrcs | (0x10 if extension is not None else 0)
    header = pack("!BBHLL", first, 0xE0, sequence & 0xFFFF, sequence * 90, ssrc)
    header += b"".join(pack("!L", i) for i in range(csrcs))
    if extension is not None:
        header += pack("!HH", 0xBEDE, extension) + b"\x10\xaa\x00\x00" * extension
    return header + payload, len(header)


SHAPES = list(itertools.product((0, 1, 15), (None, 0, 1, 5), (0, 1, 15, 16, 17, 200, 1200)))


def test_srtp_sent_by_us(pair: tuple[Ours, Theirs]) -> None:
    ours, theirs = pair
    for sequence, (csrcs, extension, size) in enumerate(SHAPES, 1000):
        packet, header_len = _rtp(sequence, os.urandom(size), csrcs, extension)
        for prefix in (0, 2, 33):
            wire = ours.protect(packet, header_len, sequence, prefix)
            if prefix == 0:
                first = wire
            assert wire == first, "where the payload is cut must not matter"
        assert theirs.rx.unprotect(wire) == packet


def test_srtp_sent_by_them(pair: tuple[Ours, Theirs]) -> None:
    ours, theirs = pair
    for sequence, (csrcs, extension, size) in enumerate(SHAPES, 1000):
        packet, header_len = _rtp(sequence, os.urandom(size), csrcs, extension)
        wire = theirs.tx.protect(packet)
        assert ours.unprotect(wire, header_len) == (OK, packet, sequence)


def test_srtcp_both_ways(pair: tuple[Ours, Theirs]) -> None:
    ours, theirs = pair
    for index, words in enumerate((0, 1, 5, 20, 300)):
        packet = pack("!BBHL", 0x80, 201, 1 + words, 0x01020304) + os.urandom(4 * words)
        assert theirs.rx.unprotect_rtcp(ours.protect_rtcp(packet, index)) == packet
        wire = theirs.tx.protect_rtcp(packet)
        assert ours.unprotect_rtcp(wire) == (OK, packet)
        assert ours.unprotect_rtcp(wire)[0] == REPLAYED
    last = ours.protect_rtcp(packet, 0x7FFFFFFF)
    assert theirs.rx.unprotect_rtcp(last) == packet


def test_srtp_over_the_roll_over(pair: tuple[Ours, Theirs]) -> None:
    ours, theirs = pair
    for index in (*range(65500, 65600, 3), *range(65600, 4 * 65536, 20011)):
        packet, header_len = _rtp(index, b"payload")
        assert theirs.rx.unprotect(ours.protect(packet, header_len, index, 0)) == packet
        assert ours.unprotect(theirs.tx.protect(packet), header_len) == (OK, packet, index)


def test_srtp_reordered_and_replayed(pair: tuple[Ours, Theirs]) -> None:
    """Two streams are shuffled within the window across a roll-over: each packet is taken exactly
    once.
    """
    ours, theirs = pair
    sent = []
    for index in range(65300, 65800):
        for ssrc in (1, 2):
            packet, header_len = _rtp(index, b"x" * (index % 50), ssrc=ssrc)
            sent.append((index, packet, theirs.tx.protect(packet)))
    rng = random.Random(3)
    order = sorted(sent, key=lambda entry: entry[0] + rng.uniform(0, 120))
    assert order != sent
    for index, packet, wire in order:
        assert ours.unprotect(wire, header_len) == (OK, packet, index)
    for _, _, wire in order:
        assert ours.unprotect(wire, header_len)[0] == REPLAYED


def test_srtp_of_the_wrong_keys(pair: tuple[Ours, Theirs]) -> None:
    ours, _ = pair
    packet, header_len = _rtp(1, b"payload")
    wire = ours.protect(packet, header_len, 1, 0)
    assert ours.unprotect(wire, header_len)[0] == BAD_AUTH
    assert ours.unprotect(wire[: header_len + 5], header_len)[0] == TOO_SHORT
