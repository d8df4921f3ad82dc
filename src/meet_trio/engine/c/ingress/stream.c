/* See stream.h. */
#include "ingress/stream.h"

#include "egress/epoch.h"
#include "egress/fanout.h"
#include "egress/relay.h"
#include "ingress/level.h"
#include "ingress/missing.h"
#include "ingress/sources.h"
#include "state/arriving.h"
#include "state/listening.h"
#include "state/marks.h"

#include <string.h>

enum {
  AUDIO_HISTORY = 128, /* packets; a power of two */
  JITTER_SHARE = 16,   /* a new difference counts a sixteenth in the jitter (RFC 3550 appendix A.8) */
  LOSS_UNITS = 256,    /* fraction_lost is in 1/256 (RFC 3550 section 6.4.1) */
  MAX_LOST = 0x7fffff, /* packets: bounds of total_lost, a signed number of 24 bits */
  MIN_LOST = -0x800000,
  DELAY_SECOND = 65536,  /* units of "delay since last SR" in a second */
  NTP_MIDDLE_SHIFT = 16, /* "last SR" is the middle 32 bits of an NTP timestamp */
};

bool mt_stream_init(mt_core *core, mt_stream *s, mt_producer *p, uint8_t index) {
  s->producer = p;
  s->index = index;
  s->shown = UINT64_MAX;
  mt_list_init(&s->nacking);
  mt_list_init(&s->wanting);
  mt_list_init(&s->tailing);
  s->stats.rid = p->spec.encodings[index].rid;
  if (!p->mirror) s->missing = mt_pool_get(&core->missing); /* a mirror sends no NACKs */
  return mt_history_init(&s->history, p->spec.video ? core->settings.history_packets : AUDIO_HISTORY) && (p->mirror || s->missing);
}

/* RFC 3550 appendix A.3. Negative if packets came twice. */
static int64_t lost_so_far(const mt_stream *s) {
  if (!s->started) return 0;
  int64_t lost = (int64_t)(s->highest - s->base + 1) - (int64_t)s->received;
  return lost > MAX_LOST ? MAX_LOST : lost < MIN_LOST ? MIN_LOST : lost;
}

/* A packet that comes late makes the number fall, and the next loss makes it rise to what has been counted already. */
static void count_lost(mt_core *core, mt_stream *s) {
  int64_t lost = s->producer->mirror ? 0 : lost_so_far(s);
  if (lost <= s->lost_counted) return;
  core->counters.rtp_lost_in += (uint64_t)(lost - s->lost_counted);
  s->lost_counted = lost;
}

void mt_stream_free(mt_core *core, mt_stream *s) {
  if (!s->producer) return; /* mt_stream_init was not called */
  count_lost(core, s);
  if (s->main) mt_source_detach(s->main);
  if (s->rtx) mt_source_detach(s->rtx);
  mt_list_remove(&s->nacking);
  mt_list_remove(&s->wanting);
  mt_list_remove(&s->tailing);
  mt_history_free(&s->history, &core->packets);
  mt_pool_put(&core->missing, s->missing);
}

/* Long gaps are not forwarded: a receiver that gets a sequence number from far ahead loses count of the roll-overs. */
void mt_stream_cut(mt_stream *s) {
  MT_EACH (item, &s->producer->consumers) mt_consumer_cut(MT_OF(item, mt_consumer, in_producer), s, false);
}

