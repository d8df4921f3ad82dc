/* See loss.h. */
#include "estimate/loss.h"

#include "base/limits.h"

#include <math.h>

enum {
  LOSS_OUTAGE_US = 300 * MT_MS, /* nothing that left for that long came: the path was down, which says nothing about a rate */
  LOSS_LEAST_PACKETS = 20,      /* of an observation */
  LOSS_LEAST_US = 250 * MT_MS,  /* of departures, of an observation */
  LOSS_MOST_US = 3 * MT_SECOND, /* a longer observation is dropped: the stream paused */
  LOSS_OLD_US = 10 * MT_SECOND, /* older observations tell nothing of the link as it is */
  LOSS_SUDDEN_RUNS = 40,        /* runs of packets in observations in turn, until a trial begins */
  LOSS_CALM = 20,               /* observations after a failed trial until the next one */
  LOSS_CANDIDATES = 5,          /* bounds that are compared, by the rate that left and by the rate that came */
  LOSS_SHARES = 10,             /* probabilities that are compared for each */
};
static const double LOSS_IGNORED = 0.02; /* average share that is never a bound */
static const double LOSS_TRIAL = 0.9;    /* of what arrived: the bound of a trial */
static const double LOSS_LESS = 0.8;     /* of what left before: the sender follows the trial */
static const double LOSS_SUDDEN = 0.3;   /* share of the newest observation above the path's own: a trial */
static const double LOSS_EVIDENCE = 10;  /* least difference of the logarithms of the two likelihoods */
static const double LOSS_WEIGHT = 0.7;   /* of a run of packets */
static const double LOSS_DECAY = 0.92;   /* weight of an observation beside the next newer one */
static const double LOSS_RECENT = 0.7;   /* weight of an observation in the recent share beside the next newer one */
static const double LOSS_HOPELESS = 0.4; /* share that always begins a trial, and is never taken back */
static const double LOSS_OWN_MOST = 0.3; /* share that is believed to be the path's own */
static const double LOSS_STAYS = 0.75;   /* so much of the share stays in a trial: the loss is the path's own */

static void begin_anew(mt_loss *l) {
  l->now.first = l->now.last = 0;
  l->now.packets = l->now.lost = 0;
  l->now.bytes = 0;
}

static void count_packets(mt_loss *l, int64_t first, int64_t last, unsigned packets, unsigned lost, uint64_t bytes) {
  if (!l->now.first || first < l->now.first) l->now.first = first;
  if (last > l->now.last) l->now.last = last;
  l->now.packets += packets;
  l->now.lost += lost;
  l->now.bytes += bytes;
}

void mt_loss_lost(mt_loss *l, int64_t sent, size_t bytes) {
  l->losses++;
  if (!l->missing.packets) l->runs++;
  if (!l->missing.packets++) l->missing.first = sent;
  l->missing.bytes += bytes;
}

void mt_loss_received(mt_loss *l, int64_t sent, size_t bytes) {
  if (l->missing.packets && sent - l->missing.first < LOSS_OUTAGE_US) {
    count_packets(l, l->missing.first, sent, l->missing.packets, l->missing.packets, l->missing.bytes);
  } else if (l->missing.packets) {
    begin_anew(l); /* an outage */
  }
  l->missing.packets = 0;
  l->missing.bytes = 0;
  count_packets(l, sent, sent, 1, 0, bytes);
}

void mt_loss_late(mt_loss *l) {
  if (l->now.lost) l->now.lost--;
  else if (l->count) {
    mt_loss_observation *o = &l->seen[(l->at + MT_LOSS_OBSERVATIONS - 1) % MT_LOSS_OBSERVATIONS];
    if (o->lost >= 1) o->lost--;
  }
}

double mt_loss_share(const mt_loss *l) { return l->recent_packets > 0 ? l->recent_lost / l->recent_packets : 0; }

static const mt_loss_observation *newest(const mt_loss *l, unsigned i) {
  return &l->seen[(l->at + MT_LOSS_OBSERVATIONS - i) % MT_LOSS_OBSERVATIONS];
}

/* Losses come in runs, so packets are not independent: of so many packets each counts as one. */
static double run_length(const mt_loss *l) { return l->runs >= 1 && l->losses > l->runs ? l->losses / l->runs : 1; }

/* The logarithm of the likelihood of all observations if `share` is lost below `bound`, and all that is above it. */
static double likelihood(const mt_loss *l, double share, double bound) {
  double sum = 0, weight = LOSS_WEIGHT / run_length(l);
  for (unsigned i = 1; i <= l->count; i++, weight *= LOSS_DECAY) {
    const mt_loss_observation *o = newest(l, i);
    double p = share;
    if (o->rate > bound) p += (1 - share) * (1 - bound / o->rate);
    if (p < 0.001) p = 0.001;
    if (p > 0.999) p = 0.999;
    sum += weight * (o->lost * log(p) + (o->packets - o->lost) * log(1 - p));
  }
  return sum;
}

/* The average share of the loss, and the highest rate of an observation. Without the newest `skip` observations. */
static double average(const mt_loss *l, unsigned skip, double *highest) {
  double packets = 0, lost = 0, weight = 1;
  *highest = 0;
  for (unsigned i = 1 + skip; i <= l->count; i++, weight *= LOSS_DECAY) {
    const mt_loss_observation *o = newest(l, i);
    packets += weight * o->packets;
    lost += weight * o->lost;
    if (o->rate > *highest) *highest = o->rate;
  }
  return packets > 0 ? lost / packets : 0;
}

