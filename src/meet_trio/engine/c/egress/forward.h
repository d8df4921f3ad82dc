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
 * If the pacer's queue is full, the consumer is behind: it takes nothing that comes, and goes on with the history when the queue has
 * room again. A packet gets its number only when the pacer takes it. So a packet that the history has dropped meanwhile leaves no gap
 * that the client would ask for: the consumer goes on with a key frame.
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
/* The pacer has room for a consumer that is behind: some packets of the history are passed. */
void mt_consumer_go_on(mt_core *core, mt_consumer *c, int64_t now);

#endif
