/* Consumers: one rewritten stream for a viewer, made of whichever encoding is right for it.
 *
 * A consumer begins, and changes its encoding, with a key frame. `target` is the highest encoding that arrives, up to the preferred
 * one; while it differs from `current`, key frames of it are asked for. Sequence numbers, timestamps and VP8 picture ids go on steadily over pauses and changes: an offset for each
 * is set anew at every start. Timestamps of two encodings are compared by their sender reports (RFC 3550 §6.4.1), by their arrival as long as there are none.
 *
 * Nothing of a packet depends on when it is sent, so a packet that is sent twice is the same to the last bit: under AES-GCM one index must never protect
 * two different packets (RFC 7714 §8.1).
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "rtcp.h"

void mt_consumer_add(mt_transport *t, uint32_t id, mt_producer *p, const mt_consumer_spec *spec) {
  mt_core *core = t->core;
  mt_consumer *c = calloc(1, sizeof *c);
  if (c == NULL) goto no_memory;
  c->sent = calloc(MT_SENT_RING, sizeof *c->sent);
  if (c->sent == NULL || mt_map_get(&core->consumers, core->seed, id) != NULL || !mt_map_put(&core->consumers, core->seed, id, c)) goto no_memory;
  c->id = id;
  c->transport = t;
  c->producer = p;
  c->spec = *spec;
  c->paused = spec->paused;
  c->preferred = MT_MAX_ENCODINGS - 1;
  c->current = c->target = c->told = -1;
  /* below 2^15, so that libsrtp's first guess of the roll-over counter is right (RFC 3711 §3.3.1) */
  c->next_out = 1 + (mt_core_random(core) & 0x3fff);
  c->rtx_next = 1 + (mt_core_random(core) & 0x3fff);
  c->timestamp_offset = (uint32_t)mt_core_random(core);
  c->next = t->consumers;
  t->consumers = c;
  c->next_of_producer = p->consumers;
  p->consumers = c;
  mt_consumer_choose(c);
  return;
no_memory:
  if (c != NULL) free(c->sent);
  free(c);
  core->drops.no_memory++;
}

void mt_consumer_lost_producer(mt_consumer *c) {
  for (mt_consumer **at = &c->producer->consumers; *at != NULL; at = &(*at)->next_of_producer)
    if (*at == c) {
      *at = c->next_of_producer;
      break;
    }
  c->producer = NULL;
  c->current = c->target = -1;
  c->synced = false;
}

void mt_consumer_lost_stream(mt_consumer *c, unsigned encoding) {
  if (c->current == (int)encoding) {
    c->current = -1;
    c->synced = false;
  }
}

void mt_consumer_remove(mt_consumer *c) {
  mt_core *core = c->transport->core;
  if (c->producer != NULL) mt_consumer_lost_producer(c);
  for (mt_consumer **at = &c->transport->consumers; *at != NULL; at = &(*at)->next)
    if (*at == c) {
      *at = c->next;
      break;
    }
  mt_map_remove(&core->consumers, core->seed, c->id);
  free(c->sent);
  free(c);
}

/* The highest encoding that arrives, up to the preferred one; nothing arrives: the lowest that has ever come. */
void mt_consumer_choose(mt_consumer *c) {
  mt_producer *p = c->producer;
  if (p == NULL || c->paused) return;
  int best = -1, any = -1;
  for (unsigned i = 0; i < p->spec.encoding_count && i <= c->preferred; i++) {
    mt_stream *s = p->encodings[i].stream;
    if (s == NULL || !s->started) continue;
    if (any < 0) any = (int)i;
    if (mt_stream_is_live(s)) best = (int)i;
  }
  if (best < 0) best = any;
  c->target = best;
  if (p->spec.audio) return;
  if (best < 0) {
    if (c->current < 0) p->keyframe_wanted = true; /* as soon as something comes */
  } else if (best != c->current || !c->synced) {
    mt_want_keyframe(p, (unsigned)best);
  }
}

void mt_consumer_pause(mt_consumer *c, bool paused) {
  if (paused == c->paused) return;
  c->paused = paused;
  /* what the viewer has is stale after a pause: begin again with a key frame */
  c->synced = false;
  c->current = -1;
  if (!paused) mt_consumer_choose(c);
}

