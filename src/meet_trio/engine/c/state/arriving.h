/* Which encodings a client sends just now. */
#ifndef MT_STATE_ARRIVING_H
#define MT_STATE_ARRIVING_H

#include "state/core_state.h"

bool mt_stream_active(const mt_core *core, const mt_stream *s, int64_t now);   /* not silent for longer than the setting */
bool mt_stream_arriving(const mt_core *core, const mt_stream *s, int64_t now); /* and the other encodings have not left it behind */
void mt_stream_note_arrival(mt_stream *s, bool marker, int64_t now);           /* new media; `marker`: a frame ends */

#endif
