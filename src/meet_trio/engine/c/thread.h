/* An engine: the core on a thread of its own, which owns the sockets and the clock.
 *
 * All functions here are called from one other thread, which is Python's. They do not block, except for opening and closing. The
 * two threads share only two rings (commands and events), a few marks and their eventfds. The engine's thread holds no lock while
 * packets flow, and never takes Python's (GIL).
 *
 * In one turn of its loop the thread waits for a socket, a command or the core's next deadline; applies commands; passes on
 * received datagrams in batches; lets the core do what is due; sends; and wakes Python if there are new events. Each source is
 * served for a few batches in a turn, and then waits for the next turn.
 *
 * A new engine is held: its thread applies commands, and does nothing else, until the command MT_BEGIN. It reads no socket and no
 * link, accepts no connection and lets no time pass for the core. So all commands before MT_BEGIN, however many, are applied before
 * the first datagram. What comes meanwhile waits in the kernel. MT_HOLD holds it again: it ends the turn in which it comes, before
 * anything more is read. Then another process may have the sockets and read the region. The end of a held engine sends nothing.
 *
 * The thread wakes Python by writing an eventfd, and writes it again only after Python has read it, because every wake-up costs
 * Python's main thread tens of microseconds.
 */
#ifndef MT_THREAD_H
#define MT_THREAD_H

#include "core/core.h"
#include "links/link.h"
#include "io/listen.h"
#include "io/tcp.h"

typedef struct mt_engine mt_engine;

typedef struct {
  bool gso; /* UDP datagrams may leave in runs (io/gso.h) */
} mt_udp_settings;

/* Opens the sockets, or adopts those of `addresses`, and starts the thread. NULL: failure, with errno set; if an address was refused,
 * `addresses` tells which. Sockets that were to be adopted stay the caller's then. `region`: as for mt_core_new_in. */
mt_engine *mt_engine_open(const mt_settings *settings, const mt_udp_settings *udp, const mt_tcp_settings *tcp,
                          mt_addresses *addresses, mt_region *region);
void mt_engine_join(mt_engine *e);  /* ends the thread and waits for it; commands that wait are not applied any more */
void mt_engine_close(mt_engine *e); /* the same, drops waiting commands and events, and frees all */
uint16_t mt_engine_port(const mt_engine *e);
const mt_listen *mt_engine_listen(const mt_engine *e); /* its sockets */
mt_waker *mt_engine_waker(mt_engine *e);               /* for links from other engines; the engine keeps its reference */
int mt_engine_event_fd(const mt_engine *e);            /* an eventfd that is readable when events wait; it stays the engine's */

/* True: the engine owns what the command owns. False: the ring is full, and the command stays the caller's. The eventfd becomes
 * readable when there is room again. */
bool mt_engine_command(mt_engine *e, const mt_command *command);
void mt_engine_give_up(mt_engine *e); /* tells the thread to end, and does not wait for it */

/* Python first resets the eventfd, and then takes events until there is none, so that it misses none. */
void mt_engine_reset_events(mt_engine *e);
/* False: no event waits. The caller releases the event with mt_event_release, which frees its `data`. */
bool mt_engine_next_event(mt_engine *e, mt_event *out);
void mt_event_release(mt_event *event);

#endif
