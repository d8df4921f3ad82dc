/* The life of a consumer: it is added, begins, is paused and resumed, and is removed.
 *
 * A consumer whose producer does not exist or has been removed stays, and is silent. It can be sent to when its transport has
 * keys and a selected route, and neither it nor its producer is paused. The choice of layers is in layers.h, the packets are in
 * forward.h and send.h.
 */
#ifndef MT_EGRESS_CONSUMER_H
#define MT_EGRESS_CONSUMER_H

#include "state/core_state.h"

/* Refused (counted as a refused command) when the id or an SSRC of the spec is in use, or there is no memory. */
void mt_consumer_add(mt_core *core, uint32_t id, mt_transport *t, uint32_t producer, const mt_consumer_spec *spec, int64_t now);
void mt_consumer_remove(mt_core *core, mt_consumer *c);
void mt_consumer_pause(mt_core *core, mt_consumer *c, bool paused, int64_t now); /* `paused` false: resume */
/* The client's priority among its consumers, 1-255. Values outside mean the nearest one. */
void mt_consumer_prioritize(mt_core *core, mt_consumer *c, uint64_t priority);
/* It can be sent to from now on. It begins with a key frame of the history, or wants one. */
void mt_consumer_begin(mt_core *core, mt_consumer *c, int64_t now);

#endif
