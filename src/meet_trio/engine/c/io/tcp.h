/* ICE-TCP (RFC 6544, passive): connections that clients open, as paths of kind MT_PATH_TCP.
 *
 * What comes goes to the core frame by frame; what the core sends is framed into a queue of the connection and written once for each
 * batch. A client that does not read fast enough loses datagrams, as on a slow network; it never costs the engine's time.
 *
 * A connection is a stranger until the core has found a route in it, that is a STUN request that knew a transport's password.
 * Strangers are few and short-lived: when there are too many the oldest is closed, because an honest client proves itself
 * within a round trip. What has proved itself lives as long as its route.
 */
#ifndef MT_IO_TCP_H
#define MT_IO_TCP_H

#include "core/core.h"
#include "io/listen.h"
#include "state/figures.h"

typedef struct {
  uint32_t max_connections, max_strangers;
  uint32_t max_strangers_per_address; /* an IPv6 address is its /64 */
  uint32_t stranger_ms;               /* to prove itself in */
  uint32_t send_buffer;               /* bytes that wait for one connection */
} mt_tcp_settings;

/* What epoll says of a listener, beside the kinds of paths; the connection is its index. */
enum { MT_TCP_LISTENER = 255 };

typedef struct mt_tcp mt_tcp;

/* NULL with errno set. `core`, `epoll_fd` and the listeners outlive it. Listeners and connections are watched by themselves, named by
 * kind and connection. */
mt_tcp *mt_tcp_new(const mt_tcp_settings *settings, mt_core *core, int epoll_fd, const mt_listen *listen);
void mt_tcp_free(mt_tcp *t); /* NULL is allowed; the core is told nothing */

/* From the thread's loop. */
void mt_tcp_accept(mt_tcp *t, uint32_t listener, int64_t now);
void mt_tcp_ready(mt_tcp *t, uint32_t connection, int64_t now); /* read, write, or both */
void mt_tcp_flush(mt_tcp *t, int64_t now);                      /* after each batch */
int64_t mt_tcp_tick(mt_tcp *t, int64_t now);                    /* returns when to come again */

/* From the core's sink. */
void mt_tcp_send(mt_tcp *t, const mt_path *to, const uint8_t *data, size_t len);

void mt_tcp_figures(const mt_tcp *t, mt_stats *out);

#endif
