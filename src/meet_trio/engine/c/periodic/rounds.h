/* What is done for each producer in every round, ten times a second.
 *
 * Layers are chosen in rounds too, because streams end by falling silent. Only a round leads a consumer to a lower layer: when all
 * layers come back after a pause, the lowest comes first.
 */
#ifndef MT_PERIODIC_ROUNDS_H
#define MT_PERIODIC_ROUNDS_H

#include "state/core_state.h"

void mt_producer_round(mt_core *core, mt_producer *p, int64_t now);
void mt_mirror_round(mt_core *core, mt_producer *m, int64_t now);

#endif
