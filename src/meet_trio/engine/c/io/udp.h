/* Datagrams of UDP sockets, received and sent in batches (recvmmsg, sendmmsg).
 *
 * An engine has many sockets and one thread, so its sockets share one batch for each direction. A batch that waits to be sent holds
 * datagrams of several sockets in the order in which they were sent. A batch of one socket is sent at once, a mixed one socket by
 * socket.
 *
 * Datagrams leave with DF, so the kernel need not number them. One that is longer than the MTU of its path is sent in fragments.
 *
 * A datagram that the kernel does not take is lost, as on any network: waiting would delay all other datagrams. Opening and closing
 * sockets is left to io/listen.c and io/pairs.c.
 */
#ifndef MT_IO_UDP_H
#define MT_IO_UDP_H

#include "base/limits.h"
#include "formats/path.h"

enum { MT_UDP_BATCH = 64 }; /* datagrams */

typedef struct {
  int fd, family; /* family: AF_INET or AF_INET6 */
} mt_socket;

typedef struct mt_udp mt_udp;

mt_udp *mt_udp_new(void);    /* NULL: no memory */
void mt_udp_free(mt_udp *u); /* leaves the sockets open; NULL is allowed */

/* Sets a new socket's options: DF, and buffers of 8 MiB in the kernel, because one batch of video for many viewers is a burst. */
void mt_udp_prepare(int fd);

/* Receives at most MT_UDP_BATCH datagrams and returns their number. 0: none waits. -1: the socket is broken, and errno is set. */
int mt_udp_receive(mt_udp *u, mt_socket s);
/* The `i`-th of these datagrams, valid until the next mt_udp_receive. `*from` is the sender's address with kind MT_PATH_UDP. `*len`
 * is in bytes; it is 0 if the datagram was longer than MT_DATAGRAM_MAX. */
uint8_t *mt_udp_datagram(mt_udp *u, int i, mt_path *from, size_t *len);

/* A buffer of MT_DATAGRAM_MAX bytes for the next datagram. Without an mt_udp_send the same buffer is returned again. */
uint8_t *mt_udp_reserve(mt_udp *u);
/* Adds the `len` bytes in that buffer to the batch. A full batch is sent at once. */
void mt_udp_send(mt_udp *u, mt_socket s, const mt_path *to, size_t len);
/* Sends the batch. It must be called before a socket is closed that a datagram of the batch leaves by. */
void mt_udp_flush(mt_udp *u);
uint64_t mt_udp_lost(const mt_udp *u); /* datagrams that were not sent so far, because the kernel or the socket's family refused */

#endif
