/* See trend.h. */
#include "estimate/trend.h"

#include "base/limits.h"

#include <math.h>

enum {
  TREND_BURST_US = 5 * MT_MS,           /* packets that leave within that are a group */
  TREND_LONGEST_BURST_US = 100 * MT_MS, /* of packets that come together and join a group for that */
  TREND_JUMP_US = 3 * MT_SECOND,        /* between two groups on arrival: the line begins anew */
  TREND_MAX_REORDERED = 3,              /* groups in turn; then the line begins anew */
  TREND_MAX_CHANGES = 60,               /* the slope counts as much as after that many changes at most */
  TREND_GAIN = 4,                       /* by which the slope is multiplied for the comparison */
  TREND_OVER_MS = 10,                   /* above the threshold for that long: overuse */
  TREND_SPIKE_MS = 15,                  /* so far above the threshold it does not adapt */
  TREND_MAX_STEP_MS = 100,              /* time that one adaptation counts for at most */
  TREND_LEAST_THRESHOLD_MS = 6,
  TREND_MOST_THRESHOLD_MS = 600,
};
static const double TREND_SMOOTHING = 0.9; /* share of the old value in the smoothed delay */
static const double TREND_FIRST_THRESHOLD = 12.5;
static const double TREND_UP = 0.0087, TREND_DOWN = 0.039; /* of the distance, for each millisecond */

void mt_trend_init(mt_trend *t) { *t = (mt_trend){.threshold = TREND_FIRST_THRESHOLD, .over = -1}; }

void mt_trend_forget(mt_trend *t) {
  double threshold = t->threshold;
  unsigned changes = t->changes;
  mt_trend_init(t);
  t->threshold = threshold;
  t->changes = changes;
}

static double slope_of(const mt_trend *t) {
  double x = 0, y = 0, above = 0, below = 0;
  for (unsigned i = 0; i < t->count; i++) {
    x += t->points[i].arrival / t->count;
    y += t->points[i].delay / t->count;
  }
  for (unsigned i = 0; i < t->count; i++) {
    double dx = t->points[i].arrival - x;
    above += dx * (t->points[i].delay - y);
    below += dx * dx;
  }
  return below > 0 ? above / below : t->slope;
}

static void adapt_threshold(mt_trend *t, double size, int64_t arrival) {
  double elapsed = t->threshold_at ? (double)(arrival - t->threshold_at) / MT_MS : 0;
  t->threshold_at = arrival;
  if (size > t->threshold + TREND_SPIKE_MS) return;
  if (elapsed < 0) elapsed = 0;
  if (elapsed > TREND_MAX_STEP_MS) elapsed = TREND_MAX_STEP_MS;
  /* At most all of the way: with 0.039 and 100 ms it would be four times the distance. */
  double share = (size < t->threshold ? TREND_DOWN : TREND_UP) * elapsed;
  t->threshold += (share < 1 ? share : 1) * (size - t->threshold);
  if (t->threshold < TREND_LEAST_THRESHOLD_MS) t->threshold = TREND_LEAST_THRESHOLD_MS;
  if (t->threshold > TREND_MOST_THRESHOLD_MS) t->threshold = TREND_MOST_THRESHOLD_MS;
}

/* `departed`: milliseconds between the departures of this group and the one before. */
static void detect(mt_trend *t, double slope, double departed, int64_t arrival) {
  double size = (double)t->changes * slope * TREND_GAIN;
  if (t->changes < 2) return;
  if (size > t->threshold) {
    t->over = t->over < 0 ? departed / 2 : t->over + departed;
    t->times_over++;
    if (t->over > TREND_OVER_MS && t->times_over > 1 && slope >= t->slope) {
      t->over = 0;
      t->times_over = 0;
      t->state = MT_TREND_OVERUSE;
    }
  } else {
    t->over = -1;
    t->times_over = 0;
    t->state = size < -t->threshold ? MT_TREND_UNDERUSE : MT_TREND_NORMAL;
  }
  t->slope = slope;
  adapt_threshold(t, fabs(size), arrival);
}

static void add_change(mt_trend *t, const mt_group *g, double departed, double arrived) {
  if (!t->count) t->origin = g->last_arrival;
  if (t->changes < TREND_MAX_CHANGES) t->changes++;
  t->sum += arrived - departed;
  t->smoothed = TREND_SMOOTHING * t->smoothed + (1 - TREND_SMOOTHING) * t->sum;
  t->points[t->at].arrival = (double)(g->last_arrival - t->origin) / MT_MS;
  t->points[t->at].delay = t->smoothed;
  t->at = (t->at + 1) % MT_TREND_WINDOW;
  if (t->count < MT_TREND_WINDOW) t->count++;
  detect(t, t->count == MT_TREND_WINDOW ? slope_of(t) : t->slope, departed, g->last_arrival);
}

static bool joins(const mt_group *g, int64_t sent, int64_t arrival) {
  if (sent - g->first_sent <= TREND_BURST_US) return true;
  /* Packets that waited together somewhere, as for a radio's turn, arrive together. Their distance says nothing of the queue. */
  int64_t arrived = arrival - g->last_arrival;
  return arrived <= TREND_BURST_US && arrived < sent - g->last_sent && arrival - g->first_arrival < TREND_LONGEST_BURST_US;
}

/* The group before `g` is `t->previous`. */
static void end_group(mt_trend *t, const mt_group *g) {
  int64_t arrived = g->last_arrival - t->previous.last_arrival;
  if (arrived > TREND_JUMP_US || arrived < -TREND_JUMP_US) mt_trend_forget(t);
  else if (arrived < 0) {
    if (++t->reordered >= TREND_MAX_REORDERED) mt_trend_forget(t);
    return;
  } else {
    add_change(t, g, (double)(g->last_sent - t->previous.last_sent) / MT_MS, (double)arrived / MT_MS);
  }
  t->reordered = 0;
}

bool mt_trend_packet(mt_trend *t, int64_t sent, int64_t arrival, mt_group *ended) {
  mt_group *g = &t->current;
  if (t->has_current && sent < g->first_sent) return false; /* a late one of a group that has ended */
  if (t->has_current && joins(g, sent, arrival)) {
    if (sent > g->last_sent) g->last_sent = sent;
    if (arrival > g->last_arrival) g->last_arrival = arrival;
    if (arrival - sent < g->delay) g->delay = arrival - sent;
    return false;
  }
  bool ends = t->has_current;
  if (ends) {
    *ended = *g;
    if (t->has_previous) end_group(t, ended);
    t->previous = *ended;
    t->has_previous = true;
  }
  t->current = (mt_group){sent, sent, arrival, arrival, arrival - sent};
  t->has_current = true;
  return ends;
}
