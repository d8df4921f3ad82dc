/* DTLS goes through: handshakes are done in Python. What goes up has a rate for each transport, and comes from its routes only. */
#ifndef MT_PATHS_DTLS_H
#define MT_PATHS_DTLS_H

#include "state/core_state.h"

void mt_dtls_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len);
void mt_dtls_send(mt_core *core, mt_transport *t, const mt_data *datagram);

#endif
