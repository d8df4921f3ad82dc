/* RTP from clients: decrypts a packet, finds its stream, unwraps retransmissions (RFC 4588) and hands it to the stream.
 *
 * Every SSRC that sent an authentic packet is a source (sources.h), whether or not it belongs to a producer. Media may come
 * before the `produce` request, and a producer may end while its packets are still on their way. An SSRC without stream is looked
 * up with every packet.
 *
 * A packet of such an SSRC finds its stream in one of these ways, in this order:
 *
 *  - by the SSRC that the producer signaled;
 *  - by MID and RID, a retransmission by MID and repaired RID;
 *  - by MID alone, if the producer has one encoding; the payload type tells media from retransmissions;
 *  - over plain RTP by the payload type, if one producer alone has it and signaled neither SSRC nor RID;
 *  - a retransmission by the packet that it repeats, if one stream alone misses that packet. A client may stop sending MID and
 *    RID before its first retransmission.
 */
#ifndef MT_INGRESS_RECEIVE_H
#define MT_INGRESS_RECEIVE_H

#include "state/core_state.h"

/* A datagram of `len` bytes that looks like RTP. It is decrypted in place. A packet that is not taken is counted. */
void mt_rtp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len);

#endif
