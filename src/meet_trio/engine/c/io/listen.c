/* See listen.h. */
#define _GNU_SOURCE
#include "io/listen.h"

#include "formats/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78 /* linux/in6.h, which does not go together with netinet/in.h */
#endif

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
  bool v6 = out->family == AF_INET6;
  if (a->free_bind) setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &one, sizeof one);
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

/* ---- sockets of an earlier process ---- */

static bool has_option(int fd, int level, int name, int value) {
  int is = -1;
  socklen_t len = sizeof is;
  return getsockopt(fd, level, name, &is, &len) == 0 && is == value;
}

/* An IPv6 wildcard accepts IPv4, or not, as a new socket would. */
static bool is_kind(int fd, int family, int type, bool v6_only) {
  bool tcp = type == SOCK_STREAM;
  if (!has_option(fd, SOL_SOCKET, SO_DOMAIN, family) || !has_option(fd, SOL_SOCKET, SO_TYPE, type)) return false;
  if (!has_option(fd, SOL_SOCKET, SO_PROTOCOL, tcp ? IPPROTO_TCP : IPPROTO_UDP)) return false;
  if (tcp && !has_option(fd, SOL_SOCKET, SO_ACCEPTCONN, 1)) return false;
  return family != AF_INET6 || has_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6_only);
}

static bool same_ip(const struct sockaddr_storage *a, const struct sockaddr_storage *b) {
  mt_path left = mt_path_from_sockaddr((const struct sockaddr *)(const void *)a);
  mt_path right = mt_path_from_sockaddr((const struct sockaddr *)(const void *)b);
  return left.family == right.family && memcmp(left.ip, right.ip, sizeof left.ip) == 0;
}

/* A UDP socket that is connected would receive from one client only. */
static bool is_connected(int fd) {
  struct sockaddr_storage peer;
  socklen_t len = sizeof peer;
  return getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

static bool prepare_adopted(int fd) {
  int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
  return status >= 0 && flags >= 0 && fcntl(fd, F_SETFL, status | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0;
}

/* `*port` as in open_socket. False: `fd` is no such socket, with errno set. */
static bool adopt_socket(const mt_addresses *a, unsigned i, int type, int fd, uint16_t *port, mt_socket *out) {
  struct sockaddr_storage wanted = {0}, own = {0};
  socklen_t len, own_len = sizeof own;
  *out = (mt_socket){.fd = fd, .family = parse(a->ips[i], 0, &wanted, &len)};
  if (out->family < 0 || getsockname(fd, (struct sockaddr *)&own, &own_len) != 0) return false;
  if (own.ss_family != out->family || !is_kind(fd, out->family, type, a->count > 1) || is_connected(fd)) {
    errno = EADDRNOTAVAIL;
    return false;
  }
  uint16_t bound = mt_path_from_sockaddr((struct sockaddr *)&own).port;
  if (!bound || (*port && bound != *port) || !same_ip(&own, &wanted)) {
    errno = EADDRNOTAVAIL;
    return false;
  }
  *port = bound;
  return prepare_adopted(fd);
}

static bool adopt_all(mt_listen *l, mt_addresses *a) {
  uint16_t port = a->port;
  for (unsigned i = 0; i < a->count; i++) {
    a->refused = i;
    a->refused_tcp = false;
    if (!adopt_socket(a, i, SOCK_DGRAM, a->sockets[i][0], &port, &l->udp[i])) return false;
    a->refused_tcp = true;
    if (!adopt_socket(a, i, SOCK_STREAM, a->sockets[i][1], &port, &l->tcp[i])) return false;
  }
  for (unsigned i = 0; i < a->count; i++) mt_udp_prepare(&l->udp[i]);
  l->count = a->count;
  a->port = port;
  return true;
}

bool mt_listen_open(mt_listen *l, mt_addresses *a) {
  l->count = 0;
  if (a->adopted) return adopt_all(l, a);
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
