/* See receive.h. */
#include "ingress/receive.h"

#include "base/bytes.h"
#include "base/sequence.h"
#include "formats/rtp.h"
#include "ingress/arrivals.h"
#include "ingress/missing.h"
#include "ingress/policing.h"
#include "ingress/rebinding.h"
#include "ingress/sources.h"
#include "ingress/stream.h"
#include "state/arriving.h"
#include "state/trace.h"

#include <string.h>

enum { RTX_PREFIX = 2 /* bytes: the original sequence number (RFC 4588 section 4) */ };

/* ---- finding the stream ---- */

static bool text_is(const mt_text *t, const uint8_t *p, size_t len) { return t->len == len && memcmp(t->text, p, len) == 0; }

static const mt_rtp_ext *extension(const mt_producer *p, const mt_rtp *h, mt_ext_kind kind) {
  uint8_t id = p->spec.ext_ids[kind];
  return id ? mt_rtp_find_ext(h, id) : NULL;
}

/* The source feeds `s` from now on. If another SSRC fed it with media, the stream begins anew. */
static void attach(mt_core *core, mt_source *source, mt_stream *s, bool rtx, int64_t now) {
  mt_source **place = rtx ? &s->rtx : &s->main;
  if (!rtx) s->stats.ssrc = source->ssrc;
  if (*place) {
    mt_source_detach(*place);
    if (!rtx) mt_stream_reset(core, s, now);
  }
  *place = source;
  mt_source_attach(source, s);
  source->rtx = rtx;
  if (rtx) s->stats.rtx_ssrc = source->ssrc;
}

static bool find_by_signaled_ssrc(mt_core *core, mt_transport *t, mt_source *source, int64_t now) {
  MT_EACH (item, &t->producers) {
    mt_producer *p = MT_OF(item, mt_producer, in_transport);
    for (unsigned i = 0; i < p->spec.encoding_count; i++) {
      const mt_encoding_spec *e = &p->spec.encodings[i];
      if (e->ssrc != source->ssrc && e->rtx_ssrc != source->ssrc) continue;
      if (source->ssrc == 0) continue; /* in a spec 0 means "not signaled" */
      attach(core, source, &p->streams[i], e->ssrc != source->ssrc, now);
      return true;
    }
  }
  return false;
}

/* The packet has the producer's MID, or no MID. Its RID or repaired RID names the encoding. If it has
 * neither, it must have the MID, and the producer a single encoding. */
static bool find_by_names(mt_core *core, mt_producer *p, mt_source *source, const mt_rtp *h, const uint8_t *data, int64_t now) {
  const mt_rtp_ext *mid = extension(p, h, MT_EXT_MID);
  if (mid && !text_is(&p->spec.mid, data + mid->offset, mid->len)) return false;
  const mt_rtp_ext *rid = extension(p, h, MT_EXT_RID), *repaired = extension(p, h, MT_EXT_REPAIRED_RID);
  const mt_rtp_ext *layer = repaired ? repaired : rid;
  bool rtx = repaired || h->payload_type == p->spec.rtx_payload_type;
  for (unsigned i = 0; layer && i < p->spec.encoding_count; i++) {
    const mt_text *name = &p->spec.encodings[i].rid;
    if (!name->len || !text_is(name, data + layer->offset, layer->len)) continue;
    attach(core, source, &p->streams[i], rtx, now);
    return true;
  }
  if (!mid || p->spec.encoding_count != 1) return false;
  if (!rtx && h->payload_type != p->spec.payload_type) return false;
  attach(core, source, &p->streams[0], rtx, now);
  return true;
}

/* A retransmission without MID and RID belongs to the stream that has no RTX SSRC yet and misses this packet. It must be the
 * only one. */
static bool find_by_missing_packet(mt_core *core, mt_transport *t, mt_source *source, const mt_rtp *h, const uint8_t *payload,
                                   size_t payload_len, int64_t now) {
  mt_stream *found = NULL;
  if (payload_len <= RTX_PREFIX) return false;
  MT_EACH (item, &t->producers) {
    mt_producer *p = MT_OF(item, mt_producer, in_transport);
    if (p->spec.rtx_payload_type != h->payload_type) continue;
    for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
      mt_stream *s = &p->streams[i];
      if (s->rtx || !s->started || !mt_missing_has(s, mt_sequence_extend(s->highest, mt_load16(payload)))) continue;
      if (found) return false;
      found = s;
    }
  }
  if (found) attach(core, source, found, true, now);
  return found != NULL;
}

/* Without MID, RID and signaled SSRC the payload type must belong to one producer only. An active stream is not taken over,
 * otherwise two SSRCs would take it from each other with every packet. */
static bool find_by_payload_type(mt_core *core, mt_transport *t, mt_source *source, const mt_rtp *h, int64_t now) {
  mt_producer *found = NULL;
  MT_EACH (item, &t->producers) {
    mt_producer *p = MT_OF(item, mt_producer, in_transport);
    const mt_encoding_spec *e = &p->spec.encodings[0];
    if (p->spec.payload_type != h->payload_type || p->spec.encoding_count != 1 || e->ssrc || e->rid.len) continue;
    if (found || extension(p, h, MT_EXT_MID)) return false;
    found = p;
  }
  if (!found || (found->streams[0].main && mt_stream_active(core, &found->streams[0], now))) return false;
  attach(core, source, &found->streams[0], false, now);
  return true;
}

