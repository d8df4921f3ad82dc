/* Key frames that a consumer needs, and those that its client asks for.
 *
 * A key frame costs its publisher, and all others that watch it, many times a frame. A client makes us ask for one by PLI and FIR, by
 * resuming and by choosing a layer. It pays from a budget of the consumer's own: ten at once, then one every three seconds. A request
 * above that is put off, not refused: a viewer with a reason to ask gets its picture, if later. A key frame that is asked for already
 * costs nothing, and the engine's own wishes (losses that were given up, layers that come and go) are not the client's.
 */
#ifndef MT_EGRESS_KEYFRAMES_H
#define MT_EGRESS_KEYFRAMES_H

#include "state/core_state.h"

void mt_consumer_want_keyframe(mt_core *core, mt_consumer *c, int64_t now); /* of the stream that it waits for */
/* Its client asks for one, of `s` or (NULL) of the stream that it waits for; now, or put off. */
void mt_consumer_ask_keyframe(mt_core *core, mt_consumer *c, mt_stream *s, int64_t now);
void mt_owed_round(mt_core *core, int64_t now); /* those that were put off */

#endif