static void tell_layer(mt_consumer *c) {
  int now_sending = c->current;
  if (c->transport->core->now - c->last_sent > 3 * MT_SECOND / 2) now_sending = -1;
  if (now_sending == c->told) return;
  if (mt_core_event(c->transport->core, MT_EVENT_LAYER, c->id, now_sending < 0 ? UINT32_MAX : (uint32_t)now_sending, 0)) c->told = now_sending;
}

/* ---- starting with an encoding */

/* Timestamp `ts` of `s` in the clock of the stream that was forwarded before, by both streams' sender reports. */
static bool timestamp_by_reports(const mt_stream *s, uint32_t ts, const mt_stream *before, uint32_t *out) {
  if (before == NULL || !s->has_sr || !before->has_sr) return false;
  int64_t apart = (int64_t)(s->sr_ntp - before->sr_ntp); /* 32.32 seconds */
  if (apart > 60LL << 32 || apart < -(60LL << 32)) return false;
  int64_t ticks = (apart >> 16) * (int64_t)s->producer->spec.clock_rate >> 16;
  *out = before->sr_timestamp + (uint32_t)ticks + (ts - s->sr_timestamp);
  return true;
}

static void start_with(mt_consumer *c, mt_stream *s, const mt_packet *packet, const mt_stream *before) {
  uint64_t in = packet->index - 1;
  int64_t now = c->transport->core->now;
  uint32_t clock = s->producer->spec.clock_rate, out;
  c->first_in = c->highest_in = in;
  c->offset = (int64_t)(in - c->next_out);
  if (c->packets == 0) {
    out = packet->timestamp - c->timestamp_offset; /* a random start (RFC 3550 §5.1) */
  } else {
    uint32_t in_old_clock;
    uint32_t elapsed = (uint32_t)((now - c->last_sent) * (int64_t)clock / MT_SECOND);
    if (before == s) /* the same clock, after a pause */
      out = packet->timestamp - c->timestamp_offset;
    else if (timestamp_by_reports(s, packet->timestamp, before, &in_old_clock))
      out = in_old_clock - c->timestamp_offset;
    else
      out = c->last_timestamp + elapsed;
    int32_t step = (int32_t)(out - c->last_timestamp);
    /* never back, and never further than the time that has passed allows */
    if (step <= 0) out = c->last_timestamp + clock / 100;
    if (step > (int32_t)(elapsed + 5 * clock)) out = c->last_timestamp + elapsed;
  }
  c->timestamp_offset = packet->timestamp - out;
  if (s->producer->spec.codec == MT_CODEC_VP8) {
    c->picture_offset = (uint16_t)(packet->vp8.picture_id - (c->last_picture + 1));
    c->tl0_offset = (uint8_t)(packet->vp8.tl0picidx - (c->last_tl0 + 1));
  }
  c->current = (int)s->encoding;
  c->last_encoding = s->encoding;
  c->synced = true;
}

/* ---- one packet out */

static size_t put_extensions(const mt_consumer *c, const mt_packet *packet, mt_rtp_ext_out *out) {
  static const mt_ext forwarded[] = {MT_EXT_AUDIO_LEVEL, MT_EXT_VIDEO_ORIENTATION, MT_EXT_PLAYOUT_DELAY, MT_EXT_ABS_CAPTURE_TIME};
  size_t n = 0;
  if (c->spec.ext_ids[MT_EXT_MID] != 0 && c->spec.mid[0] != 0)
    out[n++] = (mt_rtp_ext_out){c->spec.ext_ids[MT_EXT_MID], (uint8_t)strlen(c->spec.mid), (const uint8_t *)c->spec.mid};
  for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++) {
    uint8_t id = c->spec.ext_ids[forwarded[i]], in = c->producer->spec.ext_ids[forwarded[i]];
    const mt_rtp_ext *e = id != 0 && in != 0 ? mt_rtp_find_ext(&packet->header, in) : NULL;
    if (e != NULL) out[n++] = (mt_rtp_ext_out){id, e->len, packet->bytes + e->offset};
  }
  return n;
}

