/* Which layers a client's consumers get of what its link can carry.
 *
 * The publisher's layers, with the bitrates that are measured, make a ladder of options for each video consumer. First every
 * consumer gets its lowest option, then the options rise, in both cases the consumers of higher priority first. Priorities that
 * share their highest bit are equal, and equal consumers rise in turns, one step at a time. A consumer whose lowest option does not
 * fit gets no video, and its audio lives on.
 *
 * An option that is in force stays while it fits. A higher one needs some room more. After a rise that the link did not bear, the
 * next one waits, each time longer.
 */
#ifndef MT_EGRESS_ALLOCATION_H
#define MT_EGRESS_ALLOCATION_H

#include "state/core_state.h"

/* Nothing happens without a downlink. */
void mt_allocate(mt_core *core, mt_transport *t, int64_t now);

#endif
