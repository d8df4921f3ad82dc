/* The sockets of plain transports: a pair for each, one socket for RTP and one for RTCP, found by the transport's id.
 *
 * Python has bound the sockets. A pair owns them from then on. Watching and reading them is the thread's part.
 */
#ifndef MT_IO_PAIRS_H
#define MT_IO_PAIRS_H

#include "base/table.h"
#include "io/udp.h"

enum { MT_RTP = 0, MT_RTCP = 1 };

typedef struct {
  mt_node node;
  uint32_t transport;   /* id */
  mt_socket sockets[2]; /* MT_RTP, MT_RTCP */
} mt_pair;

typedef mt_table mt_pairs; /* made by mt_table_init */

void mt_pairs_free(mt_pairs *pairs);                               /* closes all sockets; a table of zeros is allowed */
mt_pair *mt_pairs_find(const mt_pairs *pairs, uint32_t transport); /* NULL: the transport has none */

/* Takes over two bound UDP sockets. NULL: one of them is no IP socket, the transport has a pair already, or there is no memory.
 * Then both are closed. */
mt_pair *mt_pairs_add(mt_pairs *pairs, uint32_t transport, int rtp_fd, int rtcp_fd);
void mt_pairs_remove(mt_pairs *pairs, mt_pair *pair); /* closes both sockets */

#endif
