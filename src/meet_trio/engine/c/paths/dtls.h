/* DTLS datagrams between clients and Python, which does the handshakes.
 *
 * A received datagram becomes an event for Python if it comes from a route of a transport and the transport's rate allows it
 * (mt_settings.dtls_per_second). A datagram of Python's leaves by the transport's selected route. The content of the datagrams is
 * not read.
 */
#ifndef MT_PATHS_DTLS_H
#define MT_PATHS_DTLS_H

#include "state/core_state.h"

/* `now`: microseconds. `len`: bytes. A datagram that is not passed on is counted. */
void mt_dtls_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len);
/* A datagram of more than MT_DATAGRAM_MAX bytes is ignored. One without a selected route is dropped and counted. */
void mt_dtls_send(mt_core *core, mt_transport *t, const mt_data *datagram);

#endif
