/* A token bucket: a rate in the long run, and a burst at once. Zeros are a full one. */
#ifndef MT_BASE_BUCKET_H
#define MT_BASE_BUCKET_H

#include "base/limits.h"

#include <stdint.h>

typedef struct {
  double level;   /* what may be taken now; in debt below 0 */
  int64_t filled; /* 0: never */
} mt_bucket;

/* What has come since it was filled last, at `per_second`; no more than `most` is kept. */
static inline void mt_bucket_fill(mt_bucket *b, double per_second, double most, int64_t now) {
  b->level += (double)(now - b->filled) / MT_SECOND * per_second;
  if (!b->filled || b->level > most) b->level = most;
  b->filled = now;
}

#endif
