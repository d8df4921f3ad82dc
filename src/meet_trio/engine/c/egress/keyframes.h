/* Key frames that a consumer needs, and key frames that its client requests.
 *
 * A key frame is many times as large as another frame, for its publisher and for all clients that watch it. A client makes the
 * engine request one by PLI and FIR, by signaling, by resuming and by choosing a layer. Each consumer has a budget for these: ten
 * at once, then one every three seconds. A request above the budget is put off, not refused, so that a client with a reason to ask
 * gets its picture later. A viewer whose picture is larger than it wants, or that has begun with a smaller one, waits for a key
 * frame that another viewer needs: each join makes the tiles of all others smaller.
 *
 * A key frame that is already requested costs the client nothing. Nor do the engine's own requests: after losses that were given
 * up, and when layers come and go.
 */
#ifndef MT_EGRESS_KEYFRAMES_H
#define MT_EGRESS_KEYFRAMES_H

#include "state/core_state.h"

/* The engine wants a key frame of the consumer's target stream. */
void mt_consumer_want_keyframe(mt_core *core, mt_consumer *c, int64_t now);
/* The client requests a key frame of `s`, or with `s` NULL of the target stream. The request is made now or put off. */
void mt_consumer_ask_keyframe(mt_core *core, mt_consumer *c, mt_stream *s, int64_t now);
/* The same for a client that has a picture meanwhile, and does not need another one soon: the request waits for PATIENCE_US from
 * `since` on, and is not made if a key frame comes for somebody else. */
void mt_consumer_await_keyframe(mt_core *core, mt_consumer *c, const mt_stream *s, int64_t since);
/* The client requests a key frame of the stream that it decodes now. While the consumer is paused there is none. */
void mt_consumer_request_keyframe(mt_core *core, mt_consumer *c, int64_t now);
/* Once a round: makes the requests that were put off and fit the budget now. */
void mt_owed_round(mt_core *core, int64_t now);

#endif
