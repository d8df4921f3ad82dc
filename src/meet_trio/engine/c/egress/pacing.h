/* The pacer's steps: what waits leaves as fast as the pace allows, what waits in histories takes its place in the queue, and probes
 * are sent (egress/pacer.h, egress/forward.h, egress/probing.h).
 */
#ifndef MT_EGRESS_PACING_H
#define MT_EGRESS_PACING_H

#include "state/core_state.h"

/* Sends what is due. Returns the time of the next step. */
int64_t mt_pacers_tick(mt_core *core, int64_t now);
/* Sends all that waits, in queues and in histories, whatever the pace. */
void mt_pacers_drain(mt_core *core, int64_t now);

#endif
