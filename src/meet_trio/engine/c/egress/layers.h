/* Which stream a consumer forwards, and what its client is told about that.
 *
 * A consumer has a target: the highest stream that arrives and is above neither the preferred layer nor the one that the client's
 * link has room for (egress/allocation.h); else the lowest that arrives. Without room for any layer there is no target. The
 * consumer goes on forwarding its old stream until a key frame of the target comes.
 */
#ifndef MT_EGRESS_LAYERS_H
#define MT_EGRESS_LAYERS_H

#include "state/core_state.h"

/* `may_fall`: the target may also become a lower layer. */
void mt_consumer_choose_layer(mt_core *core, mt_consumer *c, bool may_fall, int64_t now);
/* The client asks for no more than `layers`. Values above the highest mean the highest. */
void mt_consumer_prefer_layers(mt_core *core, mt_consumer *c, const mt_layers *layers, int64_t now);
void mt_consumer_halt(mt_core *core, mt_consumer *c); /* nothing is forwarded until a new epoch begins */

#endif
