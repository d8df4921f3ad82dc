/* Offering events to the sink.
 *
 * A change is not queued. It is a flag of the object that has changed (state/changes.h), and a flagged object is in one list until
 * the sink has taken its events. So no change is lost when Python is slow, and ten changes of a layer become one event. DTLS
 * datagrams are no changes: paths/dtls.c offers each once.
 */
#ifndef MT_CORE_EVENTS_H
#define MT_CORE_EVENTS_H

#include "state/core_state.h"

/* Offers the events of all flagged objects, then the statistics that were requested. If the sink has no room, the rest is offered
 * by the next tick. `now`: microseconds. */
void mt_events_offer(mt_core *core, int64_t now);
/* Offers the packets of traces that have waited for long enough. Returns the time of the next call. */
int64_t mt_traces_offer(mt_core *core, int64_t now);

#endif