static bool find_stream(mt_core *core, mt_transport *t, mt_source *source, const mt_rtp *h, const uint8_t *data, size_t payload_len,
                        int64_t now) {
  if (find_by_signaled_ssrc(core, t, source, now)) return true;
  MT_EACH (item, &t->producers)
    if (find_by_names(core, MT_OF(item, mt_producer, in_transport), source, h, data, now)) return true;
  if (t->plain && find_by_payload_type(core, t, source, h, now)) return true;
  return find_by_missing_packet(core, t, source, h, data + h->header_len, payload_len, now);
}

/* ---- packets ---- */

static void receive_rtx(mt_core *core, mt_stream *s, const mt_rtp *h, const uint8_t *data, const uint8_t *payload, size_t len,
                        int64_t now) {
  if (len > RTX_PREFIX && s->started) {
    uint64_t sequence = mt_sequence_extend(s->highest, mt_load16(payload));
    /* Most packets that browsers send through RTX are old ones, sent again to probe the bandwidth. They are not missing. */
    if (mt_missing_has(s, sequence) || mt_tail_is(s, sequence)) {
      mt_stream_receive(core, s, h, data, payload + RTX_PREFIX, len - RTX_PREFIX, sequence, true, now);
      return;
    }
  }
  core->counters.dropped_rtx_unwanted++;
}

static void restart_source(mt_core *core, mt_source *source, int64_t now) {
  source->rtp = (mt_srtp_window){0};
  if (source->stream && !source->rtx) mt_stream_reset(core, source->stream, now);
}

/* A sender of plain RTP may be restarted with its old SSRC and any sequence number. A number out of sequence is a restart if
 * the stream was silent, or if it is the second of two consecutive numbers that are too far away to be late or to follow a
 * loss (RFC 3550 appendix A.1). With SRTP there is no restart, because new keys would come first. False: the packet is not to
 * be taken. */
static bool follow_sequence(mt_core *core, mt_source *source, uint16_t sequence, int64_t now) {
  int16_t ahead = mt_sequence_ahead(source->rtp.highest, sequence);
  bool far_away = ahead <= -MT_SRTP_WINDOW_BITS || ahead >= MT_MAX_DROPOUT;
  bool silent = !source->stream || !mt_stream_active(core, source->stream, now);
  bool astray = far_away || (silent && ahead <= 0);
  bool restarted = astray && (silent || (source->astray && sequence == source->next_astray));
  source->astray = astray && !restarted;
  source->next_astray = (uint16_t)(sequence + 1);
  if (restarted) restart_source(core, source, now);
  return !source->astray;
}

void mt_rtp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len) {
  t->stats.packets_in++;
  t->stats.bytes_in += len;
  if (!t->srtp) {
    core->counters.dropped_no_keys++;
    return;
  }
  if (!mt_transport_takes(core, t, now)) return;
  mt_rtp h;
  if (!mt_rtp_parse_untrusted(data, len, &h)) {
    core->counters.dropped_rtp_malformed++;
    return;
  }
  mt_source *source = mt_source_find(t, h.ssrc);
  if (t->plain && source && !follow_sequence(core, source, h.sequence, now)) {
    core->counters.dropped_rtp_astray++;
    return;
  }
  mt_srtp_window recalled; /* on the stack, because nothing is stored for a packet that is not authentic */
  if (!source) mt_source_recall(core, t, h.ssrc, &recalled, NULL);
  size_t plain_len;
  uint64_t index;
  mt_srtp_status status =
      mt_srtp_unprotect(t->srtp, source ? &source->rtp : &recalled, data, len, h.header_len, &plain_len, &index);
  if (status != MT_SRTP_OK) {
    if (status == MT_SRTP_REPLAYED) core->counters.dropped_rtp_replayed++;
    else core->counters.dropped_rtp_unauthentic++;
    return;
  }
  if (t->trace) mt_trace_received(core, t, false, data, plain_len);
  mt_transport_charge(t, len);
  if (!source) {
    source = mt_source_add(core, t, h.ssrc);
    if (!source) return;
    source->rtp = recalled;
  }
  if (index == source->rtp.highest) t->advances++;
  mt_rebinding_note_rtp(core, source);
  if (t->twcc && t->twcc_id) {
    const mt_rtp_ext *number = mt_rtp_find_ext(&h, t->twcc_id);
    if (number && number->len == 2) mt_twcc_arrived(core, t, mt_load16(data + number->offset), h.ssrc, now);
  }
  size_t payload_len;
  if (!mt_rtp_payload_untrusted(data, plain_len, &h, &payload_len)) {
    core->counters.dropped_rtp_malformed++;
    return;
  }
  if (!source->stream && !find_stream(core, t, source, &h, data, payload_len, now)) {
    core->counters.dropped_rtp_unknown_stream++;
    return;
  }
  const uint8_t *payload = data + h.header_len;
  if (source->rtx) receive_rtx(core, source->stream, &h, data, payload, payload_len, now);
  else mt_stream_receive(core, source->stream, &h, data, payload, payload_len, index, false, now);
}
