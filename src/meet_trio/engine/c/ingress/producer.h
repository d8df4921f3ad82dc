/* The life of a producer, or of a mirror. */
#ifndef MT_INGRESS_PRODUCER_H
#define MT_INGRESS_PRODUCER_H

#include "state/core_state.h"

void mt_producer_add(mt_core *core, uint32_t id, mt_transport *t, const mt_producer_spec *spec); /* `t` NULL: a mirror */
void mt_producer_remove(mt_core *core, mt_producer *p);
void mt_producer_pause(mt_core *core, mt_producer *p, bool paused, int64_t now);
void mt_producer_want_keyframe(mt_core *core, mt_producer *p,
                               int64_t now); /* Python asks, whether or not a consumer waits for it */

#endif
