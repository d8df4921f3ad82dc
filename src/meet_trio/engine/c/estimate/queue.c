/* See queue.h. */
#include "estimate/queue.h"

#include "base/limits.h"

enum {
  QUEUE_STRETCH_US = 10 * MT_SECOND, /* over which the base is the least delay */
  QUEUE_RECENT_US = 120 * MT_MS,     /* the newest groups are those of that time, */
  QUEUE_LEAST_GROUPS = 3,            /* but at least that many */
  QUEUE_JITTER_SHARE = 32,           /* a difference changes the jitter by one of that many parts */
  QUEUE_MOST_US = 10 * MT_SECOND,
};

static int64_t base_of(const mt_queue *q) { return q->base < q->base_before ? q->base : q->base_before; }

int64_t mt_queue_of(const mt_queue *q, int64_t delay) {
  int64_t above = q->stretch_began ? delay - base_of(q) : 0;
  return above < 0 ? 0 : above > QUEUE_MOST_US ? QUEUE_MOST_US : above;
}

static int64_t recent_least(const mt_queue *q) {
  unsigned newest = (q->at + MT_QUEUE_GROUPS - 1) % MT_QUEUE_GROUPS;
  int64_t least = q->groups[newest].delay, arrival = q->groups[newest].arrival;
  for (unsigned i = 1; i < q->count; i++) {
    unsigned k = (newest + MT_QUEUE_GROUPS - i) % MT_QUEUE_GROUPS;
    if (i >= QUEUE_LEAST_GROUPS && arrival - q->groups[k].arrival > QUEUE_RECENT_US) break;
    if (q->groups[k].delay < least) least = q->groups[k].delay;
  }
  return least;
}

int64_t mt_queue_newest(const mt_queue *q, int64_t delay) {
  if (!q->count) return 0;
  int64_t before = q->groups[(q->at + MT_QUEUE_GROUPS - 1) % MT_QUEUE_GROUPS].delay;
  return mt_queue_of(q, delay < before ? delay : before);
}

void mt_queue_group(mt_queue *q, int64_t arrival, int64_t delay) {
  if (!q->stretch_began) {
    q->base = q->base_before = delay;
    q->stretch_began = arrival;
  } else if (arrival - q->stretch_began > QUEUE_STRETCH_US || arrival < q->stretch_began - QUEUE_STRETCH_US) {
    q->base_before = q->base;
    q->base = delay;
    q->stretch_began = arrival;
  }
  if (delay < q->base) q->base = delay;
  if (q->count) {
    int64_t difference = delay - q->groups[(q->at + MT_QUEUE_GROUPS - 1) % MT_QUEUE_GROUPS].delay;
    if (difference < 0) difference = -difference;
    if (difference > MT_SECOND) difference = MT_SECOND;
    q->jitter += (difference - q->jitter) / QUEUE_JITTER_SHARE;
  }
  q->groups[q->at].arrival = arrival;
  q->groups[q->at].delay = delay;
  q->at = (q->at + 1) % MT_QUEUE_GROUPS;
  if (q->count < MT_QUEUE_GROUPS) q->count++;
  q->queue = q->count < QUEUE_LEAST_GROUPS ? 0 : mt_queue_of(q, recent_least(q));
}
