/* Fan-out: applies forward.h and layers.h to all consumers of a producer.
 *
 * Packets that come together are gathered, and then each transport gets all of them: one consumer after the other, and each gets
 * all of its producer's. So they leave for one destination one after the other, which costs less (io/gso.h), and a consumer's state
 * is fetched into the processor once for all of them. Producers with longer packets come first. Consumers see what they would see
 * without that: a gathered packet is in its stream's history, but is not shown before its turn (mt_stream.shown). Only packets that
 * follow the newest one of their stream are gathered. Before anything else happens to a producer its gathered packets are forwarded.
 *
 * An encoder cuts a frame into packets of nearly one length, and makes the last ones a byte longer. Where that is so, the shorter
 * ones are padded, so that all leave together.
 */
#ifndef MT_EGRESS_FANOUT_H
#define MT_EGRESS_FANOUT_H

#include "state/core_state.h"

/* Forwards a packet that the stream's history has taken. Nothing while the producer is paused. `alone`: it must not be gathered; no
 * other waits. */
void mt_producer_forward(mt_core *core, mt_stream *s, mt_packet *packet, bool alone, int64_t now);
/* When the first of the producer's gathered packets came. INT64_MAX: there are none. */
int64_t mt_producer_gathered(const mt_producer *p);
/* Forwards the producer's gathered packets. */
void mt_producer_settle(mt_core *core, mt_producer *p, int64_t now);
/* The same for all producers, transport by transport. No packets are gathered from now on. */
void mt_fanout_settle(mt_core *core, int64_t now);
/* `may_fall`: a consumer may also change to a lower layer. */
void mt_producer_choose_layers(mt_core *core, mt_producer *p, bool may_fall, int64_t now);

#endif
