/* The score of a consumer says how much of it reaches its client: 10 for no loss, 0 for a loss of 40 % and more.
 *
 * A client may send receiver reports as often as it likes, and each change of the score is an event for Python. So a consumer has
 * at most one such event a second: the first change makes one at once, later ones are announced at the end of the second.
 */
#ifndef MT_EGRESS_SCORES_H
#define MT_EGRESS_SCORES_H

#include "state/core_state.h"

enum { MT_BEST_SCORE = 10 }; /* no loss */

/* `fraction_lost` is in 1/256, as in a report block (RFC 3550 section 6.4.1). */
uint8_t mt_score_of_loss(uint8_t fraction_lost);
void mt_consumer_score(mt_core *core, mt_consumer *c, uint8_t fraction_lost, int64_t now); /* a receiver report has come */
void mt_scores_round(mt_core *core, int64_t now); /* announces the scores that have waited for a second */

#endif
