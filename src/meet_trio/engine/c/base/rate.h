/* A bitrate, measured over one stretch of time after the other.
 *
 * The owner counts bytes and ends a stretch about once a second. Until the next stretch ends, the bitrate of the last one stands. A
 * rate of zeros is valid. There is no clock here: the caller passes the elapsed time.
 */
#ifndef MT_BASE_RATE_H
#define MT_BASE_RATE_H

#include <stdint.h>

typedef struct {
  uint64_t bytes_before; /* bytes counted before the stretch that runs now */
  uint32_t bitrate;      /* bit/s, in the stretch before */
} mt_rate;

/* Ends a stretch of `elapsed` microseconds. `bytes` is the owner's count since the beginning of all stretches. Returns the bitrate
 * of this one in bit/s, at most UINT32_MAX. */
static inline uint32_t mt_rate_update(mt_rate *rate, uint64_t bytes, int64_t elapsed) {
  double bps = elapsed > 0 ? (double)(bytes - rate->bytes_before) * 8e6 / (double)elapsed : 0;
  rate->bytes_before = bytes;
  rate->bitrate = bps < (double)UINT32_MAX ? (uint32_t)bps : UINT32_MAX;
  return rate->bitrate;
}

#endif
