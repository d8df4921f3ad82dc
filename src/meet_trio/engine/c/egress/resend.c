/* See resend.h. */
#include "egress/resend.h"

#include "base/sequence.h"
#include "egress/again.h"
#include "egress/keyframes.h"
#include "egress/outgoing.h"
#include "egress/redundancy.h"
#include "state/listening.h"

enum {
  RESEND_BURST = 512 * 1024,              /* bytes for each consumer: an outage of 2 s at 2 Mbit/s */
  RESEND_BURST_OF_ALL = 2 * RESEND_BURST, /* bytes for all consumers of a transport */
  RESEND_LEAST_US = 20 * MT_MS,           /* least time between two retransmissions of one packet */
};

void mt_consumer_earn_resends(mt_consumer *c, size_t len) {
  mt_transport *t = c->transport;
  c->resend_bytes += (int32_t)len;
  if (c->resend_bytes > RESEND_BURST) c->resend_bytes = RESEND_BURST;
  t->resend_bytes += (int32_t)len;
  if (t->resend_bytes > RESEND_BURST_OF_ALL) t->resend_bytes = RESEND_BURST_OF_ALL;
}

static bool asked_too_soon(const mt_consumer *c, const mt_sent *sent, int64_t now) {
  int64_t least = c->stats.rtt_us > RESEND_LEAST_US ? c->stats.rtt_us : RESEND_LEAST_US;
  return sent->resent && now - sent->resent < least;
}

/* The packet cannot be sent again. If the client needs it, only a key frame helps, and the client would ask for one a second or
 * more later. A number that was never sent is a packet that the publisher's stream misses itself: it may still come. What is
 * before the last key frame is not needed. */
static void miss(mt_core *core, mt_consumer *c, uint64_t wanted, int64_t now) {
  core->counters.retransmissions_missed++;
  bool was_sent = wanted <= c->highest && c->sent[wanted % c->sent_slots].sequence >= wanted;
  if (was_sent && !c->paused && wanted >= c->last_keyframe) mt_consumer_ask_keyframe(core, c, mt_consumer_current_stream(c), now);
}

void mt_consumer_resend(mt_core *core, mt_consumer *c, uint16_t sequence, int64_t now) {
  if (!c->sent || !c->transport->srtp || !c->transport->selected) return;
  uint64_t wanted = mt_sequence_extend(c->highest, sequence);
  const mt_packet *p;
  mt_sent *sent = mt_again_find(c, wanted, &p);
  if (!sent) {
    miss(core, c, wanted, now);
    return;
  }
  if (asked_too_soon(c, sent, now)) return;
  if (c->resend_bytes <= 0 || c->transport->resend_bytes <= 0 || !mt_downlink_may_repair(c->transport, now)) {
    core->counters.retransmissions_refused++;
    return;
  }
  sent->resent = now;
  size_t len = mt_again_send(core, c, sent, p, 0, now);
  if (!len) return;
  mt_downlink_repaired(c->transport, len);
  c->resend_bytes -= (int32_t)len;
  c->transport->resend_bytes -= (int32_t)len;
  core->counters.retransmissions++;
  c->stats.retransmissions++;
  mt_redundancy_resent(core, c, wanted, now);
}
