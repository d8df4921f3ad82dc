"""RTCP packets: round trips, garbage, and aiortc's parser as a second opinion."""

import contextlib
from typing import Any

import pytest
from aiortc import rtp as aiortc_rtp
from hypothesis import given
from hypothesis import strategies as st
from support.wire import WireError
from support.wire.rtcp import (
    Bye,
    Fir,
    Nack,
    OtherRtcp,
    Pli,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpPacket,
    Sdes,
    SdesChunk,
    SenderReport,
    build_rtcp,
    parse_rtcp_untrusted,
)
from support.wire.transport_cc import TransportFeedback

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)

blocks = st.builds(
    ReportBlock,
    ssrc=u32,
    fraction_lost=u8,
    cumulative_lost=st.integers(-(1 << 23), (1 << 23) - 1),
    highest_sequence=u32,
    jitter=u32,
    last_sr=u32,
    delay_since_last_sr=u32,
)
reports = st.lists(blocks, max_size=31).map(tuple)
chunks = st.builds(
    SdesChunk,
    u32,
    st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=30)), max_size=3).map(tuple),
)


@st.composite
def lost_numbers(draw: st.DrawFn) -> tuple[int, ...]:
    """Numbers ascending mod 2^16 from a random start; they span less than half of the
    number space.
    """
    start = draw(u16)
    offsets = draw(st.sets(st.integers(0, 300), min_size=1, max_size=40))
    return tuple((start + offset) & 0xFFFF for offset in sorted(offsets))


feedbacks = st.builds(
    TransportFeedback,
    sender_ssrc=u32,
    media_ssrc=u32,
    base_sequence=u16,
    reference_time=st.integers(-(1 << 23), (1 << 23) - 1),
    feedback_count=u8,
    deltas=st.lists(
        # Runs lead to both kinds of chunk.
        st.tuples(
            st.none() | st.integers(0, 255) | st.integers(-(1 << 15), (1 << 15) - 1),
            st.integers(1, 20),
        ),
        max_size=12,
    ).map(lambda runs: tuple(delta for delta, count in runs for _ in range(count))),
)

packets: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(
        SenderReport,
        ssrc=u32,
        ntp=st.integers(0, (1 << 64) - 1),
        rtp_timestamp=u32,
        packets=u32,
        octets=u32,
        reports=reports,
    ),
    st.builds(ReceiverReport, u32, reports),
    st.builds(Sdes, st.lists(chunks, max_size=31).map(tuple)),
    st.builds(Bye, st.lists(u32, max_size=31).map(tuple), st.binary(max_size=255)),
    st.builds(Nack, u32, u32, lost_numbers()),
    st.builds(Pli, u32, u32),
    st.builds(Fir, u32, st.lists(st.tuples(u32, u8), max_size=5).map(tuple)),
    st.builds(Remb, u32, st.integers(0, (1 << 18) - 1), st.lists(u32, max_size=255).map(tuple)),
    feedbacks,
    st.builds(
        OtherRtcp,
        st.sampled_from([204, 207]),
        st.integers(0, 31),
        st.integers(0, 10).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words)),
    ),
)


@given(st.lists(packets, min_size=1, max_size=4).map(tuple))
def test_compound_survives_build_and_parse(compound: tuple[RtcpPacket, ...]) -> None:
    assert parse_rtcp_untrusted(build_rtcp(compound)) == compound


@given(st.binary(max_size=120))
def test_garbage_gives_packets_or_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        parse_rtcp_untrusted(data)


@given(st.lists(packets, min_size=1, max_size=3), st.data())
def test_changed_bytes_never_raise_anything_else(
    compound: list[RtcpPacket], data: st.DataObject
) -> None:
    raw = bytearray(build_rtcp(compound))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(u8)
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with contextlib.suppress(WireError):
        parse_rtcp_untrusted(cut)


@given(st.integers(0, (1 << 64) - 1))
def test_remb_rounds_down_to_18_significant_bits(bitrate: int) -> None:
    (parsed,) = parse_rtcp_untrusted(build_rtcp([Remb(1, bitrate, (2,))]))
    assert isinstance(parsed, Remb)
    assert 0 <= bitrate - parsed.bitrate <= bitrate >> 17


