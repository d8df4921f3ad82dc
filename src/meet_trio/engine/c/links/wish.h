/* What a mirror asks of the engine that has its producer. It tells the encodings that are listened to here, and that a key frame is wanted. */
#ifndef MT_LINKS_WISH_H
#define MT_LINKS_WISH_H

#include "state/core_state.h"

void mt_wish_listen(const mt_core *core, const mt_consumer *c, int64_t now); /* it may listen to more than before */
void mt_wish_listen_all(const mt_core *core, mt_producer *m, int64_t now);   /* what all its consumers listen to, no more */
bool mt_wish_keyframe(mt_producer *m, const mt_stream *s, bool listened);    /* false: not now */
void mt_wish_gone(mt_producer *m);                                           /* the mirror leaves its link */

#endif
