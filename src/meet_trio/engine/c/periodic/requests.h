/* Requests to clients: NACKs for single packets (RFC 4585 section 6.2.1), PLI and FIR for key frames.
 *
 * The first NACK for a packet is sent when it is still missing after `nack_delay_ms`, or after three newer packets. Further ones
 * follow at intervals of a round trip, but no less than `nack_interval_ms`. The packet is given up after `nack_tries`, or when
 * the gap grows too long (ingress/stream.c). After a video packet is given up decoders cannot go on, so a key frame is wanted.
 *
 * A wanted key frame is remembered until one comes, even before the stream has begun. It is requested again at intervals of
 * `pli_interval_ms` or longer. A mirror sends a wish to the producer's engine instead of PLI and FIR, and no NACKs.
 */
#ifndef MT_PERIODIC_REQUESTS_H
#define MT_PERIODIC_REQUESTS_H

#include "state/core_state.h"

/* Each sends the requests that are due, and returns the time of the next one; INT64_MAX: none. */
int64_t mt_nack_tick(mt_core *core, int64_t now);
int64_t mt_tail_tick(mt_core *core, int64_t now);
int64_t mt_keyframe_tick(mt_core *core, int64_t now);

#endif
