/* ICE-lite (RFC 8445 section 2.5): connectivity checks are answered, and none are made.
 *
 * A Binding request is answered if it knows the password of the transport that its ufrag names. Its path then is a route of the
 * transport, and USE-CANDIDATE may select it (paths/routes.h). The first request with the credentials of after an ICE restart ends
 * those of before.
 */
#ifndef MT_PATHS_ICE_H
#define MT_PATHS_ICE_H

#include "state/core_state.h"

/* `now`: microseconds. `len`: bytes. A datagram that is not answered with success is counted by its fault. */
void mt_ice_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len);

#endif