void mt_stream_reset(mt_core *core, mt_stream *s, int64_t now) {
  mt_producer_settle(core, s->producer, now);
  count_lost(core, s);
  mt_change_begins(&s->changing);
  s->lost_counted = 0;
  s->generation++;
  MT_EACH (item, &s->producer->consumers) mt_consumer_cut(MT_OF(item, mt_consumer, in_producer), s, true);
  s->started = s->has_sr = s->has_transit = s->has_keyframe = false;
  s->has_picture = false;
  s->structure.template_count = 0;
  s->jitter = 0;
  s->loss = (mt_loss_level){0};
  s->reorder_us = 0;
  s->tail_asked = 0;
  mt_list_remove(&s->tailing);
  s->last_arrival = 0;
  s->base = s->highest = 0;
  s->received = s->reported_expected = s->reported_received = 0;
  mt_missing_clear(s);
  mt_history_clear(&s->history, &core->packets);
  mt_change_ends(&s->changing);
  if (mt_stream_listened(s)) mt_want_keyframe(core, s, now);
  mt_relay_state(core, s, now);
}

/* RFC 3550 section 6.4.1 and appendix A.8 */
static void measure_jitter(mt_stream *s, uint32_t timestamp, int64_t now) {
  /* The clock wraps as the timestamp does. Only differences of transit times are used. */
  int64_t transit = (int64_t)(uint32_t)((uint64_t)now * s->producer->spec.clock_rate / MT_SECOND) - (int64_t)timestamp;
  if (s->has_transit) {
    int32_t d = (int32_t)(uint32_t)(uint64_t)(transit - s->transit);
    s->jitter += ((d < 0 ? -(double)d : (double)d) - s->jitter) / JITTER_SHARE;
  }
  s->transit = transit;
  s->has_transit = true;
}

/* ---- frames ---- */

/* The packet is of the newest picture. True: no packet of that picture before this one has come. */
static bool opens_picture(mt_stream *s, const mt_packet *p) {
  bool same = s->has_picture && p->timestamp == s->picture_timestamp;
  if (s->has_picture && (same ? p->sequence > s->picture_first : p->sequence < s->picture_first)) return false;
  s->has_picture = true;
  s->picture_first = p->sequence;
  s->picture_timestamp = p->timestamp;
  return true;
}

static void read_vp8(mt_packet *p, const uint8_t *payload) {
  p->has_vp8 = mt_vp8_parse_untrusted(payload, p->payload_len, &p->vp8);
  if (!p->has_vp8) return;
  p->keyframe = p->vp8.keyframe;
  p->layering = mt_layering_of_vp8(&p->vp8, p->marker);
}

static void read_vp9(mt_stream *s, mt_packet *p, const uint8_t *payload) {
  p->has_vp9 = mt_vp9_parse_untrusted(payload, p->payload_len, &p->vp9);
  if (!p->has_vp9) return;
  p->keyframe = p->vp9.keyframe;
  p->layering = mt_layering_of_vp9(&p->vp9, p->marker, opens_picture(s, p));
  if (p->vp9.width) {
    s->stats.width = p->vp9.width;
    s->stats.height = p->vp9.height;
  }
}

static void keep_structure(mt_stream *s, const mt_packet *p, const mt_dd_structure *brought) {
  if (s->structure.template_count && p->sequence < s->structure_sequence) return;
  s->structure = *brought;
  s->structure_sequence = p->sequence;
  if (!brought->width) return;
  s->stats.width = brought->width;
  s->stats.height = brought->height;
}

/* Without a Dependency Descriptor that can be read only key frames are known. */
static void read_av1(mt_stream *s, mt_packet *p, const uint8_t *payload) {
  p->keyframe = mt_av1_is_keyframe_untrusted(payload, p->payload_len);
  bool opens = opens_picture(s, p);
  for (unsigned i = 0; i < p->ext_count; i++) {
    const mt_packet_ext *e = &p->ext[i];
    mt_dd_structure brought;
    mt_dd d;
    if (e->kind != MT_EXT_DEPENDENCY_DESCRIPTOR) continue;
    if (!mt_dd_parse_untrusted(p->data + e->offset, e->len, &s->structure, &d, &brought)) return;
    p->has_dd = true;
    p->dd_frame = d.frame;
    bool newest = p->timestamp == s->picture_timestamp;
    if (opens) s->picture_frame = d.frame;
    if (d.known) {
      uint16_t before = newest ? (uint16_t)(d.frame - s->picture_frame) : 0;
      p->keyframe = d.has_structure && d.begins && d.reach == 0;
      p->layering = mt_layering_of_dd(&d, d.has_structure ? &brought : &s->structure, p->marker, before);
    }
    if (d.has_structure) keep_structure(s, p, &brought);
    return;
  }
}

