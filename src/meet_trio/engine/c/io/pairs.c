/* See pairs.h. */
#include "io/pairs.h"

#include "base/list.h"

#include <stdlib.h>
#include <unistd.h>

mt_pair *mt_pairs_find(const mt_pairs *pairs, uint32_t transport) {
  mt_node *n = mt_table_first(pairs, mt_hash64(transport)); /* the hash is a bijection, so no other id has it */
  return n ? MT_OF(n, mt_pair, node) : NULL;
}

static bool socket_init(mt_socket *s, int fd) {
  struct sockaddr_storage own;
  socklen_t len = sizeof own;
  *s = (mt_socket){.fd = fd};
  if (getsockname(fd, (struct sockaddr *)&own, &len) != 0) return false;
  s->family = own.ss_family;
  if (s->family != AF_INET && s->family != AF_INET6) return false;
  mt_udp_prepare(s);
  return true;
}

mt_pair *mt_pairs_add(mt_pairs *pairs, uint32_t transport, int rtp_fd, int rtcp_fd) {
  mt_pair *p = mt_pairs_find(pairs, transport) ? NULL : calloc(1, sizeof *p);
  if (!p || !socket_init(&p->sockets[MT_RTP], rtp_fd) || !socket_init(&p->sockets[MT_RTCP], rtcp_fd)) {
    free(p);
    close(rtp_fd);
    close(rtcp_fd);
    return NULL;
  }
  p->transport = transport;
  mt_table_insert(pairs, &p->node, mt_hash64(transport));
  return p;
}

void mt_pairs_remove(mt_pairs *pairs, mt_pair *p) {
  mt_table_remove(pairs, &p->node);
  close(p->sockets[MT_RTP].fd);
  close(p->sockets[MT_RTCP].fd);
  free(p);
}

void mt_pairs_free(mt_pairs *pairs) {
  if (!pairs->slots) return; /* mt_table_init was not called or failed */
  for (mt_node *n; (n = mt_table_any(pairs));) mt_pairs_remove(pairs, MT_OF(n, mt_pair, node));
  mt_table_free(pairs);
}
