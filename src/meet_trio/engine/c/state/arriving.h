/* Which encodings a client sends at the moment.
 *
 * A stream is active until it has been silent for the setting `layer_silence_ms`. It is arriving while it is active and the other
 * encodings of its producer have not left it behind. The choice of layers uses "arriving".
 */
#ifndef MT_STATE_ARRIVING_H
#define MT_STATE_ARRIVING_H

#include "state/core_state.h"

bool mt_stream_active(const mt_core *core, const mt_stream *s, int64_t now);
bool mt_stream_arriving(const mt_core *core, const mt_stream *s, int64_t now);
void mt_stream_note_arrival(mt_stream *s, bool marker, int64_t now); /* a packet of new media has come; `marker`: it ends a frame */

#endif
