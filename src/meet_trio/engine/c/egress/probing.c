/* See probing.h. */
#include "egress/probing.h"

#include "egress/again.h"
#include "egress/padding.h"

enum {
  BITS = 8,
  MOST_PACKETS = 64,     /* in one step */
  REPEATED_PACKETS = 64, /* of a consumer, from its newest one backwards */
  FIRST_STEP_US = MT_MS, /* the first step sends the bytes of this time */
  MOST_STEP_US = 20 * MT_MS,
};

/* A video consumer whose client takes RTX with transport-wide numbers. NULL: there is none. */
static mt_consumer *find_carrier(const mt_transport *t) {
  MT_EACH (item, &t->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    if (c->rtx_sender && c->spec.ext_ids[MT_EXT_TRANSPORT_CC] && c->producer && c->started) return c;
  }
  return NULL;
}

/* Returns the bytes of the datagram; 0: the packet is not kept any more. */
static size_t repeat(mt_core *core, mt_consumer *c, uint64_t sequence, uint8_t cluster, int64_t now) {
  const mt_packet *p;
  const mt_sent *sent = mt_again_find(c, sequence, &p);
  size_t len = sent ? mt_again_send(core, c, sent, p, cluster, now) : 0;
  if (len) core->counters.packets_repeated++;
  return len;
}

bool mt_probe_step(mt_core *core, mt_downlink *d, int64_t elapsed, int64_t now) {
  mt_transport *t = d->transport;
  mt_probe probe;
  if (!mt_estimator_probe(d->estimator, &probe, now)) return false;
  mt_consumer *c = find_carrier(t);
  if (!c || !t->srtp || !t->selected) return false;
  if (elapsed < FIRST_STEP_US) elapsed = FIRST_STEP_US;
  if (elapsed > MOST_STEP_US) elapsed = MOST_STEP_US;
  size_t due = (size_t)(probe.bitrate / BITS * (uint64_t)elapsed / MT_SECOND) + 1, sent = 0;
  if (due > probe.bytes) due = probe.bytes;
  for (unsigned i = 0; i < MOST_PACKETS && sent < due; i++) {
    uint64_t sequence = c->highest - (d->repeated++ % REPEATED_PACKETS);
    size_t len = repeat(core, c, sequence, probe.id, now);
    if (!len) len = mt_consumer_pad(core, c, probe.id, now);
    if (!len) return false;
    sent += len;
  }
  return mt_estimator_probe(d->estimator, &probe, now);
}
