/* See scores.h. */
#include "egress/scores.h"

#include "state/marks.h"

#include <math.h>

enum { SCORE_US = MT_SECOND /* between two events about one consumer's score */ };

uint8_t mt_score_of_loss(uint8_t fraction_lost) {
  double score = 10 - (double)fraction_lost / 256 * 25;
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
  if (c->changes.flags & MT_CHANGED_SCORE) c->announced_score = c->stats.score; /* the event still waits, and says the newest */
  else if (mt_list_empty(&c->scored)) announce_score(core, c, now);
}

void mt_scores_round(mt_core *core, int64_t now) {
  MT_EACH (item, &core->scored) {
    mt_consumer *c = MT_OF(item, mt_consumer, scored);
    if (now - c->score_announced < SCORE_US) return;
    mt_list_remove(&c->scored);
    announce_score(core, c, now);
  }
}
