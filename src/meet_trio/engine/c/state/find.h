/* Objects by id. Each kind has ids of its own. NULL: no object has the id, or it was removed. */
#ifndef MT_STATE_FIND_H
#define MT_STATE_FIND_H

#include "state/core_state.h"

mt_transport *mt_find_transport(mt_core *core, uint32_t id);
mt_producer *mt_find_producer(mt_core *core, uint32_t id); /* mirrors too */
mt_consumer *mt_find_consumer(mt_core *core, uint32_t id);

#endif
