/* The life of a consumer. */
#ifndef MT_EGRESS_CONSUMER_H
#define MT_EGRESS_CONSUMER_H

#include "state/core_state.h"

/* Without its producer a consumer is silent. Refused when the id or an SSRC of the spec is in use. */
void mt_consumer_add(mt_core *core, uint32_t id, mt_transport *t, uint32_t producer, const mt_consumer_spec *spec, int64_t now);
void mt_consumer_remove(mt_core *core, mt_consumer *c);
void mt_consumer_pause(mt_core *core, mt_consumer *c, bool paused, int64_t now);
void mt_consumer_begin(mt_core *core, mt_consumer *c,
                       int64_t now); /* it can be sent to: a key frame of the history, or a wanted one */

#endif
