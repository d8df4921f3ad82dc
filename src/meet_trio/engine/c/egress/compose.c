/* See compose.h. */
#include "egress/compose.h"

#include "base/bytes.h"
#include "formats/rtp.h"
#include "state/trace.h"

#include <string.h>

enum {
  PADDING_BIT = 0x20,          /* first byte of the header */
  PADDING_LEN = 255,           /* bytes, the most that a packet can have; the last one says how many */
  RTX_PREFIX = 2,              /* bytes: the original sequence number (RFC 4588 section 4) */
  MAX_PREFIX = RTX_PREFIX + 8, /* bytes: and the VP8 descriptor, or the beginning of VP9's */
};

mt_stamps mt_new_stamps(mt_consumer *c, int64_t now) {
  mt_stamps v = {.abs_send_time = mt_abs_send_time(now)};
  if (c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) v.twcc = c->transport->twcc_next++;
  return v;
}

/* As mt_srtp_protect. 0 also if the index may be used elsewhere. */
static size_t protect(const mt_transport *t, const mt_sender *s, uint64_t index, uint8_t *out, size_t header, size_t prefix,
                      const uint8_t *rest, size_t rest_len) {
  if (s->ceiling && index >= s->ceiling) return 0;
  if (t->trace) mt_trace_stage(t, false, out, header + prefix, rest, rest_len);
  size_t len = mt_srtp_protect(t->srtp, index, out, header, prefix, rest, rest_len);
  if (!len && t->trace) mt_trace_unstage(t);
  return len;
}

size_t mt_compose(const mt_consumer *c, uint8_t *out, const mt_packet *p, const mt_numbers *n, uint64_t rtx_index,
                  const mt_stamps *v) {
  uint64_t index = rtx_index ? rtx_index : n->sequence;
  size_t header = mt_header_write(c, out, p, n, rtx_index != 0, (uint16_t)index, v);
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
  return protect(c->transport, rtx_index ? c->rtx_sender : c->sender, index, out, header, prefix_len, p->data + p->payload + taken,
                 rest);
}

size_t mt_compose_padding(const mt_consumer *c, uint8_t *out, uint64_t rtx_index, uint32_t timestamp, const mt_stamps *v) {
  uint8_t padding[PADDING_LEN] = {[PADDING_LEN - 1] = PADDING_LEN};
  size_t header = mt_header_write(c, out, NULL, &(mt_numbers){.timestamp = timestamp}, true, (uint16_t)rtx_index, v);
  if (!header) return 0;
  out[0] |= PADDING_BIT;
  return protect(c->transport, c->rtx_sender, rtx_index, out, header, 0, padding, sizeof padding);
}
