/* Datagrams of UDP sockets, received and sent in batches (recvmmsg, sendmmsg).
 *
 * An engine has many sockets and one thread, so its sockets share one batch for each direction. A batch that waits to be sent holds
 * datagrams of several sockets in the order in which they were sent. A batch of one socket is sent at once, a mixed one socket by
 * socket.
 *
 * Datagrams that follow each other to one destination leave as one message where they can (io/gso.h), and such messages are taken
 * apart again when they are received (UDP_GRO). What the kernel refuses as one message is sent datagram by datagram.
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

#include <stddef.h>

enum {
  MT_UDP_BATCH = 64,    /* datagrams that are sent at once; the last of them may be a run that makes it more */
  MT_UDP_MESSAGES = 16, /* that are received at once */
};

typedef struct {
  int fd, family; /* family: AF_INET or AF_INET6 */
  bool gso;       /* it can send runs, as far as mt_udp_prepare has found */
} mt_socket;

typedef struct mt_udp mt_udp;

mt_udp *mt_udp_new(bool gso); /* `gso`: datagrams may be sent in runs. NULL: no memory */
void mt_udp_free(mt_udp *u);  /* leaves the sockets open; NULL is allowed */

/* Prepares a new socket of which `fd` and `family` are set: DF, GSO, GRO, and mt_udp_enlarge. */
void mt_udp_prepare(mt_socket *s);
/* Enlarges the kernel's buffers to 8 MiB, because one batch of video for many viewers is a burst. */
void mt_udp_enlarge(int fd);

/* Receives MT_UDP_MESSAGES messages at most and returns their number. 0: none waits. -1: the socket is broken, and errno is set. */
int mt_udp_receive(mt_udp *u, mt_socket s);
/* The next datagram of what was received, valid until the next mt_udp_receive. NULL: that was all. `*from` is the sender's address
 * with kind MT_PATH_UDP. `*len` is in bytes; it is 0 if the datagram was longer than MT_DATAGRAM_MAX. */
uint8_t *mt_udp_next(mt_udp *u, mt_path *from, size_t *len);

/* A buffer of MT_DATAGRAM_MAX bytes for the next datagram. Without an mt_udp_send the same buffer is returned again. */
uint8_t *mt_udp_reserve(mt_udp *u);
/* Adds the `len` bytes in that buffer to the batch. A full batch is sent at once. */
void mt_udp_send(mt_udp *u, mt_socket s, const mt_path *to, size_t len);
/* Sends the batch. It must be called before a socket is closed that a datagram of the batch leaves by. */
void mt_udp_flush(mt_udp *u);
uint64_t mt_udp_lost(const mt_udp *u); /* datagrams that were not sent so far, because the kernel or the socket's family refused */

#endif
