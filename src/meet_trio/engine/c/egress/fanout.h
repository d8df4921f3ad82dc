/* Fan-out: applies forward.h and layers.h to all consumers of a producer. */
#ifndef MT_EGRESS_FANOUT_H
#define MT_EGRESS_FANOUT_H

#include "state/core_state.h"

void mt_producer_forward(mt_core *core, mt_stream *s, mt_packet *packet, int64_t now); /* nothing while it is paused */
/* `may_fall`: a consumer may also change to a lower layer. */
void mt_producer_choose_layers(mt_core *core, mt_producer *p, bool may_fall, int64_t now);

#endif
