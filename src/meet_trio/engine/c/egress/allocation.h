/* Which layers a client's consumers get of what its link can carry.
 *
 * The publisher's layers, with the bitrates that are measured, make a ladder of options for each video consumer. First every
 * consumer gets its lowest option, then the options rise, in both cases the consumers of higher priority first. Priorities that
 * share their highest bit are equal, and equal consumers rise in turns, one step at a time. A consumer whose lowest option does not
 * fit gets no video, and its audio lives on. On a link that was not congested for a while the lowest option always fits, because
 * the estimate is only a lower bound there.
 *
 * An option that is in force stays while most of it fits. What replaces it has to leave room for a queue to empty. A higher one
 * needs some room more. After a rise that the link did not bear, the next one waits, each time longer.
 *
 * A part of the estimate is set aside for retransmissions. Audio has no transport-wide numbers, so the estimate is without it.
 */
#ifndef MT_EGRESS_ALLOCATION_H
#define MT_EGRESS_ALLOCATION_H

#include "state/consumer.h"
#include "state/core_state.h"

/* Allocates the layers of the transport's consumers anew. Nothing happens without a downlink. */
void mt_allocate(mt_core *core, mt_transport *t, int64_t now);
/* The least estimate (bit/s) with which the consumer gets the option above its present one, which is written to `next`. 0: there is
 * none, or nothing is allocated to it. */
uint64_t mt_allocation_next(const mt_consumer *c, mt_layer_option *next);

#endif
