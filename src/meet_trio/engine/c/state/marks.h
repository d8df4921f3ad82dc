/* What is to be done later, marked where it is noticed. A tick or the sink's next turn finds the marks.
 *
 * A mark is how a lower folder has something done in a higher one without calling it.
 */
#ifndef MT_STATE_MARKS_H
#define MT_STATE_MARKS_H

#include "state/core_state.h"

uint64_t mt_random(mt_core *core);
void mt_due(mt_core *core, int64_t at);                             /* a tick is due no later than that */
void mt_change(mt_core *core, mt_changes *changes, uint32_t flags); /* an event is to be offered */
void mt_want_keyframe(mt_core *core, mt_stream *s, int64_t now);    /* of a codec that has them; asked for by the next tick */
void mt_keyframe_came(mt_stream *s);                                /* or is not wanted any more */

#endif