/* Key frame, layers and numbers of the frame that the packet is part of. */
static void read_frame(mt_stream *s, mt_packet *p) {
  const uint8_t *payload = p->data + p->payload;
  switch (s->producer->spec.codec) {
  case MT_CODEC_VP8: read_vp8(p, payload); break;
  case MT_CODEC_VP9: read_vp9(s, p, payload); break;
  case MT_CODEC_AV1: read_av1(s, p, payload); break;
  case MT_CODEC_H264: p->keyframe = mt_h264_is_keyframe_untrusted(payload, p->payload_len); break;
  case MT_CODEC_OTHER: break;
  }
}

/* Copies the values of the header extensions that consumers may get, then the payload, one after the other. False: no room for
 * them. */
static bool copy_data(mt_packet *p, const mt_producer *producer, const mt_rtp *h, const uint8_t *from, const uint8_t *payload,
                      size_t payload_len) {
  size_t at = 0;
  p->ext_count = 0;
  for (unsigned i = 0; i < h->ext_count; i++) {
    const mt_rtp_ext *e = &h->ext[i];
    uint8_t kind = producer->ext_kind[e->id];
    /* The kinds below MT_EXT_AUDIO_LEVEL are written by the engine itself, or are meant for it alone. */
    if (kind == 0 || kind - 1 < MT_EXT_AUDIO_LEVEL || p->ext_count == MT_EXT_COUNT) continue;
    if (at + e->len > MT_PACKET_DATA) return false;
    p->ext[p->ext_count++] = (mt_packet_ext){(uint8_t)(kind - 1), e->len, (uint16_t)at};
    memcpy(p->data + at, from + e->offset, e->len);
    at += e->len;
  }
  if (at + payload_len > MT_PACKET_DATA) return false;
  p->payload = (uint16_t)at;
  p->payload_len = (uint16_t)payload_len;
  memcpy(p->data + at, payload, payload_len);
  return true;
}

static mt_packet *make_packet(mt_core *core, mt_stream *s, const mt_rtp *h, const uint8_t *from, const uint8_t *payload,
                              size_t payload_len, uint64_t sequence, int64_t now) {
  mt_packet *p = mt_pool_get(&core->packets);
  if (!p) {
    core->counters.dropped_no_memory++;
    return NULL;
  }
  p->sequence = sequence;
  p->arrived = now;
  p->timestamp = h->timestamp;
  p->marker = h->marker;
  p->padding = 0;
  p->keyframe = p->has_vp8 = p->has_vp9 = p->has_dd = false;
  p->layering = mt_layering_unknown();
  if (!copy_data(p, s->producer, h, from, payload, payload_len)) {
    core->counters.dropped_rtp_too_large++;
    mt_pool_put(&core->packets, p);
    return NULL;
  }
  return p;
}

static void begin(mt_core *core, mt_stream *s, uint64_t sequence, int64_t now) {
  s->started = true;
  s->base = sequence;
  s->highest = sequence;
  mt_change(core, &s->producer->changes, (uint32_t)MT_CHANGED_STARTED << s->index);
  mt_relay_state(core, s, now);
}

/* Moves `highest` and the list of missing packets. False: the packet is a duplicate, and is not to be taken. */
static bool take_sequence(mt_core *core, mt_stream *s, uint64_t sequence, bool recovered, int64_t now) {
  if (!s->started) {
    begin(core, s, sequence, now);
    return true;
  }
  if (sequence <= s->highest) return mt_missing_take(s, sequence, recovered, now);
  uint64_t first = s->highest + 1;
  s->highest = sequence;
  if (sequence - first >= MT_MAX_DROPOUT) mt_stream_cut(s);
  if (!mt_missing_add(core, s, first, sequence, now)) { /* too many for loss: the sender began anew */
    mt_missing_clear(s);
    if (s->producer->spec.video) mt_want_keyframe(core, s, now);
  }
  mt_missing_overtaken(core, s, now);
  return true;
}

