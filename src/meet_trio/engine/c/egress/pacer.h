/* The pacer: a burst for one client leaves no faster than its link can take.
 *
 * Bytes leave at PACE_PERCENT of the estimate. Audio and retransmissions leave at once, on credit that video pays back. Video waits
 * in order; the estimate's room for a burst lets most packets pass without waiting. What waits leaves within QUEUE_US: for a longer
 * queue the pace rises. Packets that find the queue full are lost, and a key frame is wanted.
 *
 * A packet that waits is only its numbers. Its payload stays in the stream's history, and transport-wide number and send time are
 * written when it leaves.
 *
 * Probes leave through the pacer too: packets that were sent before, once more as RTX, or padding if there are none.
 */
#ifndef MT_EGRESS_PACER_H
#define MT_EGRESS_PACER_H

#include "egress/compose.h"

/* Sends `p` of epoch `e` with the numbers `n`, now or when the pace allows. */
void mt_pacer_send(mt_core *core, mt_consumer *c, const mt_epoch *e, const mt_packet *p, const mt_numbers *n, int64_t now);
void mt_pacer_wake(mt_core *core, mt_downlink *d, int64_t now); /* a probe is to be sent */
void mt_pacer_forget(mt_consumer *c);                           /* the consumer is removed: its packets that wait are not sent */
/* Sends what is due. Returns the time of the next step. */
int64_t mt_pacers_tick(mt_core *core, int64_t now);

#endif
