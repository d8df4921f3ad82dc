/* See scores.h. */
#include "egress/scores.h"

#include "state/marks.h"

#include <math.h>

enum {
  SCORE_EVENT_US = MT_SECOND, /* least time between two events about one consumer's score */
  LOSS_UNITS = 256,           /* fraction_lost is in 1/256 (RFC 3550 section 6.4.1) */
  POINTS_OF_LOSS = 25,        /* that a loss of all packets would cost; a loss of 40 % costs MT_BEST_SCORE */
};

uint8_t mt_score_of_loss(uint8_t fraction_lost) {
  double score = MT_BEST_SCORE - (double)fraction_lost / LOSS_UNITS * POINTS_OF_LOSS;
  return score < 0 ? 0 : (uint8_t)lround(score);
}

static void announce_score(mt_core *core, mt_consumer *c, int64_t now) {
  if (c->score_known && c->announced_score == c->stats.score) return;
  c->score_known = true;
  c->announced_score = c->stats.score;
  c->score_announced = now;
  mt_list_append(&core->scored, &c->scored);
  mt_change(core, &c->changes, MT_CHANGED_SCORE);
}

void mt_consumer_score(mt_core *core, mt_consumer *c, uint8_t fraction_lost, int64_t now) {
  c->stats.score = mt_score_of_loss(fraction_lost);
  if (c->changes.flags & MT_CHANGED_SCORE) c->announced_score = c->stats.score; /* the waiting event takes the newest score */
  else if (mt_list_empty(&c->scored)) announce_score(core, c, now);
}

void mt_scores_round(mt_core *core, int64_t now) {
  MT_EACH (item, &core->scored) {
    mt_consumer *c = MT_OF(item, mt_consumer, scored);
    if (now - c->score_announced < SCORE_EVENT_US) return;
    mt_list_remove(&c->scored);
    announce_score(core, c, now);
  }
}
