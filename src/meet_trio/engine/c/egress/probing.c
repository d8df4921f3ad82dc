/* See probing.h. */
#include "egress/probing.h"

#include "egress/again.h"
#include "egress/padding.h"

enum {
  MOST_PACKETS = 64,     /* in one step */
  REPEATED_PACKETS = 64, /* of a consumer, from its newest one backwards */
  STEP_US = 5 * MT_MS,   /* of the pacer */
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
  mt_again again;
  size_t len = mt_again_find(c, sequence, &again) ? mt_again_send(core, c, &again, cluster, now) : 0;
  if (len) core->counters.packets_repeated++;
  return len;
}

/* Bytes that are due now: media that has left meanwhile counts, so that all of it together has the probe's bitrate. */
static size_t bytes_due(mt_downlink *d, const mt_probe *probe, int64_t now) {
  if (d->probe != probe->id) {
    d->probe = probe->id;
    d->probe_begun = now;
    d->probe_bytes = probe->bytes;
  }
  size_t sent = d->probe_bytes - probe->bytes;
  int64_t elapsed = now - d->probe_begun + STEP_US;
  size_t until_now = (size_t)(probe->bitrate / MT_BITS * (uint64_t)elapsed / MT_SECOND);
  if (until_now > d->probe_bytes) until_now = d->probe_bytes;
  return until_now > sent ? until_now - sent : 0;
}

bool mt_probe_step(mt_core *core, mt_downlink *d, int64_t now) {
  mt_transport *t = d->transport;
  mt_probe probe;
  bool running = mt_estimator_probe(d->estimator, &probe, now);
  mt_consumer *c = running ? find_carrier(t) : NULL;
  if (!c || !t->srtp || !t->selected) {
    d->probe = 0;
    return false;
  }
  size_t due = bytes_due(d, &probe, now), sent = 0;
  for (unsigned i = 0; i < MOST_PACKETS && sent < due; i++) {
    uint64_t sequence = c->newest_sent - (d->repeated++ % REPEATED_PACKETS);
    size_t len = repeat(core, c, sequence, probe.id, now);
    if (!len) len = mt_consumer_pad(core, c, probe.id, now);
    if (!len) {
      d->probe = 0;
      return false;
    }
    sent += len;
  }
  running = mt_estimator_probe(d->estimator, &probe, now);
  if (!running) d->probe = 0;
  return running;
}
