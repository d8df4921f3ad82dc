/* RTP from clients: decrypt, find the stream it belongs to, unwrap retransmissions (RFC 4588), hand it to the stream.
 *
 * Every SSRC that sent an authentic packet is a source (source.c), whether or not it belongs to a producer: media may come
 * before the `produce` request, and a producer may end while its packets are still on their way. "Unknown" is
 * never remembered: an SSRC without stream is looked up with every packet.
 *
 * How a stream is found: the SSRC that the producer signaled, else MID + RID for media and MID + repaired RID for its
 * retransmissions, else MID alone with the payload type saying which of the two it is. A client may stop naming its
 * streams before it sends its first retransmission; then that belongs to the one stream that misses what it brings.
 * Over plain RTP the payload type alone will do, where only one producer without names has it.
 */
#ifndef MT_INGRESS_RECEIVE_H
#define MT_INGRESS_RECEIVE_H

#include "state/core_state.h"

void mt_rtp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len); /* decrypted in place */

#endif
