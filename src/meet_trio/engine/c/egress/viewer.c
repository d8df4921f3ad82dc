/* See viewer.h. */
#include "egress/viewer.h"

enum {
  LONG_QUEUE_US = 60 * MT_MS,       /* longer than what one frame makes */
  SAMPLE_US = 400 * MT_MS,          /* reports of this time make a sample; clients report about once a second */
  CONGESTED_US = 4 * MT_SECOND,     /* after a fall of the estimate */
  SAMPLE_PACKETS = 25,              /* if they are about this many packets */
  REPORTS_LAST_US = 10 * MT_SECOND, /* reports of consumers without RTX are used if there were no others for this time */
};

uint8_t mt_viewer_loss_level(const mt_transport *t) { return t->loss.level; }

int64_t mt_viewer_rtt_us(const mt_transport *t) {
  if (t->stats.rtt_us || !t->downlink) return t->stats.rtt_us;
  return mt_estimator_estimate(t->downlink->estimator)->rtt_us; /* too long by the client's wait for feedback */
}

int64_t mt_viewer_reorder_us(const mt_transport *t) {
  return t->downlink ? mt_estimator_estimate(t->downlink->estimator)->reorder_us : 0;
}

mt_fate mt_viewer_fate(const mt_consumer *c, const mt_sent *sent) {
  const mt_transport *t = c->transport;
  if (!t->downlink || !c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) return MT_FATE_UNKNOWN;
  return mt_estimator_packet_fate(t->downlink->estimator, sent->twcc);
}

bool mt_viewer_congested(const mt_transport *t, int64_t now) {
  const mt_downlink *d = t->downlink;
  return d && d->congested && now - d->congested < CONGESTED_US;
}

bool mt_viewer_queue_is_long(const mt_transport *t) {
  if (!t->downlink) return false;
  const mt_estimate *e = mt_estimator_estimate(t->downlink->estimator);
  return e->overused && e->queue_us > LONG_QUEUE_US;
}

/* The numbers that the consumer has passed over: packets that were lost on the way from the publisher and have not come yet. What
 * waits for the pacer is none of them. */
static int64_t holes(const mt_consumer *c) {
  return c->newest_sent < c->first ? 0 : (int64_t)(c->newest_sent + 1 - c->first) - (int64_t)c->packets;
}

/* What was lost cannot be more than what was sent, whatever the client says. */
static void count_lost(mt_core *core, mt_consumer *c) {
  int64_t sent = (int64_t)c->packets, lost = c->lost_reported < sent ? c->lost_reported : sent;
  if (lost <= c->lost_counted) return;
  core->counters.rtp_lost_out += (uint64_t)(lost - c->lost_counted);
  c->lost_counted = lost;
}

void mt_viewer_reported(mt_core *core, mt_consumer *c, int32_t total_lost, int64_t now) {
  mt_transport *t = c->transport;
  mt_reported_loss *r = &t->reported_loss;
  int64_t lost_by_now = total_lost - holes(c), lost = lost_by_now - c->lost_reported;
  int64_t expected = (int64_t)(c->packets - c->packets_reported);
  c->lost_reported = lost_by_now;
  c->packets_reported = c->packets;
  count_lost(core, c);
  if (c->rtx_sender) r->with_rtx = now;
  else if (r->with_rtx && now - r->with_rtx < REPORTS_LAST_US) return;
  if (!r->since) r->since = now;
  r->expected += (double)expected;
  r->lost += (double)(lost > expected ? expected : lost < -expected ? -expected : lost);
  if (now - r->since < SAMPLE_US || r->expected < SAMPLE_PACKETS) return;
  double share = r->lost > 0 ? r->lost / r->expected : 0;
  /* What a full queue loses says nothing about the path. */
  if (!mt_viewer_congested(t, now) || share < t->loss.share) mt_loss_level_sample(&t->loss, share);
  if (t->downlink && !t->stats.transport_cc_received)
    mt_estimator_loss_report(t->downlink->estimator, (float)share, t->stats.rtt_us);
  r->expected = r->lost = 0;
  r->since = now;
}

void mt_viewer_round(mt_transport *t, int64_t now) { mt_loss_level_adapt(&t->loss, now); }
