/* A token bucket: it bounds a rate in the long run and allows a burst.
 *
 * A token stands for one unit of the caller's, a datagram or a byte. The caller fills the bucket and subtracts the tokens that it
 * uses from `level`. The bucket has no clock: the caller passes the time. A bucket of zeros is valid, and its first filling makes
 * it full.
 */
#ifndef MT_BASE_BUCKET_H
#define MT_BASE_BUCKET_H

#include "base/limits.h"

#include <stdint.h>

typedef struct {
  double level;   /* tokens; below 0 it is a debt that the next tokens pay */
  int64_t filled; /* microseconds: when it was filled last; 0: never */
} mt_bucket;

/* Adds the tokens of the time since the last filling, at `per_second`. The level never exceeds `burst` tokens. `now`:
 * microseconds. */
static inline void mt_bucket_fill(mt_bucket *b, double per_second, double burst, int64_t now) {
  b->level += (double)(now - b->filled) / MT_SECOND * per_second;
  if (!b->filled || b->level > burst) b->level = burst;
  b->filled = now;
}

#endif
