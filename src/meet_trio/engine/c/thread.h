/* An engine: the core on a thread of its own, with a UDP socket, a clock, and a ring to and from the program.
 *
 * mt_engine_command and mt_engine_next_event are called by one other thread (Python's, holding the GIL or not does not matter); both only touch rings.
 */
#ifndef MT_THREAD_H
#define MT_THREAD_H

#include "core.h"

typedef struct mt_engine mt_engine;

typedef struct {
  mt_event event; /* event.data points to `bytes` */
  uint8_t bytes[];
} mt_queued_event;

/* Open the socket (port 0: any free one) and start the thread. NULL with errno set. `ip` is an IPv4 or IPv6 address. */
mt_engine *mt_engine_start(const mt_core_settings *settings, const char *ip, uint16_t port);
uint16_t mt_engine_port(const mt_engine *e);
int mt_engine_event_fd(const mt_engine *e); /* readable when events wait */

/* False when the ring is full or there is no memory. The command is copied. */
bool mt_engine_command(mt_engine *e, const mt_command *command);

/* Reset the eventfd; call before taking events. */
void mt_engine_reset_event_fd(mt_engine *e);
/* The next event, or NULL; free() it. */
mt_queued_event *mt_engine_next_event(mt_engine *e);

/* Stop, join, free everything. Events that were not taken are lost. */
void mt_engine_stop(mt_engine *e);

#endif
