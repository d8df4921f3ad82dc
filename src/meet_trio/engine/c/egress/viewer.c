/* See viewer.h. */
#include "egress/viewer.h"

enum {
  LOSS_UNITS = 256,                 /* fraction_lost is in 1/256 */
  SAMPLE_US = 900 * MT_MS,          /* reports of this time make a sample; clients report about once a second */
  SAMPLE_PACKETS = 25,              /* if they are about this many packets */
  REPORTS_LAST_US = 10 * MT_SECOND, /* reports of consumers without RTX are used if there were no others for this time */
};

uint8_t mt_viewer_loss_level(const mt_transport *t) { return t->loss.level; }

int64_t mt_viewer_rtt_us(const mt_transport *t) { return t->stats.rtt_us; }

void mt_viewer_reported(mt_consumer *c, uint8_t fraction_lost, int64_t now) {
  mt_transport *t = c->transport;
  mt_reported_loss *r = &t->reported_loss;
  double expected = (double)(c->packets - c->packets_reported);
  c->packets_reported = c->packets;
  if (c->rtx_sender) r->with_rtx = now;
  else if (r->with_rtx && now - r->with_rtx < REPORTS_LAST_US) return;
  if (!r->since) r->since = now;
  r->expected += expected;
  r->lost += expected * fraction_lost / LOSS_UNITS;
  if (now - r->since < SAMPLE_US || r->expected < SAMPLE_PACKETS) return;
  mt_loss_sample(&t->loss, r->lost / r->expected);
  r->expected = r->lost = 0;
  r->since = now;
}

void mt_viewer_round(mt_transport *t, int64_t now) { mt_loss_adapt(&t->loss, now); }
