/* How long packets wait in front of the receiver now: the least delay of the newest groups above the least delay of the last 10 to
 * 20 s.
 *
 * The trend alone sees only changes, so a queue that stands is invisible to it. The least of several groups is not moved by single
 * late packets, as jitter makes them; a queue lifts all of them. Clocks of the two ends may differ by any amount, and may drift.
 */
#ifndef MT_ESTIMATE_QUEUE_H
#define MT_ESTIMATE_QUEUE_H

#include <stdint.h>

enum { MT_QUEUE_GROUPS = 16 }; /* newest groups that are kept */

typedef struct {
  int64_t base, base_before; /* microseconds: the least delay of this stretch and of the one before */
  int64_t stretch_began;     /* arrival; microseconds. 0: no packet came yet */
  struct {
    int64_t arrival, delay;
  } groups[MT_QUEUE_GROUPS];
  unsigned count, at;
  int64_t jitter; /* microseconds: usual difference between neighbouring groups */
  int64_t queue;  /* microseconds */
} mt_queue;

void mt_queue_group(mt_queue *q, int64_t arrival, int64_t delay);
/* The delay of a packet above the base, in microseconds, at least 0. */
int64_t mt_queue_of(const mt_queue *q, int64_t delay);
/* The queue as the last group alone and the one that has not ended yet, with this delay, see it: a steep growth is seen sooner. */
int64_t mt_queue_newest(const mt_queue *q, int64_t delay);

#endif
