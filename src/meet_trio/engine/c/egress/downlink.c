/* See downlink.h. */
#include "egress/downlink.h"

#include "base/lines.h"
#include "egress/allocation.h"
#include "egress/pacer.h"
#include "state/marks.h"

enum {
  ROUNDS_A_SECOND = 10,
  LEAST_BITRATE = 30000, /* bit/s: an estimate never falls below */
};

static const double REPAIR_SHARE = 0.2; /* of a new round in the rate of retransmissions */

void mt_downlink_begin(mt_core *core, mt_transport *t, int64_t now) {
  if (t->downlink || t->plain) return;
  mt_downlink *d = mt_new_in_lines(sizeof *d);
  mt_estimator_spec spec = {.start = t->link ? t->link : core->settings.start_bitrate,
                            .least = LEAST_BITRATE,
                            .most = t->max_outgoing,
                            .departures = &core->departures};
  if (d) d->estimator = mt_estimator_new(&spec, now);
  if (!d || !d->estimator) {
    free(d);
    core->counters.dropped_no_memory++;
    return;
  }
  d->transport = t;
  d->moved = t->moved;
  mt_list_init(&d->in_allocating);
  mt_list_init(&d->in_pacing);
  mt_list_init(&d->behind);
  t->downlink = d;
  mt_mark_allocation(core, t);
}

void mt_downlink_end(mt_core *core, mt_transport *t) {
  mt_downlink *d = t->downlink;
  if (!d) return;
  mt_list_remove(&d->in_allocating);
  mt_list_remove(&d->in_pacing);
  mt_pool_put(&core->queues, d->queue);
  mt_estimator_free(d->estimator);
  free(d);
  t->downlink = NULL;
}

static void measure_repair(mt_downlink *d) {
  double rate = (double)(d->repaired - d->repaired_before) * MT_BITS * ROUNDS_A_SECOND;
  d->repaired_before = d->repaired;
  d->repair += (rate - d->repair) * REPAIR_SHARE;
}

/* The estimator has something new: a probe may begin, and a fall is acted upon in the next tick. */
static void follow(mt_core *core, mt_downlink *d, uint64_t before, int64_t now) {
  mt_probe probe;
  if (mt_estimator_probe(d->estimator, &probe, now)) mt_pacer_wake(core, d, now);
  if (mt_estimator_estimate(d->estimator)->bitrate < before) mt_mark_allocation(core, d->transport);
}

void mt_downlink_feedback(mt_core *core, mt_transport *t, const mt_rtcp_packet *p, int64_t now) {
  mt_rtcp_twcc feedback;
  mt_downlink *d = t->downlink;
  if (!d || !mt_rtcp_read_twcc(p, &feedback)) return;
  uint64_t before = mt_estimator_estimate(d->estimator)->bitrate;
  mt_estimator_feedback(d->estimator, &feedback, now);
  follow(core, d, before, now);
}

void mt_downlink_remb(mt_core *core, mt_transport *t, uint64_t bitrate, int64_t now) {
  if (mt_list_empty(&t->consumers)) return; /* it gets nothing, so no memory is taken for it */
  mt_downlink_begin(core, t, now);
  mt_downlink *d = t->downlink;
  if (!d) return;
  uint64_t before = mt_estimator_estimate(d->estimator)->bitrate;
  mt_estimator_remb(d->estimator, bitrate, now);
  follow(core, d, before, now);
}

void mt_downlink_limit(mt_core *core, mt_transport *t, uint64_t most) {
  t->max_outgoing = most;
  if (!t->downlink) return;
  mt_estimator_limit(t->downlink->estimator, most);
  mt_mark_allocation(core, t);
}

void mt_downlink_round(mt_core *core, mt_transport *t, int64_t now) {
  mt_downlink *d = t->downlink;
  if (!d) return;
  if (t->moved > d->moved) {
    d->moved = t->moved;
    mt_estimator_moved(d->estimator, now);
  }
  uint64_t before = mt_estimator_estimate(d->estimator)->bitrate;
  mt_estimator_tick(d->estimator, now);
  measure_repair(d);
  mt_allocate(core, t, now);
  follow(core, d, before, now);
}

void mt_allocations_tick(mt_core *core, int64_t now) {
  MT_EACH (item, &core->allocating) mt_allocate(core, MT_OF(item, mt_downlink, in_allocating)->transport, now);
}
