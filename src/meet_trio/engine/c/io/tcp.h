/* ICE-TCP (RFC 6544, passive candidates): connections that clients open, as paths of kind MT_PATH_TCP.
 *
 * Received bytes go to the core frame by frame (RFC 4571). A datagram that the core sends is framed into a queue of its connection,
 * and the queue is written once for each batch. A client that reads too slowly loses datagrams, as on a slow network; it never
 * delays the engine.
 *
 * A connection is a stranger until its path is a route, that is until it has brought a STUN request with a transport's password.
 * Strangers are few and have little time. If there are too many, the oldest is closed, because an honest client proves itself
 * within a round trip. A proven connection is closed when its route has ended.
 *
 * A connection that fails is only marked at first, because the core may be in the middle of sending to it. It is closed, and the
 * core is told, when the core is not at work. The listening sockets belong to io/listen.c.
 */
#ifndef MT_IO_TCP_H
#define MT_IO_TCP_H

#include "core/core.h"
#include "io/listen.h"
#include "state/figures.h"

typedef struct {
  uint32_t max_connections, max_strangers;
  uint32_t max_strangers_per_address; /* an IPv6 address counts as its /64 network */
  uint32_t stranger_ms;               /* milliseconds: a stranger's time to prove itself */
  uint32_t send_buffer;               /* bytes: the largest queue of a connection */
} mt_tcp_settings;

/* The kind of a listening socket's epoll events; other events have the kind of a path. Their `local` is the listener's index. */
enum { MT_TCP_LISTENER = 255 };

typedef struct mt_tcp mt_tcp;

/* `core`, `epoll_fd` and `listen` must outlive the result. It adds the listeners and connections to epoll; an event's data is `kind
 * << 32 | local`. NULL: failure, with errno set. */
mt_tcp *mt_tcp_new(const mt_tcp_settings *settings, mt_core *core, int epoll_fd, const mt_listen *listen);
void mt_tcp_free(mt_tcp *t); /* closes all connections without telling the core; NULL is allowed */

/* For the thread's loop. Times are microseconds. */
void mt_tcp_accept(mt_tcp *t, uint32_t listener, int64_t now);  /* `listener`: index of a listening socket that is ready */
void mt_tcp_ready(mt_tcp *t, uint32_t connection, int64_t now); /* reads, writes or both; an ended connection is allowed */
void mt_tcp_flush(mt_tcp *t, int64_t now);                      /* writes the queues; called after each batch */
int64_t mt_tcp_tick(mt_tcp *t, int64_t now);                    /* returns the time of the next call */

/* For the core's sink. Queues a datagram of `len` bytes. It is dropped and counted if the connection has ended or its queue is
 * full. */
void mt_tcp_send(mt_tcp *t, const mt_path *to, const uint8_t *data, size_t len);

/* Writes the figures of connections into the core's statistics. */
void mt_tcp_figures(const mt_tcp *t, mt_stats *out);

#endif
