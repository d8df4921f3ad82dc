/* Probes: bytes that are sent faster than the media, so that the estimator learns what the link can carry.
 *
 * A probe repeats packets that were sent lately, as RTX: a client that has missed one can use it, another one drops it. Where a
 * packet is not kept any more, padding takes its place. Media that leaves during a probe is a part of it.
 */
#ifndef MT_EGRESS_PROBING_H
#define MT_EGRESS_PROBING_H

#include "state/core_state.h"

/* Sends what a running probe has to send until now. False: no probe runs any more. */
bool mt_probe_step(mt_core *core, mt_downlink *d, int64_t now);

#endif
