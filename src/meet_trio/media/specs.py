"""Negotiated RTP parameters as the engine wants them: plain values, no names to look up."""

from meet_trio.engine import ConsumerSpec, EncodingSpec, ProducerSpec
from meet_trio.ortc import ConsumerRtp, ProducerRtp, RtpParameters


def producer_spec(rtp: ProducerRtp, *, paused: bool) -> ProducerSpec:
    """What the publisher sends: how to find its streams, and the feedback that it understands."""
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
    """What the consumer's client expects: one stream, rewritten to these numbers."""
    parameters = rtp.params
    codec, rtx = parameters.media_codec(), parameters.rtx_codec()
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
        nack=parameters.feedback("nack"),
        pli=parameters.feedback("nack", "pli"),
        fir=parameters.feedback("ccm", "fir"),
        paused=paused,
    )


def _cname(parameters: RtpParameters) -> str:
    return parameters.rtcp.cname or ""