def test_aiortc_reads_reports_and_feedback() -> None:
    block = ReportBlock(
        ssrc=7,
        fraction_lost=12,
        cumulative_lost=-3,
        highest_sequence=0x10002,
        jitter=99,
        last_sr=0xAABBCCDD,
        delay_since_last_sr=0x8000,
    )
    report = SenderReport(
        ssrc=5, ntp=1 << 40, rtp_timestamp=4, packets=3, octets=2, reports=(block,)
    )
    raw = build_rtcp(
        [
            report,
            Sdes((SdesChunk(5, ((1, b"cname"),)),)),
            Nack(1, 2, (65533, 65535, 30, 40)),
            Pli(1, 2),
            Remb(1, 1_000_000, (7, 8)),
            Bye((5, 6)),
        ]
    )
    parsed: list[Any] = aiortc_rtp.RtcpPacket.parse(raw)
    sr, sdes, nack, pli, remb, bye = parsed
    assert (sr.ssrc, sr.sender_info.ntp_timestamp, sr.sender_info.octet_count) == (5, 1 << 40, 2)
    theirs = sr.reports[0]
    assert (theirs.fraction_lost, theirs.packets_lost, theirs.highest_sequence) == (12, -3, 0x10002)
    assert (theirs.jitter, theirs.lsr, theirs.dlsr) == (99, 0xAABBCCDD, 0x8000)
    assert (sdes.chunks[0].ssrc, sdes.chunks[0].items) == (5, [(1, b"cname")])
    assert (nack.fmt, nack.lost) == (1, [65533, 65535, 30, 40])
    assert (pli.fmt, pli.ssrc, pli.media_ssrc) == (1, 1, 2)
    assert aiortc_rtp.unpack_remb_fci(remb.fci) == (1_000_000, [7, 8])
    assert bye.sources == [5, 6]


def test_we_read_aiortcs_reports() -> None:
    theirs = aiortc_rtp.RtcpRrPacket(
        ssrc=9,
        reports=[
            aiortc_rtp.RtcpReceiverInfo(
                ssrc=1,
                fraction_lost=2,
                packets_lost=3,
                highest_sequence=4,
                jitter=5,
                lsr=6,
                dlsr=7,
            )
        ],
    )
    assert parse_rtcp_untrusted(bytes(theirs)) == (
        ReceiverReport(
            9,
            (
                ReportBlock(
                    ssrc=1,
                    fraction_lost=2,
                    cumulative_lost=3,
                    highest_sequence=4,
                    jitter=5,
                    last_sr=6,
                    delay_since_last_sr=7,
                ),
            ),
        ),
    )


def test_transport_feedback_bytes() -> None:
    """The layout of the draft's §3.1, by hand: a one-bit vector, and a run longer than
    the packets.
    """
    raw = bytes.fromhex(
        "8fcd0006"  # FMT 15, RTPFB, 6 words after the header
        "00000001"
        "00000002"
        "0005"
        "0010"  # base 5, 16 packets
        "000003"
        "09"  # 3 * 64 ms, feedback 9
        "b000"
        "200a"  # one-bit vector: 2 arrived (bits 13, 12), 12 not; a run of 10 small
        "01020304"
    )
    (feedback,) = parse_rtcp_untrusted(raw)
    assert feedback == TransportFeedback(
        sender_ssrc=1,
        media_ssrc=2,
        base_sequence=5,
        reference_time=3,
        feedback_count=9,
        deltas=(1, 2, *[None] * 12, 3, 4),
    )


def test_transport_feedback_padded_as_libwebrtc_does() -> None:
    raw = bytes.fromhex("afcd00050000000100000002000000010000030020010701")
    (feedback,) = parse_rtcp_untrusted(raw)
    assert isinstance(feedback, TransportFeedback)
    assert feedback.deltas == (7,)


def test_a_nack_names_seventeen_numbers_in_four_bytes() -> None:
    assert len(build_rtcp([Nack(1, 2, tuple(range(17)))])) == 16
    assert len(build_rtcp([Nack(1, 2, (0, 17))])) == 20


@pytest.mark.parametrize("deltas", [(255, 256, -1, 0), (*[None] * 9000, 1)], ids=["edges", "long"])
def test_transport_feedback_at_its_limits(deltas: tuple[int | None, ...]) -> None:
    feedback = TransportFeedback(
        sender_ssrc=1,
        media_ssrc=2,
        base_sequence=65535,
        reference_time=-1,
        feedback_count=255,
        deltas=deltas,
    )
    assert parse_rtcp_untrusted(build_rtcp([feedback])) == (feedback,)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "empty"),
        ("80c9", "header"),
        ("40c9000100000001", "version"),
        ("80c9000200000001", "past the end"),
        ("81c9000100000001", "too short"),  # one report announced
        ("a0c9000100000005", "padding"),
        ("a0c9000100000000", "padding"),
        ("81cb00020000000109616263", "reason"),
        ("81ca00020000000101096162", "item"),
        ("84ce0003000000010000000000000007", "FIR"),
        ("8fcd00050000000100000002000000010000000060010000", "reserved"),
        ("8fcd00050000000100000002000000010000000000000000", "empty run"),
        ("8fcd000400000001000000020000000100000000", "statuses"),
        ("8fcd00050000000100000002000000080000000020080102", "deltas"),
    ],
)
def test_malformed(raw: str, why: str) -> None:
    with pytest.raises(WireError, match=why):
        parse_rtcp_untrusted(bytes.fromhex(raw))


@pytest.mark.parametrize(
    "packet",
    [
        Bye(tuple(range(32))),
        Bye((1 << 32,)),
        Nack(1, 2, (70000,)),
        Sdes((SdesChunk(1, ((1, bytes(256)),)),)),
        OtherRtcp(204, 0, b"abc"),
    ],
)
def test_fields_that_do_not_fit_are_refused(packet: RtcpPacket) -> None:
    with pytest.raises(ValueError, match=r"."):
        build_rtcp([packet])
