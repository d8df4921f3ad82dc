/* See relay.h. */
#include "egress/relay.h"

#include "base/ring.h"
#include "links/ends.h"
#include "state/arriving.h"
#include "state/find.h"
#include "state/marks.h"

#include <stdlib.h>
#include <string.h>

enum { SPARE_SLOTS = 8 /* slots of the ring that packets and ends of frames leave free, for states and the end of relays */ };

static mt_relay *find_relay(const mt_producer *p, const mt_link *link) {
  MT_EACH (item, &p->relays) {
    mt_relay *r = MT_OF(item, mt_relay, in_producer);
    if (r->link == link) return r;
  }
  return NULL;
}

static mt_crossing *reserve(mt_core *core, mt_relay *r, mt_cross_type type, uint8_t index, uint32_t spare) {
  mt_crossing *m = mt_ring_reserve(&r->link->crossings, spare);
  if (!m) {
    core->counters.dropped_relay_full++;
    return NULL;
  }
  m->type = (uint8_t)type;
  m->producer = r->producer->id;
  m->relay = r->id;
  m->index = index;
  m->generation = r->producer->streams[index].generation;
  m->arrived = false;
  return m;
}

/* The other engine sees it with the rest of the batch (mt_exchange_flush), or before if the batch is long. `wake`: it is to take it
 * at once. Otherwise it is woken when the ring is half full; it looks by itself ten times a second. */
static void commit(mt_relay *r, bool wake) {
  mt_ring *ring = &r->link->crossings;
  mt_ring_commit(ring);
  if (mt_ring_unflushed(ring) >= MT_MAX_GATHERED) mt_ring_flush(ring);
  if (wake || mt_ring_count(ring) > ring->mask / 2) r->link->sides[MT_SOURCE].end.to_wake = true;
}

static void send_state(mt_core *core, mt_relay *r, const mt_stream *s, int64_t now) {
  uint8_t bit = (uint8_t)(1u << s->index);
  r->unsent |= bit;
  if (r->sent & bit) return;
  mt_crossing *m = reserve(core, r, MT_CROSS_STATE, s->index, 0);
  if (!m) return;
  r->unsent &= (uint8_t)~bit;
  r->sent |= bit;
  m->ended = !s->main;
  m->arrived = !r->introduced && mt_stream_arriving(core, s, now);
  m->loss_level = s->loss.level;
  m->rtt_us = s->rtt_us;
  m->ssrc = s->stats.ssrc;
  m->has_sr = s->has_sr;
  m->sr_ntp = s->sr_ntp;
  m->sr_timestamp = s->sr_timestamp;
  m->sr_arrival = s->sr_arrival;
  commit(r, true);
}

/* A round begins. A relay's first round sends the state of every stream: the mirror needs them all to begin. */
static void send_states(mt_core *core, mt_relay *r, int64_t now) {
  const mt_producer *p = r->producer;
  r->sent = 0;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++)
    if (r->unsent >> i & 1) send_state(core, r, &p->streams[i], now);
  if (!r->unsent) r->introduced = true;
}

void mt_relay_round(mt_core *core, mt_producer *p, int64_t now) {
  MT_EACH (item, &p->relays) send_states(core, MT_OF(item, mt_relay, in_producer), now);
}

void mt_relay_state(mt_core *core, mt_stream *s, int64_t now) {
  MT_EACH (item, &s->producer->relays) send_state(core, MT_OF(item, mt_relay, in_producer), s, now);
}

/* ---- packets ---- */

static void send_packet(mt_core *core, mt_relay *r, const mt_stream *s, const mt_packet *p, bool arrived) {
  uint8_t bit = (uint8_t)(1u << s->index);
  mt_crossing *m = reserve(core, r, MT_CROSS_PACKET, s->index, SPARE_SLOTS);
  if (!m) {
    r->lost |= bit;
    return;
  }
  m->arrived = arrived;
  m->gap = r->lost & bit;
  r->lost &= (uint8_t)~bit;
  size_t len = (size_t)p->payload + p->payload_len;
  memcpy(&m->packet, p, offsetof(mt_packet, data) + len);
  core->counters.relay_packets_out++;
  core->counters.relay_bytes_out += len;
  commit(r, true);
}

