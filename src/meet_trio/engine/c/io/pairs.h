/* The sockets of plain transports: a pair for each, RTP's and RTCP's, found by the transport's id. */
#ifndef MT_IO_PAIRS_H
#define MT_IO_PAIRS_H

#include "base/table.h"
#include "io/udp.h"

enum { MT_RTP = 0, MT_RTCP = 1 };

typedef struct {
  mt_node node;
  uint32_t transport;
  mt_socket sockets[2];
} mt_pair;

typedef mt_table mt_pairs; /* mt_table_init */

void mt_pairs_free(mt_pairs *pairs); /* with the sockets */
mt_pair *mt_pairs_find(const mt_pairs *pairs, uint32_t transport);

/* Takes two bound UDP sockets. NULL, and both are closed: they are none, the transport has a pair, or no memory. */
mt_pair *mt_pairs_add(mt_pairs *pairs, uint32_t transport, int rtp_fd, int rtcp_fd);
void mt_pairs_remove(mt_pairs *pairs, mt_pair *pair); /* closes */

#endif
