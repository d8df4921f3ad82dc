/* Writes a consumer's packets: a new header, the VP8 descriptor with new numbers, and SRTP straight into the outgoing datagram.
 *
 * With NACK a consumer remembers the numbers of each packet that it sent; the payload is in the stream's history. A
 * retransmission goes through RTX with sequence numbers of its own (RFC 4588). Without RTX the same packet is sent again, byte
 * for byte: under AES-GCM a second plaintext or header with the same index would give the key away. So the values of the header
 * extensions that change with each packet are remembered too, and a packet is sent again only while all of it is remembered.
 *
 * A NACK of 16 bytes asks for 17 packets. So retransmissions have a budget: each byte of media that is sent allows one byte of
 * retransmissions, of the consumer and of its transport, up to a burst. A client thus costs at most twice the media that it
 * watches. A client that loses a third of all packets needs half of that budget.
 */
#ifndef MT_EGRESS_SEND_H
#define MT_EGRESS_SEND_H

#include "state/core_state.h"

typedef struct {       /* a packet's numbers as the consumer sends it */
  uint64_t sequence;   /* extended */
  uint32_t timestamp;  /* clock units */
  uint16_t picture_id; /* VP8, 15 bits */
  uint8_t tl0picidx;   /* VP8 */
} mt_numbers;

/* Sends packet `p` of epoch `e` with the numbers `n`. */
void mt_consumer_send(mt_core *core, mt_consumer *c, const mt_epoch *e, const mt_packet *p, const mt_numbers *n, int64_t now);
/* A NACK asks for `sequence`, which is one of the consumer's own numbers. */
void mt_consumer_resend(mt_core *core, mt_consumer *c, uint16_t sequence, int64_t now);

#endif
