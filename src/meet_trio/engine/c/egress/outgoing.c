/* See outgoing.h. */
#include "egress/outgoing.h"

enum { UDP_OVERHEAD = 28 }; /* bytes: IPv4 and UDP headers, which a link's rate includes */

void mt_downlink_sent(mt_transport *t, uint16_t number, size_t len, uint8_t cluster, int64_t now) {
  mt_downlink *d = t->downlink;
  if (!d) return;
  d->budget.level -= (double)(len + UDP_OVERHEAD);
  mt_estimator_sent(d->estimator, number, len + UDP_OVERHEAD, cluster, now);
}

void mt_downlink_repaired(mt_transport *t, size_t len) {
  if (t->downlink) t->downlink->repaired += len + UDP_OVERHEAD;
}
