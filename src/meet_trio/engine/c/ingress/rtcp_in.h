/* RTCP from clients: decrypts a datagram and handles each packet of the compound.
 *
 * Sender reports and BYE are about streams that the client sends. Receiver reports, NACK, PLI and FIR are about consumers, which
 * are found by the SSRC that this side sends. Only the transport's own are searched, so an SSRC of another transport is not
 * found.
 */
#ifndef MT_INGRESS_RTCP_IN_H
#define MT_INGRESS_RTCP_IN_H

#include "state/core_state.h"

/* A datagram of `len` bytes that looks like RTCP. It is decrypted in place. A datagram that is not taken is counted. */
void mt_rtcp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len);

#endif
