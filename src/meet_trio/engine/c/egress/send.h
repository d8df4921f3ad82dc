/* Writing a consumer's packets: a new header, the VP8 descriptor renumbered, SRTP straight into the datagram that goes out.
 *
 * With NACK, what was sent under each sequence number is remembered (numbers only; the payload is in the stream's history). A
 * retransmission goes through RTX with its own numbers (RFC 4588). Without RTX the very same packet is sent again, byte by
 * byte: under AES-GCM a second plaintext or header under the same index would give the key away. So
 * the values of extensions that change with time are remembered too, and only a packet's whole history allows it to be repeated.
 *
 * A NACK of 16 bytes asks for 17 packets. What is sent again is therefore earned by what was sent: each byte of media allows one of a
 * retransmission, of the consumer's and of the transport's, up to a burst. So a client costs twice what it watches and no more,
 * while one that loses a third of everything needs half of it.
 */
#ifndef MT_EGRESS_SEND_H
#define MT_EGRESS_SEND_H

#include "state/core_state.h"

typedef struct { /* that a packet is rewritten to */
  uint64_t sequence;
  uint32_t timestamp;
  uint16_t picture_id;
  uint8_t tl0picidx;
} mt_numbers;

void mt_consumer_send(mt_core *core, mt_consumer *c, const mt_epoch *e, const mt_packet *p, const mt_numbers *n, int64_t now);
void mt_consumer_resend(mt_core *core, mt_consumer *c, uint16_t sequence, int64_t now); /* as a NACK asks */

#endif
