/* See fanout.h. */
#include "egress/fanout.h"

#include "egress/ahead.h"
#include "egress/forward.h"
#include "egress/layers.h"

enum { LOOKED_AT = 32 /* producers, to find the place of another one; the order only saves work */ };

static mt_stream *stream_of(mt_producer *p, const mt_gathered *g) { return &p->streams[g->stream]; }

/* ---- equal lengths ---- */

static bool of_one_frame(const mt_gathered *a, const mt_gathered *b) {
  return a->stream == b->stream && a->packet->timestamp == b->packet->timestamp;
}

static void pad(mt_packet *p) {
  size_t end = (size_t)p->payload + p->payload_len;
  if (end >= MT_PACKET_DATA) return;
  p->data[end] = p->padding = 1; /* the last byte of the padding says how long it is (RFC 3550 section 5.1) */
}

/* The last packet may be the shorter one. */
static void equalize_frame(const mt_gathered *frame, uint32_t count) {
  uint16_t longest = 0;
  for (uint32_t i = 0; i < count; i++)
    if (frame[i].packet->payload_len > longest) longest = frame[i].packet->payload_len;
  for (uint32_t i = 0; i + 1 < count; i++)
    if (frame[i].packet->payload_len + 1 == longest) pad(frame[i].packet);
}

static void equalize(const mt_core *core, const mt_producer *p) {
  if (!core->settings.equal_lengths) return;
  for (uint32_t i = 0, n; i < p->gathered_count; i += n) {
    for (n = 1; i + n < p->gathered_count && of_one_frame(&p->gathered[i], &p->gathered[i + n]);) n++;
    equalize_frame(&p->gathered[i], n);
  }
}

/* ---- gathering ---- */

/* Hides all gathered packets from the consumers. */
static void hide(mt_producer *p) {
  for (uint32_t i = p->gathered_count; i > 0; i--) stream_of(p, &p->gathered[i - 1])->shown = p->gathered[i - 1].packet->sequence;
}

static void forward_gathered(mt_core *core, mt_consumer *c, int64_t now) {
  mt_producer *p = c->producer;
  hide(p);
  for (uint32_t i = 0; i < p->gathered_count; i++) {
    const mt_gathered *g = &p->gathered[i];
    mt_stream *s = stream_of(p, g);
    s->shown = g->packet->sequence + 1;
    mt_consumer_forward(core, c, s, g->packet, now);
  }
}

int64_t mt_producer_gathered(const mt_producer *p) { return p->gathered_count ? p->gathered[0].packet->arrived : INT64_MAX; }

static void clear(mt_producer *p) {
  mt_list_remove(&p->in_gathered);
  for (uint32_t i = 0; i < p->gathered_count; i++) stream_of(p, &p->gathered[i])->shown = UINT64_MAX;
  p->gathered_count = 0;
}

void mt_producer_settle(mt_core *core, mt_producer *p, int64_t now) {
  if (!p->gathered_count) return;
  mt_ahead ahead;
  equalize(core, p);
  mt_ahead_begin(&ahead, core, &p->consumers);
  MT_EACH (item, &p->consumers) {
    mt_ahead_step(&ahead);
    forward_gathered(core, MT_OF(item, mt_consumer, in_producer), now);
  }
  clear(p);
}

/* ---- several producers ---- */

/* The consumers of a producer get their turn with the others of their transports. */
static void make_due(mt_producer *p, mt_list *transports) {
  MT_EACH (item, &p->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_producer);
    mt_transport *t = c->transport;
    if (mt_list_empty(&t->due)) mt_list_append(transports, &t->in_due);
    mt_list_append(&t->due, &c->in_due);
  }
}

static void forward_due(mt_core *core, mt_transport *t, int64_t now) {
  mt_list_remove(&t->in_due);
  MT_EACH (item, &t->due) {
    mt_list_remove(item);
    forward_gathered(core, MT_OF(item, mt_consumer, in_due), now);
  }
}

void mt_fanout_settle(mt_core *core, int64_t now) {
  core->gathering = false;
  mt_list *first = core->gathered.next, transports;
  if (first == core->gathered.prev) { /* one producer, or none */
    if (first != &core->gathered) mt_producer_settle(core, MT_OF(first, mt_producer, in_gathered), now);
    return;
  }
  mt_list_init(&transports);
  MT_EACH (item, &core->gathered) {
    equalize(core, MT_OF(item, mt_producer, in_gathered));
    make_due(MT_OF(item, mt_producer, in_gathered), &transports);
  }
  MT_EACH (item, &transports) forward_due(core, MT_OF(item, mt_transport, in_due), now);
  MT_EACH (item, &core->gathered) clear(MT_OF(item, mt_producer, in_gathered));
}

static bool is_shorter(mt_list *item, const mt_packet *than) {
  return MT_OF(item, mt_producer, in_gathered)->gathered[0].packet->payload_len < than->payload_len;
}

/* A shorter datagram can end a run, but a longer one begins another. So those with longer packets come first. */
static void add_by_length(mt_list *gathered, mt_producer *p, const mt_packet *packet) {
  mt_list *next = gathered;
  for (unsigned i = 0; i < LOOKED_AT && next->prev != gathered && is_shorter(next->prev, packet); i++) next = next->prev;
  mt_list_append(next, &p->in_gathered);
}

static bool has_room(const mt_producer *p, const mt_stream *s) {
  return p->gathered_count < MT_MAX_GATHERED && p->gathered_count < s->history.mask; /* which has them all then */
}

static void gather(mt_core *core, mt_stream *s, mt_packet *packet) {
  mt_producer *p = s->producer;
  if (!p->gathered_count) add_by_length(&core->gathered, p, packet);
  if (packet->sequence < s->shown) s->shown = packet->sequence;
  p->gathered[p->gathered_count++] = (mt_gathered){packet, s->index};
}

void mt_producer_forward(mt_core *core, mt_stream *s, mt_packet *packet, bool alone, int64_t now) {
  mt_producer *p = s->producer;
  if (p->paused) {
    core->counters.dropped_rtp_paused++;
    return;
  }
  if (core->gathering && !alone) {
    gather(core, s, packet);
    if (!has_room(p, s)) mt_producer_settle(core, p, now);
    return;
  }
  mt_ahead ahead;
  mt_ahead_begin(&ahead, core, &p->consumers);
  MT_EACH (item, &p->consumers) {
    mt_ahead_step(&ahead);
    mt_consumer_forward(core, MT_OF(item, mt_consumer, in_producer), s, packet, now);
  }
}

void mt_producer_choose_layers(mt_core *core, mt_producer *p, bool may_fall, int64_t now) {
  mt_producer_settle(core, p, now);
  MT_EACH (item, &p->consumers) mt_consumer_choose_layer(core, MT_OF(item, mt_consumer, in_producer), may_fall, now);
}
