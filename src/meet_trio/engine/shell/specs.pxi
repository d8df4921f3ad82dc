# Producers and consumers: ProducerSpec and ConsumerSpec of records.py, checked and copied into the
# C structs of c/state/specs.h.


cdef dict _EXTENSIONS = {mt_extension_uris[i].decode(): i for i in range(MT_EXT_COUNT)}
cdef dict _CODECS = {
    "video/vp8": MT_CODEC_VP8,
    "video/vp9": MT_CODEC_VP9,
    "video/h264": MT_CODEC_H264,
    "video/av1": MT_CODEC_AV1,
}


cdef int _text(mt_text *out, object value, str name) except -1:
    cdef bytes raw = (value or "").encode()
    if len(raw) > MT_MAX_TEXT:
        raise ValueError(f"{name}: longer than {MT_MAX_TEXT} bytes")
    out.len = len(raw)
    memcpy(&out.text[0], <const char *>raw, len(raw))
    return 0


cdef uint32_t _ssrc(object value, str name) except? 0:
    if value is None:
        return 0
    if not 0 < value < 1 << 32:
        raise ValueError(f"{name}: {value} is no SSRC")
    return value


cdef int16_t _payload_type(object value, str name, bint optional) except? -1:
    if optional and value is None:
        return -1
    if not 0 <= value <= 127:
        raise ValueError(f"{name}: {value} is no payload type")
    return value


cdef int _extensions(uint8_t *out, object extensions) except -1:
    for uri, number in extensions.items():
        if not 1 <= number <= 255:
            raise ValueError(f"header extension {uri}: {number} is no id")
        if uri in _EXTENSIONS:
            out[<int>_EXTENSIONS[uri]] = number
    return 0


cdef int _producer_spec(mt_producer_spec *out, object spec) except -1:
    if spec.kind not in ("audio", "video"):
        raise ValueError(f"kind: {spec.kind!r} is neither audio nor video")
    if not 1 <= len(spec.encodings) <= MT_MAX_ENCODINGS:
        raise ValueError(f"encodings: {len(spec.encodings)} are not 1 to {MT_MAX_ENCODINGS}")
    if not 1 <= spec.clock_rate <= 1_000_000:
        raise ValueError(f"clock_rate: {spec.clock_rate} Hz")
    out.video = spec.kind == "video"
    out.codec = _CODECS.get(spec.codec, MT_CODEC_OTHER)
    out.payload_type = _payload_type(spec.payload_type, "payload_type", False)
    out.rtx_payload_type = _payload_type(spec.rtx_payload_type, "rtx_payload_type", True)
    out.clock_rate = spec.clock_rate
    _text(&out.mid, spec.mid, "mid")
    _extensions(&out.ext_ids[0], spec.header_extensions)
    out.encoding_count = len(spec.encodings)
    cdef mt_encoding_spec *e
    for i, encoding in enumerate(spec.encodings):
        e = &out.encodings[0] + <size_t>i
        e.ssrc = _ssrc(encoding.ssrc, "ssrc")
        e.rtx_ssrc = _ssrc(encoding.rtx_ssrc, "rtx_ssrc")
        _text(&e.rid, encoding.rid, "rid")
    out.nack, out.pli, out.fir = spec.nack, spec.pli, spec.fir
    out.transport_cc, out.remb, out.paused = spec.transport_cc, spec.remb, spec.paused
    return 0


cdef int _consumer_spec(mt_consumer_spec *out, object spec) except -1:
    if spec.ssrc is None:
        raise ValueError("ssrc: a consumer has one")
    out.ssrc = _ssrc(spec.ssrc, "ssrc")
    out.payload_type = _payload_type(spec.payload_type, "payload_type", False)
    # RTX needs a payload type and an SSRC
    out.rtx_payload_type = _payload_type(spec.rtx_payload_type, "rtx_payload_type", True)
    out.rtx_ssrc = 0 if out.rtx_payload_type < 0 else _ssrc(spec.rtx_ssrc, "rtx_ssrc")
    if out.rtx_ssrc == out.ssrc:
        raise ValueError("rtx_ssrc: the same as ssrc")
    _text(&out.mid, spec.mid, "mid")
    # the CNAME only identifies: its beginning is enough
    _text(&out.cname, spec.cname.encode()[:MT_MAX_TEXT].decode(errors="ignore"), "cname")
    _extensions(&out.ext_ids[0], spec.header_extensions)
    out.nack, out.pli, out.fir, out.paused = spec.nack, spec.pli, spec.fir, spec.paused
    return 0
