/* The core's ends of its links: taking messages that have come, waking engines after messages were sent, and leaving closed links.
 * The meaning of the messages is in egress/relay.c for the source's end and in ingress/mirror.c for the sink's.
 *
 * A message waits for the commands before it. A mirror is added by a command that is given before the source is told to send, but
 * the thread could see the source's message before that command. So the thread counts the messages, then applies commands, and then
 * takes only the messages that it has counted.
 */
#ifndef MT_CORE_EXCHANGE_H
#define MT_CORE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mt_core mt_core;

void mt_exchange_count(mt_core *core); /* notes for each link how many messages have come */
/* Takes counted messages, at most 256 of each link. Their packets are gathered until mt_core_forward, so they leave with those of
 * datagrams that come before it. True: there are more counted messages. `now`: microseconds. */
bool mt_exchange_take(mt_core *core, int64_t now);
bool mt_exchange_idle(mt_core *core); /* true: no message waits in any link */
/* Shows other engines the messages of this batch, all at once, and wakes the engines that are to take them now. Called after each
 * batch. */
void mt_exchange_flush(mt_core *core);
/* Closes this end of all links and leaves them. `died`: the engine ends by a failure. */
void mt_exchange_leave(mt_core *core, bool died);
void mt_exchange_round(mt_core *core); /* leaves the links whose other end is closed */

#endif