/* Write `packet` as `sent` says, as RTX when `rtx`. The sink's buffer is filled; returns the length to send. */
static size_t write_packet(mt_consumer *c, const mt_packet *packet, const mt_sent *sent, bool rtx) {
  uint8_t *out = c->transport->core->sink.buffer(c->transport->core->sink.ctx);
  mt_rtp_ext_out extensions[MT_EXT_COUNT];
  size_t count = put_extensions(c, packet, extensions);
  uint64_t index = rtx ? c->rtx_next++ : sent->out - 1;
  size_t header = mt_rtp_write_header(out, MT_MAX_DATAGRAM, rtx ? c->spec.rtx_payload_type : c->spec.payload_type, packet->marker, (uint16_t)index,
                                      sent->timestamp, rtx ? c->spec.rtx_ssrc : c->spec.ssrc, extensions, count, NULL);
  if (header == 0) return 0;
  size_t prefix = 0;
  const uint8_t *payload = packet->bytes + packet->payload_offset;
  size_t taken = 0;
  if (rtx) {
    mt_store16(out + header, (uint16_t)(sent->out - 1));
    prefix = 2;
  }
  if (c->producer->spec.codec == MT_CODEC_VP8) {
    taken = packet->vp8.descriptor_len;
    memcpy(out + header + prefix, payload, taken);
    mt_vp8_rewrite(out + header + prefix, &packet->vp8, sent->picture_id, sent->tl0);
    prefix += taken;
  }
  if (header + prefix + packet->payload_len - taken + MT_SRTP_MAX_OVERHEAD > MT_MAX_DATAGRAM) return 0;
  return mt_srtp_protect(c->transport->srtp, index, out, header, prefix, payload + taken, packet->payload_len - taken);
}

static void send_packet(mt_consumer *c, mt_stream *s, const mt_packet *packet) {
  uint64_t in = packet->index - 1;
  if (in < c->first_in) return; /* of before the start */
  uint64_t out = (uint64_t)((int64_t)in - c->offset);
  bool newest = in >= c->highest_in;
  if (packet->payload_len == 0) { /* padding only: leave no gap where it was */
    if (newest) {
      if (in > c->highest_in || out == c->next_out) c->offset++;
      c->highest_in = in;
    }
    return;
  }
  mt_sent *sent = &c->sent[out % MT_SENT_RING];
  if (sent->out == out + 1 || sent->out > out + 1) return; /* was sent, or is too old */
  *sent = (mt_sent){
      .out = out + 1,
      .in = packet->index,
      .timestamp = packet->timestamp - c->timestamp_offset,
      .picture_id = (uint16_t)((packet->vp8.picture_id - c->picture_offset) & 0x7fff),
      .encoding = (uint8_t)s->encoding,
      .tl0 = (uint8_t)(packet->vp8.tl0picidx - c->tl0_offset),
  };
  size_t n = write_packet(c, packet, sent, false);
  if (n == 0) return;
  mt_transport_send(c->transport, n);
  c->packets++;
  c->bytes += n;
  c->rate_bytes += n;
  if (newest) {
    c->highest_in = in;
    c->next_out = out + 1;
    c->last_timestamp = sent->timestamp;
    c->last_sent = c->transport->core->now;
    c->last_picture = sent->picture_id;
    c->last_tl0 = sent->tl0;
  }
}

void mt_forward(mt_producer *p, mt_stream *s, const mt_packet *packet) {
  for (mt_consumer *c = p->consumers; c != NULL; c = c->next_of_producer) {
    if (c->paused || c->transport->srtp == NULL || c->transport->selected == NULL) continue;
    int encoding = (int)s->encoding;
    if (!c->synced || c->current != encoding) {
      bool fresh = packet->index - 1 == s->highest;
      /* The first start takes any key frame that is allowed, the way up comes later. */
      bool wanted = encoding == c->target || (c->current < 0 && s->encoding <= c->preferred);
      if (!packet->keyframe || !fresh || !wanted || packet->payload_len == 0) continue;
      mt_stream *before = c->packets == 0 ? NULL : p->encodings[c->last_encoding].stream;
      start_with(c, s, packet, before);
      tell_layer(c);
      if (c->target != c->current) mt_consumer_choose(c);
    }
    send_packet(c, s, packet);
  }
}

