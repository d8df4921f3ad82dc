/* See listen.h. */
#include "io/listen.h"

#include "formats/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
  PORT_TRIES = 64, /* until a port is free at all addresses */
  BACKLOG = 512,   /* connections that wait to be accepted */
};

/* Returns AF_INET or AF_INET6. -1: `ip` is no address, and errno is set. */
static int parse(const char *ip, uint16_t port, struct sockaddr_storage *out, socklen_t *len) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (inet_pton(AF_INET, ip, &in.sin_addr) == 1) {
    *len = sizeof in;
    memcpy(out, &in, sizeof in);
    return AF_INET;
  }
  errno = EINVAL;
  if (inet_pton(AF_INET6, ip, &in6.sin6_addr) != 1) return -1;
  *len = sizeof in6;
  memcpy(out, &in6, sizeof in6);
  return AF_INET6;
}

/* Opens a socket at the `i`-th address and at `*port`. If `*port` is 0, it receives the kernel's choice. False: failure, with errno
 * set. */
static bool open_socket(const mt_addresses *a, unsigned i, int type, uint16_t *port, mt_socket *out) {
  struct sockaddr_storage address;
  socklen_t len;
  *out = (mt_socket){.fd = -1, .family = parse(a->ips[i], *port, &address, &len)};
  if (out->family < 0) return false;
  int fd = socket(out->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  int one = 1, v6_only = a->count > 1;
  if (out->family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
  /* connections of an earlier server at this port may not have ended yet */
  if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&address, len) != 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) != 0) ||
      (len = sizeof address, getsockname(fd, (struct sockaddr *)&address, &len)) != 0) {
    int error = errno;
    close(fd);
    errno = error;
    return false;
  }
  out->fd = fd;
  *port = mt_path_from_sockaddr((struct sockaddr *)&address).port;
  return true;
}

static bool open_both(mt_listen *l, mt_addresses *a, uint16_t *port) {
  unsigned i = l->count;
  a->refused = i;
  a->refused_tcp = false;
  if (!open_socket(a, i, SOCK_DGRAM, port, &l->udp[i])) return false;
  mt_udp_prepare(&l->udp[i]);
  a->refused_tcp = true;
  if (open_socket(a, i, SOCK_STREAM, port, &l->tcp[i])) return true;
  int error = errno;
  close(l->udp[i].fd);
  errno = error;
  return false;
}

static bool open_all(mt_listen *l, mt_addresses *a, uint16_t *port) {
  for (; l->count < a->count; l->count++)
    if (!open_both(l, a, port)) return false;
  return true;
}

bool mt_listen_open(mt_listen *l, mt_addresses *a) {
  for (unsigned i = 0; i < PORT_TRIES; i++) {
    uint16_t port = a->port;
    l->count = 0;
    if (open_all(l, a, &port)) {
      a->port = port;
      return true;
    }
    int error = errno;
    mt_listen_close(l);
    errno = error;
    if (a->port || error != EADDRINUSE) break;
  }
  return false;
}

void mt_listen_close(mt_listen *l) {
  while (l->count) {
    l->count--;
    close(l->udp[l->count].fd);
    close(l->tcp[l->count].fd);
  }
}
