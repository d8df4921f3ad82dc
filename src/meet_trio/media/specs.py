"""Translates negotiated RTP parameters into the records that the engine takes."""

from meet_trio.engine import ConsumerSpec, EncodingSpec, ProducerSpec
from meet_trio.ortc import ConsumerRtp, ProducerRtp, RtpParameters
from meet_trio.ortc.records import Feedback

_NACK = Feedback("nack")
_PLI = Feedback("nack", "pli")
_FIR = Feedback("ccm", "fir")


def producer_spec(rtp: ProducerRtp, *, paused: bool) -> ProducerSpec:
    """The publisher's streams and how to identify them, and the RTCP feedback that it supports."""
    parameters = rtp.params
    codec, rtx = parameters.media_codec(), parameters.rtx_codec()
    return ProducerSpec(
        kind=rtp.kind,
        codec=codec.mime_type.lower(),
        payload_type=codec.payload_type,
        rtx_payload_type=None if rtx is None else rtx.payload_type,
        clock_rate=codec.clock_rate,
        mid=parameters.mid,
        encodings=tuple(
            EncodingSpec(ssrc=e.ssrc, rtx_ssrc=e.rtx_ssrc, rid=e.rid) for e in parameters.encodings
        ),
        header_extensions=parameters.extension_ids(),
        nack=parameters.feedback("nack"),
        pli=parameters.feedback("nack", "pli"),
        fir=parameters.feedback("ccm", "fir"),
        transport_cc=parameters.feedback("transport-cc"),
        remb=parameters.feedback("goog-remb"),
        paused=paused,
    )


def consumer_spec(rtp: ConsumerRtp, *, paused: bool) -> ConsumerSpec:
    """The one stream that the consumer's client gets, and the ids to rewrite its packets to."""
    parameters = rtp.params
    codec, rtx = parameters.media_codec(), parameters.rtx_codec()
    feedback = codec.rtcp_feedback
    (encoding,) = parameters.encodings
    assert encoding.ssrc is not None  # negotiation gives every consumer one
    return ConsumerSpec(
        ssrc=encoding.ssrc,
        rtx_ssrc=encoding.rtx_ssrc,
        payload_type=codec.payload_type,
        rtx_payload_type=None if rtx is None else rtx.payload_type,
        mid=parameters.mid or "",
        cname=_cname(parameters),
        header_extensions=parameters.extension_ids(),
        nack=_NACK in feedback,
        pli=_PLI in feedback,
        fir=_FIR in feedback,
        paused=paused,
    )


def _cname(parameters: RtpParameters) -> str:
    return parameters.rtcp.cname or ""
