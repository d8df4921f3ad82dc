/* The rate of the delay-based part: draft-ietf-rmcat-gcc-02 section 5.5.
 *
 * It grows while nothing queues: by a share of itself far from the link's known capacity, by about a packet in a response time near
 * it. It falls below what arrives as soon as a queue grows, and deeper if the queue is long, so that the queue empties. Then it is
 * held until the queue is gone.
 */
#ifndef MT_ESTIMATE_AIMD_H
#define MT_ESTIMATE_AIMD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  double rate;          /* bit/s */
  double capacity;      /* bit/s that the link carried when a queue grew; 0: not known */
  int64_t capacity_at;  /* microseconds: when that was measured last */
  int64_t updated;      /* microseconds */
  int64_t decrease_at;  /* microseconds: the next fall is not before that */
  int64_t queue_before; /* microseconds: the queue at the last fall */
  int64_t fell_at;      /* microseconds: the last fall */
  uint64_t sent_before; /* mt_aimd_input.sent then */
  double resume;        /* bit/s: the rate when the queue is gone; 0: none */
  unsigned stuck;       /* falls in turn that did not make the queue shorter */
  bool held;
} mt_aimd;

typedef struct {
  bool overused;
  bool is_short;        /* the queue may be that of one frame */
  bool competing;       /* others were found to fill the queue */
  int64_t queue, empty; /* microseconds: the queue, and up to which length it counts as gone */
  double arriving;      /* bit/s that arrive on average; 0: not known */
  double capacity;      /* bit/s that arrive while the link is busy; 0: not known */
  double most;          /* bit/s that growth may reach */
  uint32_t rtt;         /* microseconds */
  uint64_t sent;        /* bytes that have left in all */
} mt_aimd_input;

typedef enum { MT_AIMD_NOTHING, MT_AIMD_FELL, MT_AIMD_GREW, MT_AIMD_STUCK /* fell often, and the queue stays */ } mt_aimd_change;

mt_aimd_change mt_aimd_update(mt_aimd *a, const mt_aimd_input *in, int64_t now);
/* The link carries `rate` bit/s and no more. */
void mt_aimd_learn(mt_aimd *a, double rate, int64_t now);

#endif
