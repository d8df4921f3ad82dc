/* See udp.h. The kernel's buffers are made large, because one batch of video for many viewers is a burst; a datagram that
 * it does not take even so is lost, as on any network: waiting would hold up all the others.
 */
#define _GNU_SOURCE /* recvmmsg, sendmmsg */
#include "udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { SOCKET_BUFFER = 8 << 20, FULL_WAIT_MS = 1 };

typedef struct {
  struct mmsghdr headers[MT_UDP_BATCH];
  struct iovec parts[MT_UDP_BATCH];
  struct sockaddr_storage addresses[MT_UDP_BATCH];
  uint8_t data[MT_UDP_BATCH][MT_DATAGRAM_MAX];
} batch;

struct mt_udp {
  int fd, family;
  uint16_t port;
  unsigned waiting; /* in `out` */
  uint64_t lost;
  batch in, out;
};

static void batch_init(batch *b) {
  for (unsigned i = 0; i < MT_UDP_BATCH; i++) {
    b->parts[i] = (struct iovec){b->data[i], MT_DATAGRAM_MAX};
    b->headers[i].msg_hdr = (struct msghdr){
        .msg_name = &b->addresses[i], .msg_namelen = sizeof b->addresses[i], .msg_iov = &b->parts[i], .msg_iovlen = 1};
  }
}

static bool parse(const char *ip, uint16_t port, int *family, struct sockaddr_storage *out, socklen_t *len) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (inet_pton(AF_INET, ip, &in.sin_addr) == 1) {
    *family = AF_INET;
    *len = sizeof in;
    memcpy(out, &in, sizeof in);
    return true;
  }
  if (inet_pton(AF_INET6, ip, &in6.sin6_addr) != 1) return false;
  *family = AF_INET6;
  *len = sizeof in6;
  memcpy(out, &in6, sizeof in6);
  return true;
}

static void set_buffer(int fd, int forced, int plain) {
  int size = SOCKET_BUFFER;
  /* the first is root's and goes beyond the system's limit */
  if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0) setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

static bool open_socket(mt_udp *u, const char *ip, uint16_t port) {
  struct sockaddr_storage address;
  socklen_t len;
  if (!parse(ip, port, &u->family, &address, &len)) {
    errno = EINVAL;
    return false;
  }
  u->fd = socket(u->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (u->fd < 0) return false;
  int off = 0;
  if (u->family == AF_INET6) setsockopt(u->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  set_buffer(u->fd, SO_RCVBUFFORCE, SO_RCVBUF);
  set_buffer(u->fd, SO_SNDBUFFORCE, SO_SNDBUF);
  if (bind(u->fd, (struct sockaddr *)&address, len) != 0) return false;
  len = sizeof address;
  if (getsockname(u->fd, (struct sockaddr *)&address, &len) != 0) return false;
  u->port = mt_path_from_sockaddr((struct sockaddr *)&address).port;
  return true;
}

mt_udp *mt_udp_open(const char *ip, uint16_t port) {
  mt_udp *u = calloc(1, sizeof *u);
  if (!u) return NULL;
  u->fd = -1;
  batch_init(&u->in);
  batch_init(&u->out);
  if (open_socket(u, ip, port)) return u;
  int error = errno;
  mt_udp_close(u);
  errno = error;
  return NULL;
}

void mt_udp_close(mt_udp *u) {
  if (!u) return;
  if (u->fd >= 0) close(u->fd);
  free(u);
}

int mt_udp_fd(const mt_udp *u) { return u->fd; }

uint16_t mt_udp_port(const mt_udp *u) { return u->port; }

uint64_t mt_udp_lost(const mt_udp *u) { return u->lost; }

int mt_udp_receive(mt_udp *u) {
  for (unsigned i = 0; i < MT_UDP_BATCH; i++) u->in.headers[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_storage);
  int n = recvmmsg(u->fd, u->in.headers, MT_UDP_BATCH, MSG_DONTWAIT, NULL);
  if (n >= 0) return n;
  /* errors of single destinations (ICMP) are reported here too, and concern nobody */
  bool broken = errno == EBADF || errno == ENOTSOCK || errno == EFAULT || errno == EINVAL;
  return broken ? -1 : 0;
}

uint8_t *mt_udp_datagram(mt_udp *u, int i, mt_path *from, size_t *len) {
  *from = mt_path_from_sockaddr((struct sockaddr *)&u->in.addresses[i]);
  *len = u->in.headers[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : u->in.headers[i].msg_len;
  return u->in.data[i];
}

uint8_t *mt_udp_reserve(mt_udp *u) { return u->out.data[u->waiting]; }

void mt_udp_send(mt_udp *u, const mt_path *to, size_t len) {
  unsigned i = u->waiting++;
  u->out.parts[i].iov_len = len;
  u->out.headers[i].msg_hdr.msg_namelen = mt_path_to_sockaddr(to, u->family, &u->out.addresses[i]);
  if (u->waiting == MT_UDP_BATCH) mt_udp_flush(u);
}

static bool wait_for_room(mt_udp *u) {
  struct pollfd p = {.fd = u->fd, .events = POLLOUT};
  return poll(&p, 1, FULL_WAIT_MS) == 1;
}

void mt_udp_flush(mt_udp *u) {
  unsigned at = 0;
  bool waited = false;
  while (at < u->waiting) {
    int n = sendmmsg(u->fd, u->out.headers + at, u->waiting - at, MSG_DONTWAIT);
    if (n > 0) {
      at += (unsigned)n;
      continue;
    }
    if (errno == EINTR) continue;
    if ((errno == EAGAIN || errno == ENOBUFS) && !waited) {
      waited = true;
      if (wait_for_room(u)) continue;
    }
    u->lost++; /* an error is about the first datagram; the others may go */
    at++;
  }
  u->waiting = 0;
}
