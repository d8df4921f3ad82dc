/* The downlink's account of what leaves: for the estimator, the pacer and the allocation. Nothing happens without a downlink. */
#ifndef MT_EGRESS_OUTGOING_H
#define MT_EGRESS_OUTGOING_H

#include "state/core_state.h"

/* A datagram of `len` bytes leaves with the transport-wide number `number`. `cluster`: of the probe that it belongs to; 0: none. */
void mt_downlink_sent(mt_transport *t, uint16_t number, size_t len, uint8_t cluster, int64_t now);
/* The same for a datagram without a number: only the pacer knows of it. */
void mt_downlink_spent(mt_transport *t, size_t len);
/* False: retransmissions have taken their share of the link. */
bool mt_downlink_may_repair(mt_transport *t, int64_t now);
/* A retransmission of `len` bytes leaves, besides mt_downlink_sent: there is less room for layers. */
void mt_downlink_repaired(mt_transport *t, size_t len);

#endif
