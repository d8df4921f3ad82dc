/* The engine's UDP socket: datagrams in and out by batches (recvmmsg, sendmmsg). */
#ifndef MT_UDP_H
#define MT_UDP_H

#include "core.h"

enum { MT_UDP_BATCH = 64 };

typedef struct mt_udp mt_udp;

/* `ip`: numeric, IPv4 or IPv6 (an IPv6 wildcard takes IPv4 too); port 0: any. NULL with errno set. */
mt_udp *mt_udp_open(const char *ip, uint16_t port);
void mt_udp_close(mt_udp *u); /* NULL is allowed */
int mt_udp_fd(const mt_udp *u);
uint16_t mt_udp_port(const mt_udp *u);

/* What has come, at most MT_UDP_BATCH; 0: nothing now. -1: the socket is broken (errno). */
int mt_udp_receive(mt_udp *u);
/* The `i`-th of them; valid until the next mt_udp_receive. */
uint8_t *mt_udp_datagram(mt_udp *u, int i, mt_path *from, size_t *len);

/* Room for one datagram, then put it into the batch; a full batch is sent at once. */
uint8_t *mt_udp_reserve(mt_udp *u);
void mt_udp_send(mt_udp *u, const mt_path *to, size_t len);
void mt_udp_flush(mt_udp *u);
uint64_t mt_udp_lost(const mt_udp *u); /* datagrams that the kernel did not take */

#endif
