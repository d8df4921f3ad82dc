/* ICE-lite (RFC 8445 section 2.5): connectivity checks are answered, and none are made. */
#ifndef MT_PATHS_ICE_H
#define MT_PATHS_ICE_H

#include "state/core_state.h"

void mt_ice_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len);

#endif
