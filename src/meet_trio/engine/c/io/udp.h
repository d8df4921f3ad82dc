/* UDP sockets' datagrams in and out by batches (recvmmsg, sendmmsg). An engine has many sockets and one thread, so all of them
 * share one batch in each direction; a batch that waits to be sent may hold datagrams of several sockets.
 */
#ifndef MT_IO_UDP_H
#define MT_IO_UDP_H

#include "base/limits.h"
#include "formats/path.h"

enum { MT_UDP_BATCH = 64 };

typedef struct {
  int fd, family; /* AF_INET or AF_INET6 */
} mt_socket;

typedef struct mt_udp mt_udp;

mt_udp *mt_udp_new(void);    /* NULL: no memory */
void mt_udp_free(mt_udp *u); /* NULL is allowed; the sockets are the caller's */

/* Makes the kernel's buffers large: one batch of video for many viewers is a burst. */
void mt_udp_enlarge(int fd);

/* What has come, at most MT_UDP_BATCH; 0: nothing now. -1: the socket is broken (errno). */
int mt_udp_receive(mt_udp *u, mt_socket s);
/* The `i`-th of them; valid until the next mt_udp_receive. `from` has the sender's address and kind MT_PATH_UDP. */
uint8_t *mt_udp_datagram(mt_udp *u, int i, mt_path *from, size_t *len);

/* Room for one datagram, then put it into the batch; a full batch is sent at once. What is not put stays free. */
uint8_t *mt_udp_reserve(mt_udp *u);
void mt_udp_send(mt_udp *u, mt_socket s, const mt_path *to, size_t len);
void mt_udp_flush(mt_udp *u);          /* also before a socket is closed that was sent by */
uint64_t mt_udp_lost(const mt_udp *u); /* datagrams that the kernel did not take */

#endif
