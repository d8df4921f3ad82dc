/* See resend.h. */
#include "egress/resend.h"

#include "base/sequence.h"
#include "egress/compose.h"
#include "egress/keyframes.h"
#include "egress/outgoing.h"
#include "paths/outlet.h"
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

static const mt_packet *find_packet(const mt_consumer *c, const mt_sent *sent) {
  if (!c->producer) return NULL;
  const mt_stream *s = &c->producer->streams[sent->stream];
  return s->generation == sent->generation ? mt_history_find(&s->history, sent->stream_sequence) : NULL;
}

/* The packet cannot be sent again. If the client needs it, only a key frame helps, and the client would ask for one a second or
 * more later. A number that was never sent is a packet that the publisher's stream misses itself: it may still come. What is
 * before the last key frame is not needed. */
static void miss(mt_core *core, mt_consumer *c, const mt_sent *slot, uint64_t wanted, int64_t now) {
  core->counters.retransmissions_missed++;
  bool was_sent = wanted <= c->highest && slot->sequence >= wanted;
  if (was_sent && !c->paused && wanted >= c->last_keyframe) mt_consumer_ask_keyframe(core, c, mt_consumer_current_stream(c), now);
}

void mt_consumer_resend(mt_core *core, mt_consumer *c, uint16_t sequence, int64_t now) {
  if (!c->sent || !c->transport->srtp || !c->transport->selected) return;
  uint64_t wanted = mt_sequence_extend(c->highest, sequence);
  mt_sent *sent = &c->sent[wanted % c->sent_slots];
  const mt_packet *p = wanted <= c->highest && sent->sequence == wanted ? find_packet(c, sent) : NULL;
  if (!p) {
    miss(core, c, sent, wanted, now);
    return;
  }
  if (asked_too_soon(c, sent, now)) return;
  if (c->resend_bytes <= 0 || c->transport->resend_bytes <= 0) {
    core->counters.retransmissions_refused++;
    return;
  }
  sent->resent = now;
  mt_numbers n = {sent->sequence, sent->timestamp, sent->picture_id, sent->tl0picidx, sent->marker};
  mt_stamps v = {sent->abs_send_time, sent->twcc};
  uint64_t rtx_index = 0;
  if (c->rtx_sender) {
    rtx_index = c->rtx_sender->next++;
    v = mt_new_stamps(c, now);
  }
  size_t len = mt_compose(c, mt_reserve(core), p, &n, rtx_index, &v);
  if (!len) return;
  mt_send(core, c->transport, len);
  if (rtx_index && c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) mt_downlink_sent(c->transport, v.twcc, len, 0, now);
  mt_downlink_repaired(c->transport, len);
  c->resend_bytes -= (int32_t)len;
  c->transport->resend_bytes -= (int32_t)len;
  core->counters.retransmissions++;
  c->stats.retransmissions++;
}

size_t mt_consumer_repeat(mt_core *core, mt_consumer *c, uint64_t sequence, uint8_t cluster, int64_t now) {
  if (!c->sent || !c->rtx_sender) return 0;
  const mt_sent *sent = &c->sent[sequence % c->sent_slots];
  const mt_packet *p = sent->sequence == sequence ? find_packet(c, sent) : NULL;
  if (!p) return 0;
  mt_numbers n = {sent->sequence, sent->timestamp, sent->picture_id, sent->tl0picidx, sent->marker};
  mt_stamps v = mt_new_stamps(c, now);
  size_t len = mt_compose(c, mt_reserve(core), p, &n, c->rtx_sender->next++, &v);
  if (!len) return 0;
  mt_send(core, c->transport, len);
  mt_downlink_sent(c->transport, v.twcc, len, cluster, now);
  core->counters.packets_repeated++;
  return len;
}
