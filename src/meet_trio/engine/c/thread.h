/* An engine: the core on a thread of its own, which owns the sockets and the clock.
 *
 * Everything here is called from one other thread (Python's), never blocks except to open and to close, and shares nothing
 * with the engine's thread but two rings. That thread holds no lock while packets flow, and never takes Python's.
 */
#ifndef MT_THREAD_H
#define MT_THREAD_H

#include "core/core.h"
#include "links/link.h"
#include "io/listen.h"
#include "io/tcp.h"

typedef struct mt_engine mt_engine;

/* NULL with errno set, and in `addresses` the one that it is about. */
mt_engine *mt_engine_open(const mt_settings *settings, const mt_tcp_settings *tcp, mt_addresses *addresses);
void mt_engine_close(mt_engine *e); /* stops and joins the thread, drops what waits */
uint16_t mt_engine_port(const mt_engine *e);
mt_waker *mt_engine_waker(mt_engine *e);    /* by which other engines wake this one */
int mt_engine_event_fd(const mt_engine *e); /* readable when events wait */

/* False: the ring is full, nothing was done; the event_fd becomes readable once there is room again. What the command holds is
 * the engine's when it is true. */
bool mt_engine_command(mt_engine *e, const mt_command *command);
void mt_engine_give_up(mt_engine *e); /* the thread ends as soon as it can, nobody waits for it */

/* First reset, then take until there is none. `data` of an event is the caller's: give it back. */
void mt_engine_reset_events(mt_engine *e);
bool mt_engine_next_event(mt_engine *e, mt_event *out);
void mt_event_release(mt_event *event);

#endif
