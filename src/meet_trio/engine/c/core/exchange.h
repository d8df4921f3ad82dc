/* The core's ends of its links: taking what has come, ringing for what was sent, letting go of what is closed. What the
 * messages mean is told by relay.c for the source's end and by mirror.c for the sink's.
 *
 * Messages wait for commands: a mirror is added by a command that was given before the source was told to send, but a message
 * may be seen first. So links are looked at before commands are applied, and only what was seen then is taken after.
 */
#ifndef MT_CORE_EXCHANGE_H
#define MT_CORE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mt_core mt_core;

void mt_exchange_count(mt_core *core);
bool mt_exchange_take(mt_core *core, int64_t now); /* takes what was seen; true: there is more of it */
bool mt_exchange_idle(mt_core *core);              /* nothing has come */
void mt_exchange_wake(mt_core *core);              /* wake those whom something was sent to; after each batch */
void mt_exchange_leave(mt_core *core);             /* closes this end of all links, as mt_core_free does too */
void mt_exchange_round(mt_core *core);             /* lets go of closed ones */

#endif
