/* Events on their way to the sink.
 *
 * Changes are not queued but flagged on the object that they happened to, and a flagged object stands in one list until the sink has
 * taken its events. So nothing is lost when Python is slow, and ten changes of a layer become one event.
 */
#ifndef MT_CORE_EVENTS_H
#define MT_CORE_EVENTS_H

#include "state/core_state.h"

void mt_events_offer(mt_core *core, int64_t now); /* what finds no room is offered again by the next tick */

#endif
