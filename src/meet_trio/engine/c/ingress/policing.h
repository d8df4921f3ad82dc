/* Policing: how much of a client's media is accepted.
 *
 * A client is told a limit (REMB). A client that keeps to it loses nothing here, although its packets come in bursts: bandwidth
 * probes at several times the rate, the first second before it is told, key frames of all layers, retransmissions. So a
 * multiple of the limit is accepted in the long run (`excess_percent`), and at once as much as the limit allows in several
 * seconds (`excess_ms`). A datagram above that is dropped before it is decrypted. Only authentic packets are charged for;
 * otherwise an attacker who forges addresses could silence a client.
 */
#ifndef MT_INGRESS_POLICING_H
#define MT_INGRESS_POLICING_H

#include "state/core_state.h"

bool mt_transport_takes(mt_core *core, mt_transport *t, int64_t now); /* false: the next datagram of media is to be dropped */
void mt_transport_charge(mt_transport *t, size_t len);                /* for an authentic datagram of `len` bytes */

#endif