/* ---- sent again */

static void resend(mt_consumer *c, uint16_t sequence) {
  mt_core *core = c->transport->core;
  uint64_t newest = c->next_out - 1;
  int16_t back = (int16_t)(sequence - (uint16_t)newest);
  if (back > 0) return;
  uint64_t out = newest + (uint64_t)(int64_t)back;
  mt_sent *sent = &c->sent[out % MT_SENT_RING];
  if (sent->out != out + 1) return;
  /* an answer that is still under way must not be sent for each repetition of the question */
  int64_t wait = c->rtt_us > 0 && c->rtt_us < 100000 ? c->rtt_us : 20000;
  if (sent->resent != 0 && core->now - sent->resent < wait) return;
  mt_stream *s = c->producer->encodings[sent->encoding].stream;
  if (s == NULL) return;
  const mt_packet *packet = &s->history[(sent->in - 1) & s->history_mask];
  if (packet->index != sent->in) return; /* out of the history */
  bool rtx = c->spec.rtx_ssrc != 0 && c->spec.rtx_payload_type != 0;
  size_t n = write_packet(c, packet, sent, rtx);
  if (n == 0) return;
  sent->resent = core->now;
  c->retransmitted++;
  c->rate_bytes += n;
  mt_transport_send(c->transport, n);
}

void mt_consumer_nack(mt_consumer *c, uint16_t pid, uint16_t blp) {
  if (!c->spec.nack || c->producer == NULL || c->transport->srtp == NULL || c->transport->selected == NULL) return;
  c->nacks++;
  resend(c, pid);
  for (unsigned i = 0; i < 16; i++)
    if (blp >> i & 1) resend(c, (uint16_t)(pid + i + 1));
}

/* ---- sender reports */

/* The publisher's clock, carried over: the viewer synchronises sound and picture of one publisher by it. */
static void send_report(mt_consumer *c) {
  mt_core *core = c->transport->core;
  if (c->producer == NULL || c->current < 0 || c->packets == 0) return;
  mt_stream *s = c->producer->encodings[c->current].stream;
  if (s == NULL) return;
  uint64_t ntp = core->ntp;
  uint32_t timestamp;
  if (s->has_sr) {
    int64_t since = core->now - s->sr_arrived;
    ntp = s->sr_ntp + (uint64_t)((since << 16) / MT_SECOND << 16);
    timestamp = s->sr_timestamp + (uint32_t)(since * (int64_t)s->producer->spec.clock_rate / MT_SECOND);
  } else {
    int64_t since = core->now - s->last_arrival;
    timestamp = s->last_timestamp + (uint32_t)(since * (int64_t)s->producer->spec.clock_rate / MT_SECOND);
  }
  mt_rtcp_sender_info info = {.ssrc = c->spec.ssrc,
                              .ntp = ntp,
                              .rtp_timestamp = timestamp - c->timestamp_offset,
                              .packets = (uint32_t)c->packets,
                              .octets = (uint32_t)c->bytes};
  uint8_t rtcp[256];
  size_t n = mt_rtcp_write_sr(rtcp, sizeof rtcp, &info, NULL, 0);
  n += mt_rtcp_write_sdes_cname(rtcp + n, sizeof rtcp - n, c->spec.ssrc, c->spec.cname, strlen(c->spec.cname));
  mt_transport_send_rtcp(c->transport, rtcp, n);
}

void mt_consumer_tick(mt_consumer *c) {
  int64_t now = c->transport->core->now;
  tell_layer(c);
  mt_consumer_choose(c);
  if (now - c->sr_sent >= MT_SECOND) {
    c->bitrate = (uint32_t)(c->rate_bytes * 8);
    c->rate_bytes = 0;
    c->sr_sent = now;
    if (!c->paused && now - c->last_sent < MT_SECOND) send_report(c);
  }
}
