/* See loss_level.h. */
#include "base/loss_level.h"

#include "base/limits.h"

enum { HOLD_US = 5 * MT_SECOND /* a level holds at least so long before it falls */ };

/* A rise is believed sooner than a fall: too little protection is seen, too much is not. */
static const double RISE = 0.5, FALL = 0.3;

/* The shares at which each level begins, and below which it ends */
static const double BEGINS[MT_LOSS_LEVELS] = {0, 0.005, 0.03, 0.14};
static const double ENDS[MT_LOSS_LEVELS] = {0, 0.002, 0.018, 0.09};

void mt_loss_level_sample(mt_loss_level *l, double share) { l->share += (share - l->share) * (share > l->share ? RISE : FALL); }

void mt_loss_level_adapt(mt_loss_level *l, int64_t now) {
  uint8_t level = l->level;
  while (level + 1 < MT_LOSS_LEVELS && l->share >= BEGINS[level + 1]) level++;
  if (level == l->level && level && l->share < ENDS[level] && now - l->since >= HOLD_US) level--;
  if (level != l->level) l->since = now;
  l->level = level;
}
