/* Plain transports: RTP and RTCP as they are (RFC 3550), without ICE, DTLS and SRTP, for programs that know of none of these.
 *
 * RTP and RTCP have a socket each, and a far end each. Nothing proves here who sends, so where a packet comes from decides:
 *
 *  - The networks that the transport was given bound all of it. A packet from elsewhere is dropped, and nothing is ever sent
 *    there: who may name any address, or forge one, could have media sent to a stranger.
 *  - Each end is fixed once, by being connected or (comedia) by the first packet that is well-formed; from then on every other
 *    sender is dropped. A comedia transport may be connected too: that says where to send until a packet says it better.
 *
 * RTCP that comes by the RTP socket (senders that multiplex, RFC 5761) is taken; ours goes by the RTCP socket alone.
 * There is no consent to be lost. A client that falls silent costs what it sends: nothing.
 */
#ifndef MT_CORE_PLAIN_H
#define MT_CORE_PLAIN_H

#include "state/core_state.h"

void mt_plain_add(mt_core *core, uint32_t id, const mt_plain_spec *spec, int64_t now);
void mt_plain_connect(mt_core *core, mt_transport *t, const mt_remote_spec *remote, int64_t now);
void mt_plain_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len);

#endif
