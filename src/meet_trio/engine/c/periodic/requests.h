/* Asking a client for what is missing: single packets (NACK, RFC 4585 section 6.2.1) and key frames (PLI, FIR).
 *
 * A packet is asked for when it is still missing after a short while or after three later ones. It is asked for again at intervals of a
 * round trip, but no less than the setting. It is given up after a number of tries, or when the history would not keep it any more. Giving
 * up on video means that decoders cannot go on: a key frame is wanted.
 *
 * A wanted key frame is remembered until one comes, also when the stream has not begun, and asked for again at intervals, never
 * faster.
 */
#ifndef MT_PERIODIC_REQUESTS_H
#define MT_PERIODIC_REQUESTS_H

#include "state/core_state.h"

int64_t mt_nack_tick(mt_core *core, int64_t now);     /* when to come again */
int64_t mt_keyframe_tick(mt_core *core, int64_t now); /* the same */

#endif
