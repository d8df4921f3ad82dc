/* RTCP from clients: decrypt, and do what each packet of the compound asks for.
 *
 * Sender reports belong to streams that the client sends; everything else is about consumers, found by the SSRC that
 * we send, and an SSRC of another transport is simply not found.
 */
#ifndef MT_INGRESS_RTCP_IN_H
#define MT_INGRESS_RTCP_IN_H

#include "state/core_state.h"

void mt_rtcp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len); /* decrypted in place */

#endif
