/* Marks of work to be done later. The place that notices the work sets a mark; a tick, or the next offer of events, finds it.
 *
 * With a mark a lower folder has something done in a higher one without calling it.
 */
#ifndef MT_STATE_MARKS_H
#define MT_STATE_MARKS_H

#include "state/core_state.h"

uint64_t mt_random(mt_core *core);                                  /* not for secrets */
void mt_mark_busy(mt_core *core, mt_transport *t);                  /* each round visits it, until it is quiet again */
void mt_due(mt_core *core, int64_t at);                             /* the next tick is due at time `at` or earlier */
void mt_change(mt_core *core, mt_changes *changes, uint32_t flags); /* events are to be offered; `flags`: MT_CHANGED_… */
/* The next tick asks for a key frame, and again until one comes. Nothing happens if the codec has no key frames. */
void mt_want_keyframe(mt_core *core, mt_stream *s, int64_t now);
/* When the client may be asked for a key frame next; 0: it never was. */
int64_t mt_keyframe_due(const mt_core *core, const mt_stream *s, int64_t now);
void mt_keyframe_came(mt_stream *s);                     /* a key frame has come, or is no longer wanted */
void mt_mark_allocation(mt_core *core, mt_transport *t); /* the next tick allocates the layers of its consumers anew */

#endif
