/* From a stream's packets to a consumer's: which are sent, and when an epoch begins.
 *
 * An epoch of video begins with a key frame, an epoch of audio with any packet. A switch waits for the end of the frame that is
 * being sent, so that a decoder never gets half a frame. The key frame stays in the stream's history for those few milliseconds
 * and is sent from there. Late packets of the epoch before (retransmitted by the client, or out of order) still get the numbers
 * that were kept for them.
 *
 * Frames above the wanted layers are left out (egress/temporal.h, egress/numbering.h). The others go to the pacer, which sends them
 * at once or a little later.
 *
 * Nothing is sent while the consumer is paused or its transport has no keys or no selected route.
 */
#ifndef MT_EGRESS_FORWARD_H
#define MT_EGRESS_FORWARD_H

#include "state/core_state.h"

void mt_consumer_forward(mt_core *core, mt_consumer *c, mt_stream *s, mt_packet *p, int64_t now);
/* Begins with a key frame of the history: of the target, or of a lower stream if that one's past is too much for the client's link.
 * False: there is none that will do; one must be requested. */
bool mt_consumer_catch_up(mt_core *core, mt_consumer *c, int64_t now);

#endif