void mt_relay_packet(mt_core *core, mt_stream *s, const mt_packet *p, bool arrived) {
  mt_producer *producer = s->producer;
  /* Key frames do not count, see ingress/stream.c. */
  if (!s->has_keyframe || p->timestamp != s->keyframe_timestamp) s->frame_len += p->payload_len + MT_PACKET_OVERHEAD;
  MT_EACH (item, &producer->relays) {
    mt_relay *r = MT_OF(item, mt_relay, in_producer);
    if (!producer->paused && r->listened >> s->index & 1) {
      send_packet(core, r, s, p, arrived);
    } else if (arrived && p->marker && producer->spec.encoding_count > 1) {
      mt_crossing *m = reserve(core, r, MT_CROSS_ALIVE, s->index, SPARE_SLOTS);
      if (!m) continue;
      m->arrived = true;
      m->temporal = mt_packet_temporal(p);
      m->frame_len = s->frame_len;
      commit(r, false);
    }
  }
  if (p->marker) s->frame_len = 0;
}

static void end_relay(mt_relay *r) {
  mt_list_remove(&r->in_producer);
  mt_list_remove(&r->in_link);
  free(r);
}

/* ---- wishes ---- */

static void wish_keyframe(mt_core *core, mt_stream *s, bool listened, int64_t now) {
  if (!listened) s->keyframe_demanded = true;
  mt_want_keyframe(core, s, now);
}

void mt_relay_wish(mt_core *core, mt_link_end *end, const mt_wish *w, int64_t now) {
  mt_producer *p = mt_find_producer(core, w->producer);
  mt_relay *r = p ? find_relay(p, end->link) : NULL;
  if (!r || r->id != w->relay || w->index >= p->spec.encoding_count) return; /* the relay has stopped meanwhile */
  switch ((mt_wish_type)w->type) {
  case MT_WISH_LISTEN: r->listened = w->number; break;
  case MT_WISH_KEYFRAME: wish_keyframe(core, &p->streams[w->index], w->number, now); break;
  case MT_WISH_GONE: end_relay(r); break;
  }
}

/* ---- life ---- */

void mt_relay_start(mt_core *core, uint32_t producer, mt_link *link, int64_t now) {
  mt_producer *p = mt_find_producer(core, producer);
  if (!p || p->mirror || mt_link_closed(link, MT_SINK)) {
    core->counters.commands_for_unknown_ids++;
    return;
  }
  if (find_relay(p, link)) return;
  mt_relay *r = calloc(1, sizeof *r);
  if (!r) {
    core->counters.dropped_no_memory++;
    return;
  }
  mt_link_join(core, link, MT_SOURCE);
  r->producer = p;
  r->link = link;
  r->id = ++core->last_relay;
  mt_list_init(&r->in_producer);
  mt_list_init(&r->in_link);
  mt_list_append(&p->relays, &r->in_producer);
  mt_list_append(&link->sides[MT_SOURCE].end.members, &r->in_link);
  r->unsent = (uint8_t)((1u << p->spec.encoding_count) - 1);
  if (core->resuming) r->listened = r->unsent; /* no packet is lost until the mirror says what it needs */
  send_states(core, r, now);
}

static void stop(mt_core *core, mt_relay *r) {
  if (reserve(core, r, MT_CROSS_STOP, 0, 0)) commit(r, true);
  end_relay(r);
}

void mt_relay_stop(mt_core *core, uint32_t producer, mt_link *link) {
  mt_producer *p = mt_find_producer(core, producer);
  mt_relay *r = p ? find_relay(p, link) : NULL;
  if (r) stop(core, r);
  else core->counters.commands_for_unknown_ids++;
}

void mt_producer_end_relays(mt_core *core, mt_producer *p) {
  MT_EACH (item, &p->relays) stop(core, MT_OF(item, mt_relay, in_producer));
}

void mt_relays_end(mt_link_end *end) {
  MT_EACH (item, &end->members) end_relay(MT_OF(item, mt_relay, in_link));
}
