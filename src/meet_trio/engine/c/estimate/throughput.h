/* The bitrate that the receiver gets, by times of arrival: over the last half second, and while the link is busy.
 *
 * A sender that is limited by its application says nothing about the link by its average. While packets wait, the link carries all
 * it can, so what arrives then is its capacity.
 */
#ifndef MT_ESTIMATE_THROUGHPUT_H
#define MT_ESTIMATE_THROUGHPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MT_THROUGHPUT_SLOTS = 32 };

typedef struct {
  uint64_t bytes[MT_THROUGHPUT_SLOTS]; /* of stretches of time */
  int64_t newest;                      /* the stretch of the newest packet, counted from 0 of the receiver's clock */
  int64_t first, last;                 /* arrival of the first packet since a reset, and of the newest; microseconds */
  bool started;
  struct {
    int64_t began; /* arrival of the packet that began it; 0: not busy */
    uint64_t bytes;
  } busy[2]; /* the second one begins later and takes the place of the first one */
} mt_throughput;

/* `waited`: the packet waited in a queue. */
void mt_throughput_packet(mt_throughput *t, int64_t arrival, size_t bytes, bool waited);
double mt_throughput_rate(const mt_throughput *t); /* bit/s; 0: not known yet */
double mt_throughput_busy(const mt_throughput *t); /* bit/s; 0: the link is not busy for long enough */

#endif
