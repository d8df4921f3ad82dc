/* Writes one packet of a consumer: a new header, the VP8 descriptor with new numbers, and SRTP straight into the outgoing
 * datagram. */
#ifndef MT_EGRESS_COMPOSE_H
#define MT_EGRESS_COMPOSE_H

#include "egress/header.h"

enum {
  MT_SEND_TIME_BITS = 18, /* abs-send-time: fraction bits of a second; 24 bits in all, which wrap after 64 s */
  MT_SEND_TIME_MASK = 0xffffff,
};

static inline uint32_t mt_abs_send_time(int64_t now) {
  return (uint32_t)(((uint64_t)now << MT_SEND_TIME_BITS) / MT_SECOND) & MT_SEND_TIME_MASK;
}

/* Microseconds since `abs_send_time`, which was less than 64 s ago. */
static inline int64_t mt_send_time_age(uint32_t abs_send_time, int64_t now) {
  uint32_t elapsed = (mt_abs_send_time(now) - abs_send_time) & MT_SEND_TIME_MASK;
  return (int64_t)((uint64_t)elapsed * MT_SECOND >> MT_SEND_TIME_BITS);
}

mt_stamps mt_new_stamps(mt_consumer *c, int64_t now); /* takes the transport's next number */
/* Writes the datagram to `out` and returns its length in bytes; 0: it cannot be written. `rtx_index` is the SRTP index of a
 * retransmission through RTX, 0 for the packet itself. */
size_t mt_compose(const mt_consumer *c, uint8_t *out, const mt_packet *p, const mt_numbers *n, uint64_t rtx_index,
                  const mt_stamps *v);
/* The same for an RTX packet with nothing but padding. */
size_t mt_compose_padding(const mt_consumer *c, uint8_t *out, uint64_t rtx_index, uint32_t timestamp, const mt_stamps *v);

#endif
