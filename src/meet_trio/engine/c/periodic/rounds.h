/* Rounds: the work that is done for each producer ten times a second. It chooses layers, notices silence in audio, sends states
 * of streams to other engines and drops old packets from the history.
 *
 * Layers are chosen in rounds because a stream often ends without a sign, by falling silent. A packet that makes a stream arrive
 * again never moves consumers to a lower layer, because when all layers come back after a pause the lowest comes first. A round
 * moves them down if the higher layers stay away.
 */
#ifndef MT_PERIODIC_ROUNDS_H
#define MT_PERIODIC_ROUNDS_H

#include "state/core_state.h"

void mt_producer_round(mt_core *core, mt_producer *p, int64_t now);
void mt_mirror_round(mt_core *core, mt_producer *m, int64_t now); /* also tells the source what is listened to */

#endif
