/* See compose.h. */
#include "egress/compose.h"

#include "base/bytes.h"
#include "egress/playout.h"
#include "formats/rtp.h"
#include "state/trace.h"

#include <string.h>

enum {
  PADDING_BIT = 0x20,          /* first byte of the header */
  PADDING_LEN = 255,           /* bytes, the most that a packet can have; the last one says how many */
  RTX_PREFIX = 2,              /* bytes: the original sequence number (RFC 4588 section 4) */
  MAX_PREFIX = RTX_PREFIX + 8, /* bytes: and the VP8 descriptor, or the beginning of VP9's */
  WRITTEN_EXTS = 4,            /* header extensions that write_header adds: MID, abs-send-time, transport-cc, playout-delay */
};

mt_stamps mt_new_stamps(mt_consumer *c, int64_t now) {
  mt_stamps v = {.abs_send_time = mt_abs_send_time(now)};
  if (c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) v.twcc = c->transport->twcc_next++;
  return v;
}

/* `p`: NULL for padding */
static size_t write_header(const mt_consumer *c, uint8_t *out, const mt_packet *p, const mt_numbers *numbers, bool rtx,
                           uint16_t sequence, const mt_stamps *v) {
  const mt_consumer_spec *spec = &c->spec;
  mt_rtp_ext_out ext[MT_EXT_COUNT + WRITTEN_EXTS];
  uint8_t abs_send_time[3], twcc[2], descriptor[UINT8_MAX], playout[MT_PLAYOUT_BYTES];
  bool delayed = p && mt_playout_written(c);
  size_t n = 0;
  mt_store24(abs_send_time, v->abs_send_time);
  mt_store16(twcc, v->twcc);
  if (spec->mid.len) ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_MID], spec->mid.len, (const uint8_t *)spec->mid.text};
  ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_ABS_SEND_TIME], sizeof abs_send_time, abs_send_time};
  ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_TRANSPORT_CC], sizeof twcc, twcc};
  if (delayed) {
    mt_playout_write(c, playout);
    ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_PLAYOUT_DELAY], sizeof playout, playout};
  }
  for (unsigned i = 0; p && i < p->ext_count; i++) {
    const mt_packet_ext *e = &p->ext[i];
    if (delayed && e->kind == MT_EXT_PLAYOUT_DELAY) continue;
    const uint8_t *value = p->data + e->offset;
    if (e->kind == MT_EXT_DEPENDENCY_DESCRIPTOR && p->has_dd) {
      memcpy(descriptor, value, e->len);
      mt_dd_rewrite(descriptor, numbers->picture_id);
      value = descriptor;
    }
    ext[n++] = (mt_rtp_ext_out){spec->ext_ids[e->kind], e->len, value};
  }
  return mt_rtp_write_header(out, MT_RTP_MAX_HEADER, rtx ? (uint8_t)spec->rtx_payload_type : spec->payload_type, numbers->marker,
                             sequence, numbers->timestamp, rtx ? spec->rtx_ssrc : spec->ssrc, ext, n, NULL);
}

/* As mt_srtp_protect. */
static size_t protect(const mt_transport *t, uint64_t index, uint8_t *out, size_t header, size_t prefix, const uint8_t *rest,
                      size_t rest_len) {
  if (t->trace) mt_trace_stage(t, false, out, header + prefix, rest, rest_len);
  size_t len = mt_srtp_protect(t->srtp, index, out, header, prefix, rest, rest_len);
  if (!len && t->trace) mt_trace_unstage(t);
  return len;
}

size_t mt_compose(const mt_consumer *c, uint8_t *out, const mt_packet *p, const mt_numbers *n, uint64_t rtx_index,
                  const mt_stamps *v) {
  uint64_t index = rtx_index ? rtx_index : n->sequence;
  size_t header = write_header(c, out, p, n, rtx_index != 0, (uint16_t)index, v);
  if (!header) return 0;
  uint8_t *prefix = out + header;
  size_t prefix_len = 0, taken = 0;
  if (rtx_index) {
    mt_store16(prefix, (uint16_t)n->sequence);
    prefix_len = RTX_PREFIX;
  }
  if (p->has_vp8) {
    taken = p->vp8.descriptor_len;
    memcpy(prefix + prefix_len, p->data + p->payload, taken);
    mt_vp8_rewrite(prefix + prefix_len, &p->vp8, n->picture_id, n->tl0picidx);
    prefix_len += taken;
  } else if (p->has_vp9) {
    taken = p->payload_len < MT_VP9_REWRITTEN ? p->payload_len : MT_VP9_REWRITTEN;
    memcpy(prefix + prefix_len, p->data + p->payload, taken);
    mt_vp9_rewrite(prefix + prefix_len, &p->vp9, n->picture_id, n->tl0picidx);
    prefix_len += taken;
  }
  if (header + MAX_PREFIX + p->payload_len + p->padding + MT_SRTP_MAX_OVERHEAD > MT_DATAGRAM_MAX) return 0;
  size_t rest = p->payload_len - taken;
  if (p->padding && !rtx_index) {
    out[0] |= PADDING_BIT;
    rest += p->padding;
  }
  return protect(c->transport, index, out, header, prefix_len, p->data + p->payload + taken, rest);
}

size_t mt_compose_padding(const mt_consumer *c, uint8_t *out, uint64_t rtx_index, uint32_t timestamp, const mt_stamps *v) {
  uint8_t padding[PADDING_LEN] = {[PADDING_LEN - 1] = PADDING_LEN};
  size_t header = write_header(c, out, NULL, &(mt_numbers){.timestamp = timestamp}, true, (uint16_t)rtx_index, v);
  if (!header) return 0;
  out[0] |= PADDING_BIT;
  return protect(c->transport, rtx_index, out, header, 0, padding, sizeof padding);
}
