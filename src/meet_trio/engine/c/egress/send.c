/* See send.h. */
#include "egress/send.h"

#include "base/bytes.h"
#include "base/sequence.h"
#include "formats/rtp.h"
#include "paths/outlet.h"

#include <string.h>

enum {
  RESEND_BURST = 256 * 1024,              /* bytes for each consumer: more than a large key frame */
  RESEND_BURST_OF_ALL = 4 * RESEND_BURST, /* bytes for all consumers of a transport */
  RESEND_LEAST_US = 20 * MT_MS,           /* least time between two retransmissions of one packet */
  RTX_PREFIX = 2,                         /* bytes: the original sequence number (RFC 4588 section 4) */
  MAX_PREFIX = RTX_PREFIX + 8,            /* bytes: and the VP8 descriptor */
  WRITTEN_EXTS = 3,                       /* header extensions that write_header adds: MID, abs-send-time, transport-cc */
  SEND_TIME_BITS = 18,                    /* abs-send-time: fraction bits of a second; 24 bits in all, which wrap after 64 s */
  SEND_TIME_MASK = 0xffffff,
};

/* The values of header extensions that change with each packet sent. */
typedef struct {
  uint32_t abs_send_time; /* 24 bits, 1/2^18 s */
  uint16_t twcc;          /* transport-wide sequence number */
} ext_values;

static ext_values new_ext_values(mt_consumer *c, int64_t now) {
  ext_values v = {.abs_send_time = (uint32_t)(((uint64_t)now << SEND_TIME_BITS) / MT_SECOND) & SEND_TIME_MASK};
  if (c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) v.twcc = c->transport->twcc_next++;
  return v;
}

static size_t write_header(const mt_consumer *c, uint8_t *out, const mt_packet *p, bool rtx, uint16_t sequence, uint32_t timestamp,
                           const ext_values *v) {
  const mt_consumer_spec *spec = &c->spec;
  mt_rtp_ext_out ext[MT_EXT_COUNT + WRITTEN_EXTS];
  uint8_t abs_send_time[3], twcc[2];
  size_t n = 0;
  mt_store24(abs_send_time, v->abs_send_time);
  mt_store16(twcc, v->twcc);
  if (spec->mid.len) ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_MID], spec->mid.len, (const uint8_t *)spec->mid.text};
  ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_ABS_SEND_TIME], sizeof abs_send_time, abs_send_time};
  ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_TRANSPORT_CC], sizeof twcc, twcc};
  for (unsigned i = 0; i < p->ext_count; i++)
    ext[n++] = (mt_rtp_ext_out){spec->ext_ids[p->ext[i].kind], p->ext[i].len, p->data + p->ext[i].offset};
  return mt_rtp_write_header(out, MT_RTP_MAX_HEADER, rtx ? (uint8_t)spec->rtx_payload_type : spec->payload_type, p->marker,
                             sequence, timestamp, rtx ? spec->rtx_ssrc : spec->ssrc, ext, n, NULL);
}

/* Writes the datagram to `out` and returns its length in bytes; 0: it cannot be written. `rtx_index` is the SRTP index of a
 * retransmission through RTX, 0 for the packet itself. */
static size_t compose(mt_consumer *c, uint8_t *out, const mt_packet *p, const mt_numbers *n, uint64_t rtx_index,
                      const ext_values *v) {
  uint64_t index = rtx_index ? rtx_index : n->sequence;
  size_t header = write_header(c, out, p, rtx_index != 0, (uint16_t)index, n->timestamp, v);
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
  }
  if (header + MAX_PREFIX + p->payload_len + MT_SRTP_MAX_OVERHEAD > MT_DATAGRAM_MAX) return 0;
  return mt_srtp_protect(c->transport->srtp, index, out, header, prefix_len, p->data + p->payload + taken, p->payload_len - taken);
}

static void earn_resends(mt_consumer *c, size_t len) {
  mt_transport *t = c->transport;
  c->resend_bytes += (int32_t)len;
  if (c->resend_bytes > RESEND_BURST) c->resend_bytes = RESEND_BURST;
  t->resend_bytes += (int32_t)len;
  if (t->resend_bytes > RESEND_BURST_OF_ALL) t->resend_bytes = RESEND_BURST_OF_ALL;
}

void mt_consumer_send(mt_core *core, mt_consumer *c, const mt_epoch *e, const mt_packet *p, const mt_numbers *n, int64_t now) {
  ext_values v = new_ext_values(c, now);
  size_t len = compose(c, mt_reserve(core), p, n, 0, &v);
  if (!len) return;
  mt_send(core, c->transport, len);
  core->counters.rtp_forwarded++;
  c->packets++;
  c->octets += p->payload_len;
  if (!c->sent) return;
  earn_resends(c, len);
  c->sent[n->sequence % MT_SENT_SLOTS] = (mt_sent){
      .sequence = n->sequence,
      .stream_sequence = p->sequence,
      .timestamp = n->timestamp,
      .abs_send_time = v.abs_send_time,
      .picture_id = n->picture_id,
      .twcc = v.twcc,
      .tl0picidx = n->tl0picidx,
      .stream = e->stream,
      .generation = c->producer->streams[e->stream].generation,
  };
}

/* ---- retransmissions ---- */

static bool asked_too_soon(const mt_consumer *c, const mt_sent *sent, int64_t now) {
  int64_t least = c->stats.rtt_us > RESEND_LEAST_US ? c->stats.rtt_us : RESEND_LEAST_US;
  return sent->resent && now - sent->resent < least;
}

static const mt_packet *find_packet(const mt_consumer *c, const mt_sent *sent) {
  if (!c->producer) return NULL;
  const mt_stream *s = &c->producer->streams[sent->stream];
  return s->generation == sent->generation ? mt_history_find(&s->history, sent->stream_sequence) : NULL;
}

void mt_consumer_resend(mt_core *core, mt_consumer *c, uint16_t sequence, int64_t now) {
  if (!c->sent || !c->transport->srtp || !c->transport->selected) return;
  uint64_t wanted = mt_sequence_extend(c->highest, sequence);
  mt_sent *sent = &c->sent[wanted % MT_SENT_SLOTS];
  const mt_packet *p = wanted <= c->highest && sent->sequence == wanted ? find_packet(c, sent) : NULL;
  if (!p) {
    core->counters.retransmissions_missed++;
    return;
  }
  if (asked_too_soon(c, sent, now)) return;
  if (c->resend_bytes <= 0 || c->transport->resend_bytes <= 0) {
    core->counters.retransmissions_refused++;
    return;
  }
  sent->resent = now;
  mt_numbers n = {sent->sequence, sent->timestamp, sent->picture_id, sent->tl0picidx};
  ext_values v = {sent->abs_send_time, sent->twcc};
  uint64_t rtx_index = 0;
  if (c->rtx_sender) {
    rtx_index = c->rtx_sender->next++;
    v = new_ext_values(c, now);
  }
  size_t len = compose(c, mt_reserve(core), p, &n, rtx_index, &v);
  if (!len) return;
  mt_send(core, c->transport, len);
  c->resend_bytes -= (int32_t)len;
  c->transport->resend_bytes -= (int32_t)len;
  core->counters.retransmissions++;
  c->stats.retransmissions++;
}
