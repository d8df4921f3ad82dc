/* The life of a transport, of either kind. */
#ifndef MT_CORE_TRANSPORT_H
#define MT_CORE_TRANSPORT_H

#include "state/core_state.h"

void mt_transport_add(mt_core *core, uint32_t id, const mt_ice_spec *ice, int64_t now);
mt_transport *mt_transport_new(mt_core *core, int64_t now, uint32_t id); /* without credentials; NULL: refused or no memory */
void mt_transport_restart(mt_core *core, mt_transport *t, const mt_ice_spec *ice);
/* Refused when it has keys: a transport has one DTLS association. */
void mt_transport_keys(mt_core *core, mt_transport *t, const mt_srtp_spec *keys, int64_t now);
void mt_transport_remove(mt_core *core, mt_transport *t);

#endif
