/* Who wants a stream. */
#ifndef MT_STATE_LISTENING_H
#define MT_STATE_LISTENING_H

#include "state/core_state.h"

mt_stream *mt_consumer_current_stream(const mt_consumer *c);        /* that it forwards; NULL: none */
bool mt_consumer_listens(const mt_consumer *c, const mt_stream *s); /* forwards it, or is about to */
bool mt_stream_listened(const mt_stream *s);                        /* by a consumer, or by another engine */

#endif
