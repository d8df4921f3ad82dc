/* See resend.h. */
#include "egress/resend.h"

#include "base/sequence.h"
#include "egress/again.h"
#include "egress/compose.h"
#include "egress/keyframes.h"
#include "egress/outgoing.h"
#include "egress/redundancy.h"
#include "egress/sent.h"
#include "egress/viewer.h"
#include "state/listening.h"
#include "state/marks.h"

enum {
  RESEND_BURST = 512 * 1024,              /* bytes for each consumer: an outage of 2 s at 2 Mbit/s */
  RESEND_BURST_OF_ALL = 2 * RESEND_BURST, /* bytes for all consumers of a transport */
  RESEND_LEAST_US = 20 * MT_MS,           /* least time between two retransmissions of one packet */
  LEAST_REORDER_US = 5 * MT_MS,           /* reordering by less is answered at once */
  FEEDBACK_US = 60 * MT_MS,               /* between two feedback packets of a client, about */
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
  return sent->again && mt_sent_since_again(sent, now) < least;
}

/* The packet cannot be sent again. If the client needs it, only a key frame helps, and the client would ask for one a second or
 * more later. A number that was never sent is a packet that the publisher's stream misses itself: it may still come. What is
 * before the last key frame is not needed. */
static void miss(mt_core *core, mt_consumer *c, uint64_t wanted, int64_t now) {
  core->counters.retransmissions_missed++;
  bool was_sent = mt_sent_find(c, wanted) || mt_sent_forgotten(c, wanted);
  if (was_sent && !c->paused && wanted >= c->last_keyframe) mt_consumer_ask_keyframe(core, c, mt_consumer_current_stream(c), now);
}

static void answer(mt_core *core, mt_consumer *c, const mt_again *again, int64_t now) {
  if (c->resend_bytes <= 0 || c->transport->resend_bytes <= 0 || !mt_downlink_may_repair(c->transport, now)) {
    core->counters.retransmissions_refused++;
    return;
  }
  mt_sent_again(again->sent, now);
  size_t len = mt_again_send(core, c, again, 0, now);
  if (!len) return;
  mt_downlink_repaired(c->transport, len);
  c->resend_bytes -= (int32_t)len;
  c->transport->resend_bytes -= (int32_t)len;
  core->counters.retransmissions++;
  c->stats.retransmissions++;
  mt_redundancy_resent(core, c, again->sequence, now);
}

/* ---- NACKs that wait ---- */

/* The time for which a NACK for this packet still waits; 0: it is answered now. */
static int64_t wait_for(const mt_consumer *c, const mt_sent *sent, int64_t now) {
  int64_t reorder = mt_viewer_reorder_us(c->transport);
  if (reorder < LEAST_REORDER_US) return 0;
  /* Feedback that says "lost" may have been sent before the packet came late: the next one has to say so, too. */
  int64_t late = mt_viewer_rtt_us(c->transport) + reorder + FEEDBACK_US - mt_send_time_age(sent->abs_send_time, now);
  if (mt_viewer_fate(c, sent) == MT_FATE_UNKNOWN) late += FEEDBACK_US;
  return late > 0 ? late : 0;
}

static bool is_held(const mt_consumer *c, uint64_t sequence) {
  for (unsigned i = 0; i < c->held_count; i++)
    if (c->held[i] == sequence) return true;
  return false;
}

/* True: the NACK needs no answer now. A packet without a number of the transport, or one that was sent again before, does not
 * wait. */
static bool hold(mt_core *core, mt_consumer *c, const mt_again *again, int64_t now) {
  const mt_sent *sent = again->sent;
  if (sent->again || !c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) return false;
  int64_t wait = wait_for(c, sent, now);
  if (!wait) return false;
  if (mt_viewer_fate(c, sent) == MT_FATE_RECEIVED || is_held(c, again->sequence)) return true;
  if (c->held_count == MT_MAX_HELD) return false;
  c->held[c->held_count++] = again->sequence;
  mt_list_append(&core->holding, &c->holding);
  mt_due(core, now + LEAST_REORDER_US);
  return true;
}

static void answer_held(mt_core *core, mt_consumer *c, int64_t now) {
  unsigned kept = 0;
  for (unsigned i = 0; i < c->held_count; i++) {
    mt_again again;
    if (!mt_again_find(c, c->held[i], &again) || mt_viewer_fate(c, again.sent) == MT_FATE_RECEIVED) continue;
    if (wait_for(c, again.sent, now)) c->held[kept++] = c->held[i];
    else if (!again.sent->again) answer(core, c, &again, now);
  }
  c->held_count = (uint8_t)kept;
  if (!kept) mt_list_remove(&c->holding);
}

int64_t mt_resend_tick(mt_core *core, int64_t now) {
  MT_EACH (item, &core->holding) answer_held(core, MT_OF(item, mt_consumer, holding), now);
  return mt_list_empty(&core->holding) ? INT64_MAX : now + LEAST_REORDER_US;
}

void mt_consumer_resend(mt_core *core, mt_consumer *c, uint16_t sequence, int64_t now) {
  if (!c->sent_most || !c->transport->srtp || !c->transport->selected) return;
  uint64_t wanted = mt_sequence_extend(c->highest, sequence);
  mt_again again;
  if (!mt_again_find(c, wanted, &again)) miss(core, c, wanted, now);
  else if (wanted < c->last_keyframe && mt_viewer_congested(c->transport, now)) return; /* the key frame needs the room */
  else if (!asked_too_soon(c, again.sent, now) && !hold(core, c, &again, now)) answer(core, c, &again, now);
}
