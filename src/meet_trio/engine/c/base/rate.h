/* How many bits a second pass, counted over about a second. */
#ifndef MT_BASE_RATE_H
#define MT_BASE_RATE_H

#include <stdint.h>

typedef struct {
  uint64_t at_mark; /* bytes counted when the last stretch began */
  uint32_t bitrate; /* bit/s, in the stretch before */
} mt_rate;

/* A stretch of `elapsed` microseconds ends, `bytes` were counted since the beginning. Returns its bitrate. */
static inline uint32_t mt_rate_update(mt_rate *rate, uint64_t bytes, int64_t elapsed) {
  double bps = elapsed > 0 ? (double)(bytes - rate->at_mark) * 8e6 / (double)elapsed : 0;
  rate->at_mark = bytes;
  rate->bitrate = bps < (double)UINT32_MAX ? (uint32_t)bps : UINT32_MAX;
  return rate->bitrate;
}

#endif
