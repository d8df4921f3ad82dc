/* The share of packets that a path loses, smoothed, and its level, with hysteresis.
 *
 * The owner adds samples about once a second and asks for the level more often. A loss of zeros is valid. There is no clock here:
 * the caller passes the time.
 */
#ifndef MT_BASE_LOSS_LEVEL_H
#define MT_BASE_LOSS_LEVEL_H

#include <stdint.h>

enum { /* levels */
       MT_LOSS_NONE,
       MT_LOSS_SOME,
       MT_LOSS_MUCH,
       MT_LOSS_VERY_MUCH,
       MT_LOSS_LEVELS,
};

typedef struct {
  uint8_t level; /* below MT_LOSS_LEVELS */
  double share;  /* of the packets, 0 to 1, smoothed */
  int64_t since; /* microseconds: when the level changed last; 0: never */
} mt_loss_level;

void mt_loss_level_sample(mt_loss_level *l, double share); /* `share` of the packets of a stretch of time was lost */
void mt_loss_level_adapt(mt_loss_level *l, int64_t now);   /* the level follows the share */

#endif
