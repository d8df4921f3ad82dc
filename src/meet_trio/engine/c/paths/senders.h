/* SSRCs that we send, and their SRTP indices. No index is used twice: where a consumer ends, a later one with its SSRC begins.
 *
 * Python gives no SSRC twice in a room's life. That is why SSRCs that ended many thousands ago may be forgotten.
 */
#ifndef MT_PATHS_SENDERS_H
#define MT_PATHS_SENDERS_H

#include "state/core_state.h"

bool mt_sender_take(mt_core *core, mt_transport *t, uint32_t ssrc, mt_sender *out); /* false: a consumer has it, or no memory */
void mt_sender_leave(mt_core *core, mt_transport *t, const mt_sender *s);

#endif
