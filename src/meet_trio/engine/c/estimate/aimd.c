/* See aimd.h. */
#include "estimate/aimd.h"

#include "base/limits.h"

#include <math.h>

enum {
  AIMD_MAX_STEP_US = 200 * MT_MS,    /* time that one update counts for at most */
  AIMD_CAPACITY_US = 30 * MT_SECOND, /* that a capacity is remembered */
  AIMD_DETECTION_US = 100 * MT_MS,   /* that the detector of overuse takes */
  AIMD_LEAST_WAIT_US = 50 * MT_MS,   /* of the round trip, between two falls */
  AIMD_MOST_WAIT_US = 300 * MT_MS,
  AIMD_STANDS_US = 200 * MT_MS,        /* a queue that is still there so long after it could fall is no rest of it */
  AIMD_LONG_QUEUE_US = 80 * MT_MS,     /* a longer queue makes the fall deeper */
  AIMD_LONGEST_QUEUE_US = 480 * MT_MS, /* and this one makes it deepest */
  AIMD_STUCK = 6,                      /* falls in turn that do not help: the queue is not this stream's */
  AIMD_PACKET_BITS = 9600,
  AIMD_LEAST_STEP = 4000, /* bit/s in a second */
  AIMD_ROOM = 10000,      /* bit/s that a low rate may grow above what arrives */
};
static const double AIMD_BACKOFF = 0.85;      /* of what arrives */
static const double AIMD_GENTLE = 0.92;       /* of what the link carries, if the queue is short */
static const double AIMD_DEEPER = 0.15;       /* less than that for the longest queue */
static const double AIMD_GROWTH = 1.08;       /* in a second */
static const double AIMD_NEAR_GROWTH = 0.015; /* of the rate in a second, near the capacity, at least */
static const double AIMD_NEAR = 0.75;         /* of the capacity: from there growth is slow */
static const double AIMD_ABOVE = 1.3;         /* of the capacity: above that it is forgotten */
static const double AIMD_HEADROOM = 1.5;      /* of what arrives: growth ends there */
static const double AIMD_LIMITED = 0.7;       /* of the rate: if less arrives, the application limits it */
static const double AIMD_OTHER_LINK = 0.25;   /* difference from the known capacity that replaces it */
static const double AIMD_CAPACITY_STEP = 0.3; /* weight of a new capacity */
static const double AIMD_SHORTER = 0.8;       /* of the queue before: it became shorter */
static const double AIMD_OVERSHOT = 1.1;      /* of the rate: who sends more fills the queue itself */
static const double AIMD_FUTILE = 0.95;       /* fall if the rate is already below what the link carries */

void mt_aimd_learn(mt_aimd *a, double rate, int64_t now) {
  if (!a->capacity || fabs(rate - a->capacity) > AIMD_OTHER_LINK * a->capacity) a->capacity = rate;
  else a->capacity += AIMD_CAPACITY_STEP * (rate - a->capacity);
  a->capacity_at = now;
}

/* More has left since the last fall than the rate allows, as bursts and retransmissions do: the queue may be this stream's. */
static bool overshot(const mt_aimd *a, const mt_aimd_input *in, int64_t now) {
  double sent = (double)(in->sent - a->sent_before) * MT_BITS * MT_SECOND;
  return sent > AIMD_OVERSHOT * a->rate * (double)(now - a->fell_at);
}

