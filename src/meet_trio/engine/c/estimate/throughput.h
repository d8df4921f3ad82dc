/* The bitrate that the receiver gets, by times of arrival: over the last half second, and while the link is busy.
 *
 * A sender that is limited by its application says nothing about the link by its average. While packets wait, the link carries all
 * it can, so what arrives then is its capacity. A link that is busy only for the length of a frame shows its capacity in pieces: a
 * packet that left before its predecessor arrived waited behind it, so the time between the two arrivals is its own time on the link.
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
  struct {
    double us, bytes; /* packets that waited behind their predecessor; older ones weigh less */
    int64_t at;       /* arrival of the newest one */
  } link;
  struct {
    double rate; /* bit/s: the newest packet, in the time since its predecessor came; 0: not known */
    bool waited; /* behind it */
  } pair;
} mt_throughput;

/* `delay`: microseconds above the least delay of the path. `waited`: that is more than chance makes, the packet waited in a queue. */
void mt_throughput_packet(mt_throughput *t, int64_t arrival, size_t bytes, int64_t delay, bool waited);
double mt_throughput_rate(const mt_throughput *t);                /* bit/s; 0: not known yet */
double mt_throughput_busy(const mt_throughput *t, int64_t least); /* bit/s; 0: the link is not busy for `least` microseconds */
double mt_throughput_link(const mt_throughput *t);                /* bit/s while it was busy in the last seconds; 0: not known */

#endif
