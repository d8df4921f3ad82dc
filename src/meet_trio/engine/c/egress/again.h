/* Sends a packet of the history once more: the one way for retransmissions (egress/resend.h), redundancy
 * (egress/redundancy.h) and probes (egress/probing.h). Budgets are the caller's. */
#ifndef MT_EGRESS_AGAIN_H
#define MT_EGRESS_AGAIN_H

#include "state/core_state.h"

typedef struct {
  uint64_t sequence; /* extended, the consumer's own */
  mt_sent *sent;
  const mt_packet *packet;
} mt_again;

/* False: nothing was sent with the consumer's own number `sequence`, it is not remembered, the history does not have the packet, or
 * the client cannot be sent to. */
bool mt_again_find(const mt_consumer *c, uint64_t sequence, mt_again *out);
/* `cluster`: of the probe that it belongs to; 0: none. Returns the bytes of the datagram; 0: it cannot be written. */
size_t mt_again_send(mt_core *core, mt_consumer *c, const mt_again *again, uint8_t cluster, int64_t now);

#endif
