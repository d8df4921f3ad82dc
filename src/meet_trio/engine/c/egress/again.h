/* Sends a packet of the history once more: the one way for retransmissions (egress/resend.h), redundancy
 * (egress/redundancy.h) and probes (egress/probing.h). Budgets are the caller's. */
#ifndef MT_EGRESS_AGAIN_H
#define MT_EGRESS_AGAIN_H

#include "state/core_state.h"

/* The consumer's own number `sequence`, if it was sent, is still remembered and the history has the packet; else NULL. The client
 * can be sent to. */
mt_sent *mt_again_find(const mt_consumer *c, uint64_t sequence, const mt_packet **packet);
/* `cluster`: of the probe that it belongs to; 0: none. Returns the bytes of the datagram; 0: it cannot be written. */
size_t mt_again_send(mt_core *core, mt_consumer *c, const mt_sent *sent, const mt_packet *p, uint8_t cluster, int64_t now);

#endif