static mt_aimd_change fall(mt_aimd *a, const mt_aimd_input *in, int64_t now) {
  a->held = true;
  if (now < a->decrease_at) return MT_AIMD_NOTHING;
  bool again = a->queue_before > 0;
  bool shorter = (double)in->queue < AIMD_SHORTER * (double)a->queue_before;
  if (again && shorter) { /* it empties already */
    a->queue_before = in->queue;
    a->stuck = 0;
    a->decrease_at = now + AIMD_LEAST_WAIT_US;
    return MT_AIMD_NOTHING;
  }
  double capacity = in->arriving > in->capacity ? in->arriving : in->capacity;
  if (capacity <= 0 || (in->is_short && in->capacity <= 0 && capacity < a->rate)) capacity = a->rate;
  double length = (double)(in->queue - AIMD_LONG_QUEUE_US) / (AIMD_LONGEST_QUEUE_US - AIMD_LONG_QUEUE_US);
  double deeper = length < 0 ? 0 : length > 1 ? AIMD_DEEPER : length * AIMD_DEEPER;
  double backoff = in->is_short ? AIMD_GENTLE : AIMD_BACKOFF;
  double target = (backoff - deeper) * capacity;
  int64_t wait = in->rtt < AIMD_LEAST_WAIT_US ? AIMD_LEAST_WAIT_US : in->rtt > AIMD_MOST_WAIT_US ? AIMD_MOST_WAIT_US : in->rtt;
  a->decrease_at = now + wait + AIMD_DETECTION_US;
  a->stuck = !again ? 0 : overshot(a, in, now) ? a->stuck : a->stuck + 1;
  a->fell_at = now;
  a->sent_before = in->sent;
  a->queue_before = in->queue > 0 ? in->queue : 1;
  mt_aimd_learn(a, capacity, now);
  a->resume = backoff * capacity;
  if (target < a->rate) a->rate = target;
  else a->rate *= AIMD_FUTILE;
  if (a->stuck < (in->competing ? 1 : AIMD_STUCK)) return MT_AIMD_FELL;
  a->stuck = 0;
  a->queue_before = 0;
  return MT_AIMD_STUCK;
}

static double step(const mt_aimd *a, const mt_aimd_input *in, double seconds) {
  if (!a->capacity || a->rate < AIMD_NEAR * a->capacity) return a->rate * (pow(AIMD_GROWTH, seconds) - 1);
  double response = 2 * (double)((int64_t)in->rtt + AIMD_DETECTION_US) / MT_SECOND;
  double each = AIMD_PACKET_BITS / response;
  if (each < AIMD_LEAST_STEP) each = AIMD_LEAST_STEP;
  if (each < AIMD_NEAR_GROWTH * a->rate) each = AIMD_NEAR_GROWTH * a->rate;
  if (each > (AIMD_GROWTH - 1) * a->rate && each > AIMD_LEAST_STEP) each = (AIMD_GROWTH - 1) * a->rate;
  return each * seconds;
}

mt_aimd_change mt_aimd_update(mt_aimd *a, const mt_aimd_input *in, int64_t now) {
  int64_t elapsed = now - a->updated;
  a->updated = now;
  if (in->overused) return fall(a, in, now);
  /* A queue that neither grows nor empties: the fall was too small. */
  if (a->held && in->queue > in->empty) return now > a->decrease_at + AIMD_STANDS_US ? fall(a, in, now) : MT_AIMD_NOTHING;
  double before = a->rate;
  if (a->held && a->resume > a->rate) a->rate = a->resume;
  a->held = false;
  a->resume = 0;
  a->queue_before = 0;
  a->stuck = 0;
  if (a->capacity && (now - a->capacity_at > AIMD_CAPACITY_US || in->arriving > AIMD_ABOVE * a->capacity)) a->capacity = 0;
  if (in->arriving < AIMD_LIMITED * a->rate) return a->rate > before ? MT_AIMD_GREW : MT_AIMD_NOTHING;
  if (elapsed > AIMD_MAX_STEP_US) elapsed = AIMD_MAX_STEP_US;
  double most = AIMD_HEADROOM * in->arriving + AIMD_ROOM;
  if (most > in->most) most = in->most;
  double grown = a->rate + step(a, in, (double)elapsed / MT_SECOND);
  if (grown > most) grown = most;
  if (grown > a->rate) a->rate = grown;
  return a->rate > before ? MT_AIMD_GREW : MT_AIMD_NOTHING;
}
