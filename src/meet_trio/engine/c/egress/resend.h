/* Retransmissions: a packet that a client has asked for by NACK is sent again.
 *
 * With NACK a consumer remembers the numbers of each packet that it sent; the payload is in the stream's history. A
 * retransmission goes through RTX with sequence numbers of its own (RFC 4588). Without RTX the same packet is sent again, byte
 * for byte: under AES-GCM a second plaintext or header with the same index would give the key away. So the values of the header
 * extensions that change with each packet are remembered too, and a packet is sent again only while all of it is remembered.
 *
 * A NACK for a packet that was sent, but is not remembered or not in the history any more, is a request for a key frame.
 *
 * Where the client's transport-wide feedback shows that the network reorders packets, a NACK may come before the packet that it asks
 * for. Such a NACK waits until the packet would have come late, and until feedback has told of it. If it has arrived, the NACK
 * needs no answer.
 *
 * On a congested link nothing before the last key frame is sent again: the client goes on with the key frame.
 *
 * A NACK of 16 bytes asks for 17 packets. So retransmissions have a budget: each byte of media that is sent allows one byte of
 * retransmissions, of the consumer and of its transport, up to a burst. A client thus costs at most twice the media that it
 * watches. A client that loses a third of all packets needs half of that budget. Where a bandwidth is estimated, retransmissions
 * also get no more than a share of it (egress/outgoing.h).
 */
#ifndef MT_EGRESS_RESEND_H
#define MT_EGRESS_RESEND_H

#include "state/core_state.h"

void mt_consumer_earn_resends(mt_consumer *c, size_t len); /* `len` bytes of media were sent */
int64_t mt_resend_tick(mt_core *core, int64_t now);        /* answers the NACKs that have waited; returns when it is due again */
/* A NACK asks for `sequence`, which is one of the consumer's own numbers. */
void mt_consumer_resend(mt_core *core, mt_consumer *c, uint16_t sequence, int64_t now);

#endif
