/* A path: the remote address of a client's datagrams, and the socket on this side that they come and go by.
 *
 * `kind` and `local` name the socket. A path is a plain value that is compared and hashed byte by byte, so its unused fields are
 * zero. A path proves nothing about its client; paths/routes.h tells which ones do.
 */
#ifndef MT_FORMATS_PATH_H
#define MT_FORMATS_PATH_H

#include "base/table.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum { MT_PATH_NONE = 0, MT_PATH_UDP = 1, MT_PATH_TCP = 2, MT_PATH_PLAIN_RTP = 3, MT_PATH_PLAIN_RTCP = 4 };

typedef struct {
  uint8_t kind;               /* MT_PATH_… */
  uint8_t family;             /* 4 or 6; an IPv4-mapped IPv6 address counts as IPv4 */
  uint16_t port;              /* host byte order */
  union {                     /* the socket on this side */
    uint32_t local;           /* for any kind */
    uint32_t udp_socket;      /* MT_PATH_UDP: index of the engine's sockets */
    uint32_t tcp_connection;  /* MT_PATH_TCP: number of the connection */
    uint32_t plain_transport; /* MT_PATH_PLAIN_*: id of the transport that has the sockets */
  };
  uint8_t ip[16]; /* network byte order; IPv4: the first 4 bytes */
} mt_path;

static inline bool mt_path_equal(const mt_path *a, const mt_path *b) { return memcmp(a, b, sizeof *a) == 0; }

/* `seed`: the core's. Hashes are seeded because clients choose their addresses. */
static inline uint64_t mt_path_hash(const mt_path *p, uint64_t seed) {
  uint64_t w[3];
  memcpy(w, p, sizeof w);
  return mt_hash64(w[0] ^ mt_hash64(w[1] ^ mt_hash64(w[2] ^ seed)));
}

_Static_assert(sizeof(mt_path) == 24, "hashed as three words, and without padding");

/* `sa`: AF_INET or AF_INET6. The path has kind MT_PATH_UDP and `local` 0. */
static inline mt_path mt_path_from_sockaddr(const struct sockaddr *sa) {
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  mt_path p = {.kind = MT_PATH_UDP, .family = 4};
  if (sa->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
    p.port = ntohs(in->sin_port);
    memcpy(p.ip, &in->sin_addr, 4);
    return p;
  }
  const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
  p.port = ntohs(in6->sin6_port);
  if (memcmp(&in6->sin6_addr, mapped, sizeof mapped) == 0) {
    memcpy(p.ip, (const uint8_t *)&in6->sin6_addr + 12, 4);
    return p;
  }
  p.family = 6;
  memcpy(p.ip, &in6->sin6_addr, 16);
  return p;
}

/* `family`: the socket's, AF_INET or AF_INET6. For an AF_INET6 socket an IPv4 address is mapped. Returns the address's length in
 * bytes. */
static inline socklen_t mt_path_to_sockaddr(const mt_path *p, int family, struct sockaddr_storage *out) {
  if (family == AF_INET) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(p->port)};
    memcpy(&in.sin_addr, p->ip, 4);
    memcpy(out, &in, sizeof in);
    return sizeof in;
  }
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(p->port)};
  uint8_t *ip = (uint8_t *)&in6.sin6_addr;
  if (p->family == 4) {
    ip[10] = ip[11] = 0xff;
    memcpy(ip + 12, p->ip, 4);
  } else {
    memcpy(ip, p->ip, 16);
  }
  memcpy(out, &in6, sizeof in6);
  return sizeof in6;
}

#endif
