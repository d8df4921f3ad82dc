/* The pacer spreads a burst of video over time, so that it does not fill the queue of a client's slow link.
 *
 * Bytes leave at PACE_PERCENT of the estimate. Video waits in order; the room for a burst lets most packets pass without waiting.
 * Audio, retransmissions, redundancy and probes leave at once. If they have transport-wide numbers, video pays for their bytes. A
 * queue that would need more than QUEUE_US raises the pace. While the link has a queue of its own, the pace is that of the estimate,
 * and LONG_QUEUE_US holds.
 *
 * A full queue is no loss: the consumer's next packets wait in the history, without numbers (egress/forward.h). Late packets have
 * their numbers already. So the last LATE_SLOTS of the queue are for them, and what finds these full leaves at once.
 *
 * With REMB alone no packet has a transport-wide number, so no bytes are counted and nothing waits.
 *
 * A packet that waits is only its numbers. Its payload stays in the stream's history, and transport-wide number and send time are
 * written when it leaves. If the history has dropped it by then, a key frame is wanted.
 */
#ifndef MT_EGRESS_PACER_H
#define MT_EGRESS_PACER_H

#include "egress/compose.h"

/* Sends `p` of epoch `e` with the numbers `n`, now or when the pace allows. */
void mt_pacer_send(mt_core *core, mt_consumer *c, const mt_epoch *e, const mt_packet *p, const mt_numbers *n, int64_t now);
void mt_pacer_wake(mt_core *core, mt_downlink *d, int64_t now);    /* packets wait, or a probe is to be sent */
void mt_pacer_forget(mt_consumer *c);                              /* the consumer is removed: its packets that wait are not sent */
bool mt_pacer_has_room(const mt_consumer *c);                      /* for a new packet of the consumer */
void mt_pacer_release(mt_core *core, mt_downlink *d, int64_t now); /* sends what waits, as far as the pace allows */
void mt_pacer_empty(mt_core *core, mt_downlink *d, int64_t now);   /* sends all that waits, whatever the pace */
void mt_pacer_rest(mt_core *core, mt_downlink *d);                 /* nothing waits, so no further step is due */

#endif
