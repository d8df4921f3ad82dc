/* See udp.h. */
#define _GNU_SOURCE /* recvmmsg, sendmmsg */
#include "io/udp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum {
  SOCKET_BUFFER = 8 << 20, /* bytes */
  FULL_WAIT_MS = 1,        /* for room in a socket's buffer, at most once for each socket of a batch */
};

typedef struct {
  struct mmsghdr headers[MT_UDP_BATCH];
  struct iovec parts[MT_UDP_BATCH];
  struct sockaddr_storage addresses[MT_UDP_BATCH];
  uint8_t data[MT_UDP_BATCH][MT_DATAGRAM_MAX];
} batch;

struct mt_udp {
  unsigned waiting;                    /* datagrams in `out` */
  bool mixed;                          /* they leave by more than one socket */
  uint64_t lost;                       /* datagrams */
  int sockets[MT_UDP_BATCH];           /* the socket of each datagram in `out`; -1: it was sent */
  struct mmsghdr sorted[MT_UDP_BATCH]; /* the headers of one socket's datagrams */
  batch in, out;
};

static void batch_init(batch *b) {
  for (unsigned i = 0; i < MT_UDP_BATCH; i++) {
    b->parts[i] = (struct iovec){b->data[i], MT_DATAGRAM_MAX};
    b->headers[i].msg_hdr = (struct msghdr){
        .msg_name = &b->addresses[i], .msg_namelen = sizeof b->addresses[i], .msg_iov = &b->parts[i], .msg_iovlen = 1};
  }
}

mt_udp *mt_udp_new(void) {
  mt_udp *u = calloc(1, sizeof *u);
  if (!u) return NULL;
  batch_init(&u->in);
  batch_init(&u->out);
  return u;
}

void mt_udp_free(mt_udp *u) { free(u); }

static void set_buffer(int fd, int forced, int plain) {
  int size = SOCKET_BUFFER;
  /* the forced option needs root's rights and exceeds the system's limit */
  if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0) setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

/* IP_PMTUDISC_WANT, the default, lets the kernel make fragments, so it gives each datagram a number of its own (RFC 791). That
 * costs 4 % of its work. An IPv6 socket has the option for IPv4-mapped addresses; IPv6 datagrams have no number. */
static bool set_discovery(int fd, int mode) { return setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &mode, sizeof mode) == 0; }

void mt_udp_prepare(int fd) {
  set_discovery(fd, IP_PMTUDISC_DO);
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
}

uint64_t mt_udp_lost(const mt_udp *u) { return u->lost; }

int mt_udp_receive(mt_udp *u, mt_socket s) {
  for (unsigned i = 0; i < MT_UDP_BATCH; i++) u->in.headers[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_storage);
  int n = recvmmsg(s.fd, u->in.headers, MT_UDP_BATCH, MSG_DONTWAIT, NULL);
  if (n >= 0) return n;
  /* ICMP errors of single destinations are reported here too, and are ignored */
  bool broken = errno == EBADF || errno == ENOTSOCK || errno == EFAULT || errno == EINVAL;
  return broken ? -1 : 0;
}

uint8_t *mt_udp_datagram(mt_udp *u, int i, mt_path *from, size_t *len) {
  *from = mt_path_from_sockaddr((struct sockaddr *)&u->in.addresses[i]);
  *len = u->in.headers[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : u->in.headers[i].msg_len;
  return u->in.data[i];
}

uint8_t *mt_udp_reserve(mt_udp *u) { return u->out.data[u->waiting]; }

void mt_udp_send(mt_udp *u, mt_socket s, const mt_path *to, size_t len) {
  /* An IPv4 socket cannot send to an IPv6 address: its first bytes would be taken for an IPv4 address. */
  if (to->family == 6 && s.family == AF_INET) {
    u->lost++;
    return;
  }
  unsigned i = u->waiting++;
  u->sockets[i] = s.fd;
  if (s.fd != u->sockets[0]) u->mixed = true;
  u->out.parts[i].iov_len = len;
  u->out.headers[i].msg_hdr.msg_namelen = mt_path_to_sockaddr(to, s.family, &u->out.addresses[i]);
  if (u->waiting == MT_UDP_BATCH) mt_udp_flush(u);
}

static bool wait_for_room(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLOUT};
  return poll(&p, 1, FULL_WAIT_MS) == 1;
}

/* The datagram is longer than its path's MTU. False: the kernel does not take it. */
static bool send_in_fragments(int fd, const struct msghdr *datagram) {
  bool sent = set_discovery(fd, IP_PMTUDISC_WANT) && sendmsg(fd, datagram, MSG_DONTWAIT) >= 0;
  set_discovery(fd, IP_PMTUDISC_DO);
  return sent;
}

/* Sends one socket's datagrams. */
static void send_by(mt_udp *u, int fd, struct mmsghdr *headers, unsigned count) {
  unsigned at = 0;
  bool waited = false;
  while (at < count) {
    int n = sendmmsg(fd, headers + at, count - at, MSG_DONTWAIT);
    if (n > 0) {
      at += (unsigned)n;
      continue;
    }
    if (errno == EINTR) continue;
    if ((errno == EAGAIN || errno == ENOBUFS) && !waited) {
      waited = true;
      if (wait_for_room(fd)) continue;
    }
    if (errno != EMSGSIZE || !send_in_fragments(fd, &headers[at].msg_hdr)) u->lost++;
    at++; /* an error concerns the first datagram only, so the others are tried */
  }
}

static void flush_mixed(mt_udp *u) {
  for (unsigned first = 0; first < u->waiting; first++) {
    int fd = u->sockets[first];
    if (fd < 0) continue;
    unsigned count = 0;
    for (unsigned i = first; i < u->waiting; i++) {
      if (u->sockets[i] != fd) continue;
      u->sorted[count++] = u->out.headers[i];
      u->sockets[i] = -1;
    }
    send_by(u, fd, u->sorted, count);
  }
}

void mt_udp_flush(mt_udp *u) {
  if (u->mixed) flush_mixed(u);
  else if (u->waiting) send_by(u, u->sockets[0], u->out.headers, u->waiting);
  u->waiting = 0;
  u->mixed = false;
}
