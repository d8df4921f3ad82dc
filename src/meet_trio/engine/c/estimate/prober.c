/* See prober.h. */
#include "estimate/prober.h"

#include "base/limits.h"

enum {
  PROBE_QUEUE_US = 50 * MT_MS,      /* that a cluster makes at most on a link that carries the estimate */
  PROBE_QUEUE_MOST_US = 75 * MT_MS, /* the same of a cluster that is longer because of jitter */
  PROBE_FIRST_US = 20 * MT_MS,      /* length of the first clusters */
  PROBE_LEAST_US = 20 * MT_MS,      /* and of the others */
  PROBE_MOST_US = 150 * MT_MS,
  PROBE_LONGEST_US = 300 * MT_MS, /* with the factor */
  PROBE_LEAST_BYTES = 1500,
  PROBE_LATE_US = 100 * MT_MS,       /* a cluster that takes that long more than its length ends */
  PROBE_RESULT_US = MT_SECOND,       /* feedback that comes later is not waited for */
  PROBE_AGAIN_US = 20 * MT_MS,       /* after a cluster that fitted */
  PROBE_RETRY_US = 300 * MT_MS,      /* after a cluster that showed nothing */
  PROBE_INTERVAL_US = MT_SECOND,     /* after the first one that did not fit, doubled with each other */
  PROBE_KNOWN_US = 2 * MT_SECOND,    /* longest interval if the rate was reached lately */
  PROBE_MAX_DOUBLED = 4,             /* so the interval grows to 16 s */
  PROBE_DRAIN_US = 250 * MT_MS,      /* after a cluster that did not fit the queue is its own for that long */
  PROBE_BLAME_US = 5 * MT_SECOND,    /* a queue that grows so soon after a raise was made by the raise */
  PROBE_FORGIVE_US = 20 * MT_SECOND, /* a raise that lasts so long makes up for wrong ones */
  PROBE_PENALTY_US = 1500 * MT_MS,   /* doubled with each wrong result */
  PROBE_MAX_WRONG = 2,
  PROBE_RECOVERY_US = 600 * MT_MS, /* after a queue grew */
};
static const double PROBE_FIRST = 3;    /* of the start */
static const double PROBE_FOLLOW = 2;   /* of the rate that fitted */
static const double PROBE_STEP = 3;     /* of the rate at most */
static const double PROBE_MARGIN = 1.1; /* of what the next layer needs */
static const double PROBE_ROOM = 1.3;   /* of what all streams want */
static const double PROBE_JITTER = 10;  /* times the jitter, at least: a shorter cluster shows nothing else */
static const double PROBE_LONGER_MOST = 8;

void mt_prober_init(mt_prober *p, int64_t now) { *p = (mt_prober){.id = p->id, .due = now, .longer = 1}; }

static void start(mt_prober *p, double bitrate, double bytes, double us, int64_t now) {
  p->state = MT_PROBER_SENDING;
  p->id = p->id == UINT8_MAX ? 1 : (uint8_t)(p->id + 1);
  p->bitrate = bitrate;
  p->left = (size_t)bytes;
  p->until = now + 2 * (int64_t)us + PROBE_LATE_US;
  p->cluster = (mt_cluster){0};
}

static double at_most(double value, double most) { return value < most ? value : most; }

/* How fast the next cluster leaves. 0: none is needed. */
static double next_bitrate(const mt_prober *p, const mt_prober_input *in) {
  double needed = PROBE_MARGIN * in->next, room = PROBE_ROOM * in->wanted;
  if (in->next <= 0 || in->rate >= needed || in->rate >= in->most) return 0;
  double bitrate = needed;
  if (!p->begun) bitrate = PROBE_FIRST * in->rate;
  else if (p->follow) bitrate = PROBE_FOLLOW * in->rate;
  if (bitrate < needed) bitrate = needed;
  if (bitrate > room && room > needed) bitrate = room;
  return at_most(at_most(bitrate, PROBE_STEP * in->rate), in->most);
}

