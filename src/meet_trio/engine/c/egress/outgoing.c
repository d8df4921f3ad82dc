/* See outgoing.h. */
#include "egress/outgoing.h"

enum {
  UDP_OVERHEAD = 28,             /* bytes: IPv4 and UDP headers, which a link's rate includes */
  REPAIR_PERCENT = 50,           /* of the estimate may be retransmissions: a loss of a third needs that much */
  REPAIR_BURST_US = 200 * MT_MS, /* bytes of this time at the estimate may leave at once, */
  LEAST_REPAIR_BURST = 12000,    /* bytes: and at least these */
};

void mt_downlink_sent(mt_transport *t, uint16_t number, size_t len, uint8_t cluster, int64_t now) {
  mt_downlink *d = t->downlink;
  if (!d) return;
  d->budget.level -= (double)(len + UDP_OVERHEAD);
  if (!cluster) cluster = d->probe;
  mt_estimator_sent(d->estimator, number, len + UDP_OVERHEAD, cluster, now);
}

void mt_downlink_spent(mt_transport *t, size_t len) {
  if (t->downlink) t->downlink->budget.level -= (double)(len + UDP_OVERHEAD);
}

bool mt_downlink_may_repair(mt_transport *t, int64_t now) {
  mt_downlink *d = t->downlink;
  if (!d) return true;
  double rate = (double)mt_estimator_estimate(d->estimator)->bitrate / MT_BITS, burst = rate * REPAIR_BURST_US / MT_SECOND;
  mt_bucket_fill(&d->repairs, rate * REPAIR_PERCENT / 100, burst > LEAST_REPAIR_BURST ? burst : LEAST_REPAIR_BURST, now);
  return d->repairs.level > 0;
}

void mt_downlink_repaired(mt_transport *t, size_t len) {
  if (!t->downlink) return;
  t->downlink->repaired += len + UDP_OVERHEAD;
  t->downlink->repairs.level -= (double)(len + UDP_OVERHEAD);
}
