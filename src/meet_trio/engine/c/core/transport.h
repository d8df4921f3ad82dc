/* Creating, changing and removing transports of both kinds.
 *
 * This file has what both kinds have in common, and the credentials and keys of transports with ICE and DTLS. The rest of plain
 * transports is in core/plain.c. Removing a transport removes its producers and consumers too.
 */
#ifndef MT_CORE_TRANSPORT_H
#define MT_CORE_TRANSPORT_H

#include "state/core_state.h"

/* Times are microseconds. */

/* Refused, and counted, if the id is in use. */
void mt_transport_add(mt_core *core, uint32_t id, const mt_ice_spec *ice, int64_t now);
/* A transport without credentials and keys. NULL: the id is in use, or there is no memory; both are counted. */
mt_transport *mt_transport_new(mt_core *core, int64_t now, uint32_t id);
/* New ICE credentials; those in use so far stay valid until a request comes with the new ones. */
void mt_transport_restart(mt_core *core, mt_transport *t, const mt_ice_spec *ice);
/* Sets the SRTP keys, and the consumers begin. Refused, and counted, if the transport has keys: it has one DTLS association. */
void mt_transport_keys(mt_core *core, mt_transport *t, const mt_srtp_spec *keys, int64_t now);
/* A transport of an earlier process whose indices are not known: under its keys they must not begin anew. It neither sends nor receives
 * from now on, and is told to be silent (MT_EVENT_ICE_SILENT). It stays until it is removed. */
void mt_transport_bar(mt_core *core, mt_transport *t);
void mt_transport_remove(mt_core *core, mt_transport *t);

#endif
