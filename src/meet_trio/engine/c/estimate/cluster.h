/* A probe: some packets that leave faster than the rest, to see whether the link carries more. This file measures one.
 *
 * If the link carries the rate, the delay stays the same from the first packet to the last. If not, the delay rises by what does
 * not fit. The slope of a line through the delays, with its error, holds on links with jitter too, where the distance between the
 * first and the last arrival says nothing.
 */
#ifndef MT_ESTIMATE_CLUSTER_H
#define MT_ESTIMATE_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  int64_t first_sent, last_sent; /* microseconds */
  uint64_t last_number;          /* extended; 0: no packet left */
  uint64_t sent_bytes;
  size_t last_bytes; /* of the last packet */
  unsigned sent;
  /* reported */
  int64_t first_delay; /* microseconds, by two clocks */
  int64_t first_arrival, last_arrival;
  size_t first_bytes;
  uint64_t received_bytes;
  unsigned received, lost;
  double x, y, xx, xy, yy; /* sums over the packets: departure and delay, milliseconds since the first one */
} mt_cluster;

typedef enum {
  MT_CLUSTER_NOTHING /* too little came */,
  MT_CLUSTER_FITS,
  MT_CLUSTER_SATURATED,
  MT_CLUSTER_UNSURE /* jitter */
} mt_cluster_verdict;

void mt_cluster_sent(mt_cluster *c, uint64_t number, size_t bytes, int64_t now);
void mt_cluster_received(mt_cluster *c, int64_t sent, int64_t arrival, size_t bytes);
void mt_cluster_lost(mt_cluster *c);
/* `loss`: the share that is lost on this path anyway. `*rate`: bit/s that arrived, or would have without that loss. */
mt_cluster_verdict mt_cluster_judge(const mt_cluster *c, double loss, double *rate);

#endif
