/* See mirror.h. */
#include "ingress/mirror.h"

#include "egress/fanout.h"
#include "egress/layers.h"
#include "ingress/stream.h"
#include "links/wish.h"
#include "state/find.h"
#include "state/marks.h"

/* ---- life ---- */

static void attach(mt_core *core, mt_producer *m, mt_link_end *end, uint32_t relay, int64_t now) {
  m->link = end->link;
  m->relay = relay;
  mt_list_append(&end->members, &m->in_link);
  m->wished = 0;
  m->attached = (uint8_t)((1u << m->spec.encoding_count) - 1);
  mt_wish_listen_all(core, m, now);
  mt_due(core, now); /* key frames that were wanted before there was a link */
}

static void leave(mt_core *core, mt_producer *m, int64_t now) {
  mt_producer_settle(core, m, now);
  m->link = NULL;
  mt_list_remove(&m->in_link);
}

static void detach(mt_core *core, mt_producer *m, int64_t now) {
  leave(core, m, now);
  MT_EACH (item, &m->consumers) mt_consumer_halt(core, MT_OF(item, mt_consumer, in_producer));
  for (uint8_t i = 0; i < m->spec.encoding_count; i++) mt_stream_reset(core, &m->streams[i], now);
}

void mt_mirrors_lose(mt_core *core, mt_link_end *end, int64_t now) {
  bool died = mt_link_died(end->link, MT_SOURCE);
  MT_EACH (item, &end->members) {
    mt_producer *m = MT_OF(item, mt_producer, in_link);
    if (died) leave(core, m, now);
    else detach(core, m, now);
  }
}

/* ---- messages ---- */

static void take_state(mt_core *core, mt_stream *s, const mt_crossing *m, int64_t now) {
  s->stats.ssrc = m->ssrc;
  s->loss.level = m->loss_level;
  s->rtt_us = m->rtt_us;
  s->has_sr = m->has_sr;
  s->sr_ntp = m->sr_ntp;
  s->sr_timestamp = m->sr_timestamp;
  s->sr_arrival = m->sr_arrival < now ? m->sr_arrival : now;
  if (m->arrived) mt_stream_mirror_alive(core, s, false, now);
}

/* The first packets of a stream that goes on by another relay: what came to the source before was not relayed. */
static bool resumed_late(mt_producer *p, const mt_stream *s, uint64_t sequence) {
  uint8_t bit = (uint8_t)(1u << s->index);
  bool first = p->attached & bit;
  p->attached &= (uint8_t)~bit;
  return first && s->started && s->highest && sequence > s->highest + 1;
}

/* The source lost packets because the ring was full. Nobody sends them again, so decoders need a key frame. */
static void take_gap(mt_core *core, mt_stream *s, uint64_t sequence, int64_t now) {
  mt_producer_settle(core, s->producer, now);
  mt_want_keyframe(core, s, now);
  if (sequence > s->highest + MT_MAX_MISSING) mt_stream_cut(s);
}

void mt_mirror_take(mt_core *core, mt_link_end *end, const mt_crossing *m, int64_t now) {
  mt_producer *p = mt_find_producer(core, m->producer);
  if (p && p->mirror && p->link && p->link != end->link && mt_link_died(p->link, MT_SOURCE)) leave(core, p, now);
  if (!p || !p->mirror || m->index >= p->spec.encoding_count || (p->link && p->link != end->link)) {
    core->counters.dropped_relay_unknown++;
    return;
  }
  if (m->type == MT_CROSS_STOP) {
    if (p->link && p->relay == m->relay) detach(core, p, now);
    return;
  }
  if (p->relay != m->relay && p->link) detach(core, p, now); /* a new relay: the ring had no room for the end of the old one */
  if (!p->link) attach(core, p, end, m->relay, now);
  mt_stream *s = &p->streams[m->index];
  if (m->generation != s->generation) {
    mt_stream_reset(core, s, now);
    s->generation = m->generation;
    if (m->type == MT_CROSS_STATE && m->ended) mt_producer_choose_layers(core, p, true, now);
  }
  switch ((mt_cross_type)m->type) {
  case MT_CROSS_STATE: take_state(core, s, m, now); break;
  case MT_CROSS_ALIVE:
    mt_layer_rates_count(&s->layers, 0, m->temporal, false, m->frame_len);
    mt_stream_mirror_alive(core, s, true, now);
    break;
  case MT_CROSS_STOP: break; /* handled above */
  case MT_CROSS_PACKET:
    core->counters.relay_packets_in++;
    core->counters.relay_bytes_in += (uint64_t)m->packet.payload + m->packet.payload_len;
    if (resumed_late(p, s, m->packet.sequence) || m->gap) take_gap(core, s, m->packet.sequence, now);
    mt_stream_mirror(core, s, &m->packet, m->arrived, now);
  }
}
