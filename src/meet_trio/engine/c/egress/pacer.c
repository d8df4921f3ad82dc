/* See pacer.h. */
#include "egress/pacer.h"

#include "egress/keyframes.h"
#include "egress/send.h"
#include "state/marks.h"

enum {
  PACE_PERCENT = 130,          /* of the estimate */
  BURST_US = 5 * MT_MS,        /* bytes of this time may leave at once */
  LEAST_BURST = 3000,          /* bytes: and at least these */
  QUEUE_US = 100 * MT_MS,      /* the pace is never below what would empty the queue in this time, */
  LONG_QUEUE_US = 300 * MT_MS, /* or in this time while the link has a queue of its own */
  MAX_DEBT_US = 50 * MT_MS,    /* what leaves at once delays video by no more */
  LATE_SLOTS = 32,             /* of the queue: only late packets take them */
};

/* Bytes a second. What waits here instead of in the queue of a congested link arrives as early, and is not dropped there. */
static double pace(const mt_downlink *d) {
  const mt_estimate *e = mt_estimator_estimate(d->estimator);
  double estimated = (double)e->bitrate / MT_BITS * (e->overused ? 100 : PACE_PERCENT) / 100;
  double draining = (double)d->waiting * MT_SECOND / (e->overused ? LONG_QUEUE_US : QUEUE_US);
  return estimated > draining ? estimated : draining;
}

/* While packets wait, the link is not idle: a step that comes late sends what was due meanwhile. */
static int64_t burst_us(const mt_downlink *d, int64_t now) {
  int64_t late = d->count ? now - d->budget.filled : 0;
  return late < BURST_US ? BURST_US : late > QUEUE_US ? QUEUE_US : late;
}

static void fill(mt_downlink *d, int64_t now) {
  double rate = pace(d), burst = rate * (double)burst_us(d, now) / MT_SECOND, debt = rate * MAX_DEBT_US / MT_SECOND;
  if (d->budget.level < -debt) d->budget.level = -debt;
  mt_bucket_fill(&d->budget, rate, burst > LEAST_BURST ? burst : LEAST_BURST, now);
}

void mt_pacer_wake(mt_core *core, mt_downlink *d, int64_t now) {
  if (!mt_list_empty(&d->in_pacing)) return;
  mt_list_append(&core->pacing, &d->in_pacing);
  d->pace_due = now;
  mt_due(core, now);
}

/* ---- the queue ---- */

static mt_queued *slot(const mt_downlink *d, uint32_t i) { return &d->queue[(d->head + i) % MT_QUEUE_SLOTS]; }

/* False: there is no room, or no memory. */
static bool enqueue(mt_core *core, mt_downlink *d, mt_consumer *c, const mt_epoch *e, const mt_packet *p, const mt_numbers *n,
                    int64_t now) {
  if (!d->queue && !(d->queue = mt_pool_get(&core->queues))) return false;
  if (d->count == MT_QUEUE_SLOTS) return false;
  *slot(d, d->count++) = (mt_queued){
      .consumer = c,
      .stream_sequence = p->sequence,
      .generation = c->producer->streams[e->stream].generation,
      .sequence = n->sequence,
      .timestamp = n->timestamp,
      .picture_id = n->picture_id,
      .len = p->payload_len,
      .tl0picidx = n->tl0picidx,
      .marker = n->marker,
      .stream = e->stream,
      .epoch = e->sent,
  };
  d->waiting += p->payload_len + (size_t)MT_PACKET_OVERHEAD;
  mt_pacer_wake(core, d, now);
  return true;
}

void mt_pacer_forget(mt_consumer *c) {
  mt_downlink *d = c->transport->downlink;
  for (uint32_t i = 0; d && i < d->count; i++)
    if (slot(d, i)->consumer == c) slot(d, i)->consumer = NULL;
}

static void send_first(mt_core *core, mt_downlink *d, int64_t now) {
  const mt_queued *q = slot(d, 0);
  mt_consumer *c = q->consumer;
  d->head = (d->head + 1) % MT_QUEUE_SLOTS;
  d->count--;
  d->waiting -= q->len + (size_t)MT_PACKET_OVERHEAD;
  if (!c || !c->producer || !c->transport->srtp) return;
  const mt_stream *s = &c->producer->streams[q->stream];
  const mt_packet *p = s->generation == q->generation ? mt_history_find(&s->history, q->stream_sequence) : NULL;
  mt_numbers n = {q->sequence, q->timestamp, q->picture_id, q->tl0picidx, q->marker};
  if (p) {
    mt_consumer_send(core, c, q->epoch, p, &n, now);
  } else if (s->generation == q->generation) { /* the client will miss this number, and nobody can send it */
    core->counters.dropped_queue_full++;
    mt_consumer_request_keyframe(core, c, now);
  }
}

/* ---- sending ---- */

bool mt_pacer_has_room(const mt_consumer *c) {
  const mt_downlink *d = c->transport->downlink;
  return !d || d->count < MT_QUEUE_SLOTS - LATE_SLOTS || !c->producer->spec.video;
}

void mt_pacer_send(mt_core *core, mt_consumer *c, const mt_epoch *e, const mt_packet *p, const mt_numbers *n, int64_t now) {
  mt_downlink *d = c->transport->downlink;
  if (d && c->producer->spec.video) {
    if (!d->count) fill(d, now);
    if ((d->count || d->budget.level <= 0) && enqueue(core, d, c, e, p, n, now)) return;
  }
  mt_consumer_send(core, c, e->sent, p, n, now);
}

void mt_pacer_release(mt_core *core, mt_downlink *d, int64_t now) {
  fill(d, now);
  while (d->count && d->budget.level > 0) send_first(core, d, now);
}

void mt_pacer_empty(mt_core *core, mt_downlink *d, int64_t now) {
  while (d->count) send_first(core, d, now);
}

void mt_pacer_rest(mt_core *core, mt_downlink *d) {
  mt_pool_put(&core->queues, d->queue);
  d->queue = NULL;
  d->head = 0;
  mt_list_remove(&d->in_pacing);
}
