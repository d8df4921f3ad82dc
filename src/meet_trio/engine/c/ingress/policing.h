/* How much of a client's media is taken.
 *
 * Clients are told a limit (REMB), and a client that keeps to it is never touched here. Its packets come in bursts, though: probes at
 * several times the rate, the first second before it was told, key frames of all layers, retransmissions. So a multiple of the limit is
 * taken in the long run, and several seconds' worth of it at once. A datagram above that is not decrypted. Only authentic packets are
 * charged for, or a stranger who forges addresses could silence a client.
 */
#ifndef MT_INGRESS_POLICING_H
#define MT_INGRESS_POLICING_H

#include "state/core_state.h"

bool mt_transport_takes(mt_core *core, mt_transport *t, int64_t now); /* the next datagram of media */
void mt_transport_charge(mt_transport *t, size_t len);                /* for an authentic one */

#endif