static void note_keyframe(mt_stream *s, const mt_packet *p) {
  s->stats.keyframes++;
  /* H.264: several packets of a key frame may look like its first. */
  bool same = s->has_keyframe && p->timestamp == s->keyframe_timestamp;
  if (same ? p->sequence < s->keyframe_first : !s->has_keyframe || p->sequence > s->keyframe_first) {
    s->has_keyframe = true;
    s->keyframe_first = p->sequence;
    s->keyframe_timestamp = p->timestamp;
  }
  mt_keyframe_came(s);
  if (p->has_vp8 && p->vp8.width) {
    s->stats.width = p->vp8.width;
    s->stats.height = p->vp8.height;
  }
}

/* The stream arrives again. Layers are chosen before the packet is forwarded, so that consumers can switch with it. */
static void arrives_again(mt_core *core, mt_stream *s, int64_t now) {
  if (s->keyframe_wanted) mt_due(core, now);
  mt_producer_choose_layers(core, s->producer, false, now);
}

/* The packet is the one after the newest, so it may wait for others. Else those that wait are forwarded before anything changes. */
static bool follows(mt_core *core, mt_stream *s, uint64_t sequence, int64_t now) {
  if (sequence == s->highest + 1) return true;
  mt_producer_settle(core, s->producer, now);
  return false;
}

/* The packet enters the history and is forwarded. Other engines get it first, because they can work on it at the same time. */
static void keep_and_forward(mt_core *core, mt_stream *s, mt_packet *p, bool was_arriving, bool arrived, bool following,
                             int64_t now) {
  bool alone = !following || !was_arriving || p->keyframe; /* a key frame's first packet begins much */
  int64_t horizon = now - (int64_t)core->settings.history_ms * MT_MS;
  if (alone || mt_producer_gathered(s->producer) < horizon) mt_producer_settle(core, s->producer, now);
  if (!was_arriving) arrives_again(core, s, now);
  if (p->keyframe) note_keyframe(s, p);             /* after the choice of layers, which may want a key frame */
  if (s->producer->paused) s->has_keyframe = false; /* viewers do not get what comes during a pause by catching up later */
  if (!mt_history_add(&s->history, &core->packets, p, horizon)) return;
  mt_relay_packet(core, s, p, arrived);
  mt_producer_forward(core, s, p, alone, now);
}

/* Key frames do not count: they are rare, and one of them makes a second look many times as expensive as the next. */
static void count_layers(mt_stream *s, const mt_packet *p) {
  if (p->keyframe || (s->has_keyframe && p->timestamp == s->keyframe_timestamp)) return;
  const mt_layering *l = &p->layering;
  bool alone = l->known && !mt_layering_is_for(l, MT_MAX_SPATIAL - 1, MT_MAX_TEMPORAL - 1);
  mt_layer_rates_count(&s->layers, l->spatial, l->temporal, alone, p->payload_len + (size_t)MT_PACKET_OVERHEAD);
}

