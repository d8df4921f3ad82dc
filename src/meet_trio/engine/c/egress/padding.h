/* Padding: an RTX packet without payload (RFC 3550 section 5.1, RFC 4588). Clients count it and drop it. */
#ifndef MT_EGRESS_PADDING_H
#define MT_EGRESS_PADDING_H

#include "state/core_state.h"

/* The consumer must have RTX. `cluster`: of the probe that the packet belongs to. Returns the datagram's length in bytes; 0: nothing
 * was sent. */
size_t mt_consumer_pad(mt_core *core, mt_consumer *c, uint8_t cluster, int64_t now);

#endif
