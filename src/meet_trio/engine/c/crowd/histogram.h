/* A histogram of times: buckets that are a thirty-second wide, relative to the time. Its memory does not grow.
 *
 * Times below 32 us have a bucket each. Above, each power of two has 32 buckets. The last bucket has all times from 2^26 us, 67 s, on.
 */
#ifndef MT_CROWD_HISTOGRAM_H
#define MT_CROWD_HISTOGRAM_H

#include <stdint.h>

enum {
  MT_HISTOGRAM_BITS = 5,                                                     /* of the mantissa: 32 buckets for a power of two */
  MT_HISTOGRAM_EXACT = 1 << MT_HISTOGRAM_BITS,                               /* us: shorter times have a bucket each */
  MT_HISTOGRAM_OCTAVES = 21,                                                 /* powers of two from MT_HISTOGRAM_EXACT on */
  MT_HISTOGRAM_BUCKETS = (MT_HISTOGRAM_OCTAVES + 1) * MT_HISTOGRAM_EXACT + 1 /* and the last one */
};

typedef struct {
  uint64_t counts[MT_HISTOGRAM_BUCKETS];
  int64_t longest; /* us */
} mt_histogram;

/* The bucket of a time in us. One below 0 counts as 0. */
static inline unsigned mt_histogram_bucket(int64_t time) {
  if (time < MT_HISTOGRAM_EXACT) return time < 0 ? 0 : (unsigned)time;
  if (time >> (MT_HISTOGRAM_BITS + MT_HISTOGRAM_OCTAVES)) return MT_HISTOGRAM_BUCKETS - 1;
  unsigned shift = 63 - MT_HISTOGRAM_BITS - (unsigned)__builtin_clzll((unsigned long long)time);
  return (shift << MT_HISTOGRAM_BITS) + (unsigned)(time >> shift);
}

static inline void mt_histogram_add(mt_histogram *h, int64_t time) {
  h->counts[mt_histogram_bucket(time)]++;
  if (time > h->longest) h->longest = time;
}

#endif
