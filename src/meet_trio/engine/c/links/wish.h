/* The wishes of a mirror, sent over its link to the engine that has its producer (ingress/mirror.h, egress/relay.h).
 *
 * A mirror tells which encodings its consumers listen to, and that it wants a key frame. All other feedback stays here: the
 * source's engine alone asks the client for anything. A wish is sent only over the mirror's link; a mirror without a link sends
 * none. A wish that finds the ring full is not sent; those for encodings and key frames are repeated later.
 */
#ifndef MT_LINKS_WISH_H
#define MT_LINKS_WISH_H

#include "state/core_state.h"

/* Adds the encodings that consumer `c` listens to. It is called when they may have become more. It does nothing for a consumer of a
 * producer of this engine. `now`: microseconds. */
void mt_wish_listen(const mt_core *core, const mt_consumer *c, int64_t now);
/* Asks for exactly the encodings that the consumers of mirror `m` listen to. It is called ten times a second, so it also repeats a
 * wish that found the ring full. */
void mt_wish_listen_all(const mt_core *core, mt_producer *m, int64_t now);
/* `listened`: a consumer here listens to stream `s`. False: the wish is not sent, because there is no link or no room. */
bool mt_wish_keyframe(mt_producer *m, const mt_stream *s, bool listened);
void mt_wish_gone(mt_producer *m); /* takes the mirror out of its link */

#endif