/* What arrived while much was lost, in bit/s: on a full link that is its capacity. */
static double delivered(const mt_loss *l, double share) {
  double sum = 0, weights = 0, weight = 1;
  for (unsigned i = 1; i <= l->count; i++, weight *= LOSS_DECAY) {
    const mt_loss_observation *o = newest(l, i);
    if (o->lost <= share * o->packets) continue;
    sum += weight * o->rate * (1 - o->lost / o->packets);
    weights += weight;
  }
  return weights > 0 ? sum / weights : 0;
}

/* The bound of the most likely model. 0: one without a bound is nearly as likely. */
static double congestion_bound(mt_loss *l) {
  static const double shares[LOSS_SHARES] = {0, 0.005, 0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.22, 0.3};
  static const double parts[LOSS_CANDIDATES] = {0.45, 0.6, 0.72, 0.84, 0.92};
  static const double arrived[LOSS_CANDIDATES] = {0.75, 0.9, 1, 1.1, 1.25};
  double highest, found = 0, share = average(l, 0, &highest);
  l->own = share;
  if (share < LOSS_IGNORED) return 0;
  double best = likelihood(l, share, INFINITY) + LOSS_EVIDENCE, came = delivered(l, share);
  for (unsigned c = 0; c < 2 * LOSS_CANDIDATES; c++)
    for (unsigned k = 0; k < LOSS_SHARES && shares[k] <= share; k++) {
      double bound = c < LOSS_CANDIDATES ? highest * parts[c] : came * arrived[c - LOSS_CANDIDATES];
      double value = likelihood(l, shares[k], bound);
      if (value <= best) continue;
      best = value;
      found = bound;
      l->own = shares[k];
    }
  return found;
}

/* The newest observation of a trial. */
static mt_loss_verdict end_trial(mt_loss *l, const mt_loss_observation *o, double *bound) {
  double share = o->lost / o->packets;
  if (o->rate > LOSS_LESS * l->trial_sent) return MT_LOSS_NOTHING; /* the sender has not followed yet */
  bool stays = share > l->trial * LOSS_STAYS && l->trial < LOSS_HOPELESS;
  l->trial = 0;
  if (!stays) return MT_LOSS_NOTHING;
  l->own = share;
  l->calm = LOSS_CALM;
  *bound = l->trial_rate;
  return MT_LOSS_TAKEN_BACK;
}

static mt_loss_verdict begin_trial(mt_loss *l, const mt_loss_observation *o, double rate, double arriving, int64_t now,
                                   double *bound) {
  double share = o->lost / o->packets;
  l->sudden = 0;
  l->trial = share;
  l->trial_rate = rate;
  l->trial_sent = o->rate;
  l->trial_from = now;
  double came = o->rate * (1 - share);
  *bound = LOSS_TRIAL * (arriving > 0 && arriving < came ? arriving : came);
  return MT_LOSS_BOUND;
}

mt_loss_verdict mt_loss_judge(mt_loss *l, double rate, double arriving, int64_t now, double *bound) {
  double elapsed = (double)(l->now.last - l->now.first);
  if (!l->now.first || l->now.packets < LOSS_LEAST_PACKETS || elapsed < LOSS_LEAST_US) return MT_LOSS_NOTHING;
  mt_loss_observation *o = &l->seen[l->at];
  bool old = l->trial > 0 && l->now.first < l->trial_from;
  *o = (mt_loss_observation){l->now.packets, l->now.lost, (double)l->now.bytes * 8 * MT_SECOND / elapsed, l->now.last};
  begin_anew(l);
  if (elapsed > LOSS_MOST_US) return MT_LOSS_NOTHING;
  l->at = (l->at + 1) % MT_LOSS_OBSERVATIONS;
  if (l->count < MT_LOSS_OBSERVATIONS) l->count++;
  while (newest(l, l->count)->last < o->last - LOSS_OLD_US) l->count--;
  l->recent_packets = l->recent_packets * LOSS_RECENT + o->packets;
  l->recent_lost = l->recent_lost * LOSS_RECENT + o->lost;
  l->losses *= LOSS_DECAY;
  l->runs *= LOSS_DECAY;
  if (l->calm) l->calm--;
  if (l->trial > 0) return old ? MT_LOSS_NOTHING : end_trial(l, o, bound);
  double sudden = l->own + LOSS_SUDDEN < LOSS_HOPELESS ? l->own + LOSS_SUDDEN : LOSS_HOPELESS;
  /* One observation may be one long run of losses; the link's capacity stays what it is. */
  l->sudden = o->lost / o->packets > sudden ? l->sudden + o->packets : 0;
  if (!l->calm && l->sudden >= LOSS_SUDDEN_RUNS * run_length(l)) return begin_trial(l, o, rate, arriving, now, bound);
  double own = l->own;
  *bound = congestion_bound(l);
  if (l->own > LOSS_OWN_MOST) l->own = LOSS_OWN_MOST;
  if (l->sudden > 0) l->own = own; /* it is not known yet what this is */
  return *bound > 0 && *bound < rate ? MT_LOSS_BOUND : MT_LOSS_NOTHING;
}
