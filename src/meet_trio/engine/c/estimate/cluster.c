/* See cluster.h. */
#include "estimate/cluster.h"

#include "base/limits.h"

#include <math.h>

enum {
  CLUSTER_LEAST_PACKETS = 4,    /* received */
  CLUSTER_LEAST_US = 3 * MT_MS, /* from the first departure to the last */
};
static const double CLUSTER_SATURATED = 0.1; /* slope: the link carries less than 0.91 of the rate */
static const double CLUSTER_ERRORS = 3;      /* errors that a slope has to be above 0 to count */
static const double CLUSTER_UNSURE = 0.15;   /* error of the slope above which it says nothing */
static const double CLUSTER_LOSS = 0.08;     /* share above the usual that is lost only where the queue is full, */
static const double CLUSTER_SPREADS = 2.5;   /* if it is also that many times what chance makes */

void mt_cluster_sent(mt_cluster *c, uint64_t number, size_t bytes, int64_t now) {
  if (!c->sent++) c->first_sent = now;
  c->last_sent = now;
  c->last_number = number;
  c->last_bytes = bytes;
  c->sent_bytes += bytes;
}

void mt_cluster_received(mt_cluster *c, int64_t sent, int64_t arrival, size_t bytes) {
  if (!c->received++) {
    c->first_delay = arrival - sent;
    c->first_arrival = c->last_arrival = arrival;
    c->first_bytes = bytes;
  }
  if (arrival < c->first_arrival) {
    c->first_arrival = arrival;
    c->first_bytes = bytes;
  }
  if (arrival > c->last_arrival) c->last_arrival = arrival;
  c->received_bytes += bytes;
  double x = (double)(sent - c->first_sent) / MT_MS, y = (double)(arrival - sent - c->first_delay) / MT_MS;
  c->x += x;
  c->y += y;
  c->xx += x * x;
  c->xy += x * y;
  c->yy += y * y;
}

void mt_cluster_lost(mt_cluster *c) { c->lost++; }

/* The slope of the line through the delays, and its standard error. False: there is none. */
static bool fit(const mt_cluster *c, double *slope, double *error) {
  double n = c->received, spread = c->xx - c->x * c->x / n;
  if (!(spread > 0)) return false;
  double common = c->xy - c->x * c->y / n;
  *slope = common / spread;
  double rest = c->yy - c->y * c->y / n - *slope * common;
  *error = sqrt((rest > 0 ? rest : 0) / (n - 2) / spread);
  return true;
}

mt_cluster_verdict mt_cluster_judge(const mt_cluster *c, double loss, double *rate) {
  double slope, error, departed = (double)(c->last_sent - c->first_sent);
  if (c->received < CLUSTER_LEAST_PACKETS || departed < CLUSTER_LEAST_US) return MT_CLUSTER_NOTHING;
  if (!fit(c, &slope, &error)) return MT_CLUSTER_NOTHING;
  double sent = (double)(c->sent_bytes - c->last_bytes) * 8 * MT_SECOND / departed;
  double arrived = (double)(c->last_arrival - c->first_arrival);
  double came = arrived > 0 ? (double)(c->received_bytes - c->first_bytes) * 8 * MT_SECOND / arrived : sent;
  double n = c->received + c->lost, usual = n * loss, spread = sqrt(usual * (1 - loss));
  bool rises = slope > CLUSTER_SATURATED && slope > CLUSTER_ERRORS * error;
  bool drops = c->lost > usual + CLUSTER_SPREADS * spread + 1 && c->lost > usual + CLUSTER_LOSS * n;
  if (drops || (rises && error < CLUSTER_UNSURE + slope / 2)) {
    *rate = came < sent ? came : sent;
    return MT_CLUSTER_SATURATED;
  }
  *rate = sent;
  return error > CLUSTER_UNSURE || slope > CLUSTER_SATURATED ? MT_CLUSTER_UNSURE : MT_CLUSTER_FITS;
}