void mt_stream_receive(mt_core *core, mt_stream *s, const mt_rtp *h, const uint8_t *from, const uint8_t *payload,
                       size_t payload_len, uint64_t sequence, bool recovered, int64_t now) {
  mt_producer *producer = s->producer;
  bool following = follows(core, s, sequence, now) && !recovered;
  mt_packet *p = make_packet(core, s, h, from, payload, payload_len, sequence, now);
  if (!p) return; /* before any state changes: the sequence numbers must not move ahead of the history */
  bool was_arriving = mt_stream_arriving(core, s, now);
  if (!recovered && payload_len) mt_stream_note_arrival(s, h->marker, now);
  if (recovered) {
    s->stats.recovered++;
  } else {
    s->received++;
    measure_jitter(s, h->timestamp, now);
  }
  s->stats.packets++;
  s->stats.bytes += payload_len;
  if (!take_sequence(core, s, sequence, recovered, now)) {
    s->stats.duplicates++;
    core->counters.dropped_rtp_duplicate++;
    mt_pool_put(&core->packets, p);
    return;
  }
  read_frame(s, p);
  count_layers(s, p);
  if (sequence == s->highest) mt_tail_note(core, s, h->marker, now);
  uint8_t level_id = producer->spec.ext_ids[MT_EXT_AUDIO_LEVEL];
  const mt_rtp_ext *level = level_id ? mt_rtp_find_ext(h, level_id) : NULL;
  if (level && level->len == 1 && !producer->paused) mt_level_heard(producer, from[level->offset], now);
  keep_and_forward(core, s, p, was_arriving, !recovered && payload_len, following, now);
}

/* ---- mirrors ---- */

void mt_stream_mirror_alive(mt_core *core, mt_stream *s, bool marker, int64_t now) {
  bool was_arriving = mt_stream_arriving(core, s, now);
  s->started = true;
  mt_stream_note_arrival(s, marker, now);
  if (!was_arriving) arrives_again(core, s, now);
}

/* The engine that has the client has dropped duplicates already, so every packet is new here. */
void mt_stream_mirror(mt_core *core, mt_stream *s, const mt_packet *from, bool arrived, int64_t now) {
  bool was_arriving = mt_stream_arriving(core, s, now);
  bool following = follows(core, s, from->sequence, now);
  s->started = true;
  if (arrived) mt_stream_note_arrival(s, from->marker, now);
  s->stats.packets++;
  s->stats.bytes += from->payload_len;
  if (from->sequence > s->highest + MT_MAX_DROPOUT) mt_stream_cut(s); /* as the source's engine did */
  if (from->sequence > s->highest) s->highest = from->sequence;
  mt_packet *p = mt_pool_get(&core->packets);
  if (!p) {
    core->counters.dropped_no_memory++;
    mt_producer_settle(core, s->producer, now); /* what follows leaves a gap */
    return;
  }
  memcpy(p, from, offsetof(mt_packet, data) + from->payload + from->payload_len);
  p->padding = 0;   /* its bytes have not crossed */
  p->arrived = now; /* the time here: the packet may have waited in the ring for longer than the history keeps packets */
  count_layers(s, p);
  keep_and_forward(core, s, p, was_arriving, arrived, following, now);
}

/* RFC 3550 appendix A.3 */
void mt_stream_report(mt_core *core, mt_stream *s, mt_rtcp_report *out, int64_t now) {
  uint64_t expected = s->highest - s->base + 1;
  int64_t lost = lost_so_far(s);
  int64_t expected_now = (int64_t)(expected - s->reported_expected);
  int64_t lost_now = expected_now - (int64_t)(s->received - s->reported_received);
  s->reported_expected = expected;
  s->reported_received = s->received;
  int64_t fraction = expected_now > 0 && lost_now > 0 ? lost_now * LOSS_UNITS / expected_now : 0;
  s->stats.lost = lost;
  count_lost(core, s);
  *out = (mt_rtcp_report){
      .ssrc = s->stats.ssrc,
      .fraction_lost = fraction > UINT8_MAX ? UINT8_MAX : (uint8_t)fraction,
      .total_lost = (int32_t)lost,
      .highest_sequence = (uint32_t)s->highest,
      .jitter = (uint32_t)s->jitter,
  };
  if (s->has_sr) {
    out->last_sr = (uint32_t)(s->sr_ntp >> NTP_MIDDLE_SHIFT);
    out->delay_since_last_sr = (uint32_t)((now - s->sr_arrival) * DELAY_SECOND / MT_SECOND);
  }
}
