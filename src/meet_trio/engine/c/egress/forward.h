/* From a stream's packets to a consumer's: which are sent, and when an epoch begins.
 *
 * An epoch begins with a key frame (audio: with any packet). A switch waits for the end of the frame that is being sent, so that a decoder
 * never gets half a frame: the key frame stays in the stream's history for those few milliseconds and is sent from there. Packets of the
 * epoch before that come late (retransmitted to us, or out of order) still get the numbers that were kept for them.
 */
#ifndef MT_EGRESS_FORWARD_H
#define MT_EGRESS_FORWARD_H

#include "state/core_state.h"

void mt_consumer_forward(mt_core *core, mt_consumer *c, mt_stream *s, mt_packet *p, int64_t now);
bool mt_consumer_catch_up(mt_core *core, mt_consumer *c, int64_t now); /* begin with a key frame of the history */

#endif