void mt_prober_begin(mt_prober *p, const mt_prober_input *in, int64_t now) {
  if (p->state != MT_PROBER_IDLE || now < p->due) return;
  double bitrate = next_bitrate(p, in);
  if (bitrate <= in->rate) return;
  double us = at_most(PROBE_QUEUE_US * in->rate / (bitrate - in->rate), PROBE_MOST_US);
  if (us < PROBE_LEAST_US) us = PROBE_LEAST_US;
  if (!p->begun) us = PROBE_FIRST_US;
  if (us < PROBE_JITTER * in->jitter) us = PROBE_JITTER * in->jitter;
  us = at_most(us * p->longer, PROBE_LONGEST_US);
  double most = PROBE_QUEUE_MOST_US * in->rate / (bitrate - in->rate);
  if (us > most && most > PROBE_LEAST_US) us = most;
  double bytes = bitrate * us / MT_SECOND / 8;
  if (bytes < PROBE_LEAST_BYTES * p->longer) bytes = PROBE_LEAST_BYTES * p->longer;
  start(p, bitrate, bytes, bytes * 8 * MT_SECOND / bitrate, now);
  p->begun = true;
}

void mt_prober_knock(mt_prober *p, double bitrate, size_t bytes, int64_t now) {
  if (p->state == MT_PROBER_IDLE) start(p, bitrate, (double)bytes, 0, now);
}

static void wait_for_result(mt_prober *p, int64_t now) {
  p->state = MT_PROBER_WAITING;
  p->until = now + PROBE_RESULT_US;
}

void mt_prober_sent(mt_prober *p, uint64_t number, size_t bytes, int64_t now) {
  if (p->state != MT_PROBER_SENDING) return;
  mt_cluster_sent(&p->cluster, number, bytes, now);
  p->left -= bytes < p->left ? bytes : p->left;
  if (!p->left) wait_for_result(p, now);
}

void mt_prober_expire(mt_prober *p, int64_t now) {
  if (p->state == MT_PROBER_IDLE || now < p->until) return;
  if (p->state == MT_PROBER_SENDING && p->cluster.sent) wait_for_result(p, now);
  else {
    p->state = MT_PROBER_IDLE;
    p->due = now + PROBE_RETRY_US;
  }
}

static void fails(mt_prober *p, bool known, int64_t now) {
  int64_t interval = (int64_t)PROBE_INTERVAL_US << p->failures;
  if (p->failures < PROBE_MAX_DOUBLED) p->failures++;
  if (known && interval > PROBE_KNOWN_US) interval = PROBE_KNOWN_US;
  p->follow = false;
  p->longer = 1;
  p->failed_at = now;
  p->due = now + interval;
}

mt_cluster_verdict mt_prober_result(mt_prober *p, uint64_t reported, double loss, bool known, double *rate, int64_t now) {
  if (p->state != MT_PROBER_WAITING || reported <= p->cluster.last_number) return MT_CLUSTER_NOTHING;
  mt_cluster_verdict verdict = mt_cluster_judge(&p->cluster, loss, rate);
  p->state = MT_PROBER_IDLE;
  switch (verdict) {
  case MT_CLUSTER_FITS:
    p->failures = 0;
    p->follow = true;
    p->longer = 1;
    p->due = now + PROBE_AGAIN_US;
    p->raised_at = now;
    break;
  case MT_CLUSTER_SATURATED:
    fails(p, known, now);
    p->drained = now + PROBE_DRAIN_US;
    break;
  case MT_CLUSTER_NOTHING:
  case MT_CLUSTER_UNSURE:
    if (p->longer >= PROBE_LONGER_MOST) fails(p, known, now);
    else {
      p->longer *= 2;
      p->due = now + PROBE_RETRY_US;
    }
    break;
  }
  return verdict;
}

void mt_prober_overused(mt_prober *p, int64_t now) {
  int64_t due = now + PROBE_RECOVERY_US;
  if (p->raised_at && now - p->raised_at < PROBE_BLAME_US) {
    due = now + ((int64_t)PROBE_PENALTY_US << p->wrong);
    if (p->wrong < PROBE_MAX_WRONG) p->wrong++;
    p->raised_at = 0;
  } else if (p->raised_at && now - p->raised_at > PROBE_FORGIVE_US) {
    p->wrong = 0;
  }
  p->follow = false;
  if (p->due < due) p->due = due;
}
