/* The life of a producer, or of a mirror: it is added, paused and resumed, and removed.
 *
 * A producer that is removed ends its relays. Its consumers stay, and are silent. Its packets are handled in receive.h and
 * stream.h.
 */
#ifndef MT_INGRESS_PRODUCER_H
#define MT_INGRESS_PRODUCER_H

#include "state/core_state.h"

/* `t` NULL: a mirror. Refused if the id is in use; both that and a lack of memory are counted. */
void mt_producer_add(mt_core *core, uint32_t id, mt_transport *t, const mt_producer_spec *spec);
void mt_producer_remove(mt_core *core, mt_producer *p);
void mt_producer_pause(mt_core *core, mt_producer *p, bool paused, int64_t now); /* `paused` false: resume */
/* Python wants a key frame of every active stream, whether or not anybody listens to it. */
void mt_producer_want_keyframe(mt_core *core, mt_producer *p, int64_t now);

#endif
