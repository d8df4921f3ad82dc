/* Who listens to a stream: the consumers that forward it or are about to, and the engines that it is relayed to.
 *
 * NACKs are sent only for such streams. Key frame requests are too, except for a key frame that was demanded
 * (mt_stream.keyframe_demanded).
 */
#ifndef MT_STATE_LISTENING_H
#define MT_STATE_LISTENING_H

#include "state/core_state.h"

mt_stream *mt_consumer_current_stream(const mt_consumer *c);        /* the stream that it forwards; NULL: none */
bool mt_consumer_listens(const mt_consumer *c, const mt_stream *s); /* it forwards `s`, or `s` is its target; never while paused */
bool mt_stream_listened(const mt_stream *s);                        /* by a consumer here, or by another engine */

#endif
