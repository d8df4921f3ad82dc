/* SSRCs that a transport sends, and their next SRTP indices.
 *
 * No index is used twice: a consumer that takes the SSRC of an earlier one goes on at the index where that ended. Ended SSRCs are
 * kept in two ledgers. When the newer one is full, it becomes the older one, whose entries are forgotten. That is safe because
 * Python assigns no SSRC twice in the life of a room.
 */
#ifndef MT_PATHS_SENDERS_H
#define MT_PATHS_SENDERS_H

#include "state/core_state.h"

/* Begins to send under `ssrc`. False: a consumer of the transport uses it, or there is no memory. */
bool mt_sender_take(mt_core *core, mt_transport *t, uint32_t ssrc, mt_sender *out);
/* Ends it. The next index is kept; that needs no memory. */
void mt_sender_leave(mt_core *core, mt_transport *t, const mt_sender *s);

#endif
