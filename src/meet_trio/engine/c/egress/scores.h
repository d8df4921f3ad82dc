/* How well a consumer's client gets it: 10 for no loss, 0 for 40 % and more.
 *
 * A client may report as often as it likes, and each change is an event for Python. So it is told once a second: the first change at
 * once, later ones at the end of the second.
 */
#ifndef MT_EGRESS_SCORES_H
#define MT_EGRESS_SCORES_H

#include "state/core_state.h"

uint8_t mt_score_of_loss(uint8_t fraction_lost); /* of 256, as in a report (RFC 3550 section 6.4.1) */
void mt_consumer_score(mt_core *core, mt_consumer *c, uint8_t fraction_lost, int64_t now); /* a report has come */
void mt_scores_round(mt_core *core, int64_t now);

#endif
