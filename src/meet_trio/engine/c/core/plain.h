/* Plain transports: RTP and RTCP as they are (RFC 3550), without ICE, DTLS and SRTP, for programs that support none of these.
 *
 * RTP and RTCP have a socket each, and a remote address each. A packet cannot prove its sender, so its source address decides:
 *
 *  - The transport is given networks. A packet from another network is dropped, and no packet is ever sent to one. Otherwise a
 *    client that may name any address, or forges one, could have media sent to a third party.
 *  - Each remote address is fixed once: by the command that connects the transport or, with comedia, by the first well-formed
 *    packet. After that, packets from all other addresses are dropped. A comedia transport may be connected too. Then the address
 *    of the command is used until the first packet fixes the right one.
 *
 * RTCP is accepted by the RTP socket too, because some senders multiplex (RFC 5761). It is sent by the RTCP socket only. A plain
 * transport has no consent that it could lose (RFC 7675). Keeping a client that is silent costs nothing.
 */
#ifndef MT_CORE_PLAIN_H
#define MT_CORE_PLAIN_H

#include "state/core_state.h"

/* Times are microseconds. */

/* Refused, and counted, if the id is in use or a network is invalid. */
void mt_plain_add(mt_core *core, uint32_t id, const mt_plain_spec *spec, int64_t now);
/* Refused, and counted, if the address is in none of the transport's networks. */
void mt_plain_connect(mt_core *core, mt_transport *t, const mt_remote_spec *remote, int64_t now);
/* The address is in one of its networks. */
bool mt_plain_allows(const mt_plain *plain, const mt_path *p);
/* `from` names the transport and which of its sockets; a datagram that is not accepted is counted. `len`: bytes. */
void mt_plain_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len);

#endif
