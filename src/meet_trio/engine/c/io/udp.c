/* See udp.h. */
#define _GNU_SOURCE /* recvmmsg, sendmmsg */
#include "io/udp.h"

#include "io/gso.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>

/* Since Linux 4.18 and 5.0, but not in every libc's headers */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
  SOCKET_BUFFER = 8 << 20, /* bytes */
  FULL_WAIT_MS = 1,        /* for room in a socket's buffer, at most once for each socket of a batch */
  MESSAGE_MAX = 1 << 16,   /* bytes of a message that the kernel has joined, at most; memory is taken for what is used */
};

typedef union { /* room for one number that comes with a message, or goes with it */
  struct cmsghdr header;
  uint8_t room[CMSG_SPACE(sizeof(int))];
} control;

typedef struct {
  struct mmsghdr headers[MT_UDP_MESSAGES];
  struct iovec parts[MT_UDP_MESSAGES];
  struct sockaddr_storage addresses[MT_UDP_MESSAGES];
  control controls[MT_UDP_MESSAGES];
  uint8_t data[MT_UDP_MESSAGES][MESSAGE_MAX];
} incoming;

typedef struct { /* the messages of one socket on their way to the kernel, each a run */
  const mt_run *runs[MT_BATCH_DATAGRAMS];
  struct mmsghdr headers[MT_BATCH_DATAGRAMS];
  struct iovec parts[MT_BATCH_DATAGRAMS];
  struct sockaddr_storage addresses[MT_BATCH_DATAGRAMS];
  control controls[MT_BATCH_DATAGRAMS];
} outgoing;

struct mt_udp {
  uint64_t lost;  /* datagrams */
  unsigned count; /* messages in `in` */
  unsigned at;    /* the message that is read */
  size_t taken;   /* bytes of it */
  size_t each;    /* bytes of each of its datagrams but the last */
  mt_path from;   /* its sender */
  mt_gso gso;
  outgoing out;
  incoming in;
};

mt_udp *mt_udp_new(bool gso) {
  mt_udp *u = calloc(1, sizeof *u);
  if (!u) return NULL;
  u->gso.enabled = gso;
  for (unsigned i = 0; i < MT_UDP_MESSAGES; i++) {
    u->in.parts[i] = (struct iovec){u->in.data[i], MESSAGE_MAX};
    u->in.headers[i].msg_hdr = (struct msghdr){
        .msg_name = &u->in.addresses[i], .msg_iov = &u->in.parts[i], .msg_iovlen = 1, .msg_control = &u->in.controls[i]};
  }
  return u;
}

void mt_udp_free(mt_udp *u) { free(u); }

uint64_t mt_udp_lost(const mt_udp *u) { return u->lost; }

/* ---- sockets ---- */

static void set_buffer(int fd, int forced, int plain) {
  int size = SOCKET_BUFFER;
  /* the forced option needs root's rights and exceeds the system's limit */
  if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0) setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

void mt_udp_enlarge(int fd) {
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
}

/* IP_PMTUDISC_WANT, the default, lets the kernel make fragments, so it gives each datagram a number of its own (RFC 791). That
 * costs 4 % of its work. An IPv6 socket has the option for IPv4-mapped addresses; IPv6 datagrams have no number. */
static bool set_discovery(int fd, int mode) { return setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &mode, sizeof mode) == 0; }

void mt_udp_prepare(mt_socket *s) {
  int none = 0, on = 1;
  set_discovery(s->fd, IP_PMTUDISC_DO);
  s->gso = setsockopt(s->fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof none) == 0;
  setsockopt(s->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
  mt_udp_enlarge(s->fd);
}

/* ---- in ---- */

int mt_udp_receive(mt_udp *u, mt_socket s) {
  u->count = u->at = 0;
  u->taken = 0;
  for (unsigned i = 0; i < MT_UDP_MESSAGES; i++) {
    u->in.headers[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_storage);
    u->in.headers[i].msg_hdr.msg_controllen = sizeof(control);
  }
  int n = recvmmsg(s.fd, u->in.headers, MT_UDP_MESSAGES, MSG_DONTWAIT, NULL);
  if (n >= 0) {
    u->count = (unsigned)n;
    return n;
  }
  /* ICMP errors of single destinations are reported here too, and are ignored */
  bool broken = errno == EBADF || errno == ENOTSOCK || errno == EFAULT || errno == EINVAL;
  return broken ? -1 : 0;
}

/* The length of the datagrams that the kernel has joined; that of the message if it is one datagram. */
static size_t length_of_each(struct mmsghdr *m) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&m->msg_hdr); c; c = CMSG_NXTHDR(&m->msg_hdr, c)) {
    int each;
    if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO) continue;
    memcpy(&each, CMSG_DATA(c), sizeof each);
    if (each > 0) return (size_t)each;
  }
  return m->msg_len;
}

uint8_t *mt_udp_next(mt_udp *u, mt_path *from, size_t *len) {
  if (u->at == u->count) return NULL;
  unsigned i = u->at;
  struct mmsghdr *m = &u->in.headers[i];
  if (!u->taken) {
    u->from = mt_path_from_sockaddr((struct sockaddr *)&u->in.addresses[i]);
    u->each = length_of_each(m);
  }
  uint8_t *data = u->in.data[i] + u->taken;
  size_t rest = m->msg_len - u->taken, n = rest < u->each ? rest : u->each;
  u->taken += n;
  if (u->taken == m->msg_len) {
    u->at++;
    u->taken = 0;
  }
  *from = u->from;
  *len = n > MT_DATAGRAM_MAX || m->msg_hdr.msg_flags & MSG_TRUNC ? 0 : n;
  return data;
}

/* ---- out ---- */

uint8_t *mt_udp_reserve(mt_udp *u) { return mt_gso_place(&u->gso); }

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

/* Sends messages of one socket until one fails, which the kernel reports only if it is the first. `*waited`: it has waited for room
 * before. Returns how many were sent; 0: failure, with errno set. */
static unsigned send_some(int fd, struct mmsghdr *headers, unsigned count, bool *waited) {
  for (;;) {
    int n = sendmmsg(fd, headers, count, MSG_DONTWAIT);
    if (n > 0) return (unsigned)n;
    if (errno == EINTR) continue;
    if ((errno != EAGAIN && errno != ENOBUFS) || *waited) return 0;
    *waited = true;
    if (!wait_for_room(fd)) return 0;
  }
}

/* Sends the datagrams of a run that the kernel has refused. */
static void send_singly(mt_udp *u, const mt_run *r, const struct msghdr *message, bool *waited) {
  for (size_t at = 0; at < r->len; at += r->each) {
    size_t rest = r->len - at;
    struct iovec part = {u->gso.data + r->at + at, rest < r->each ? rest : r->each};
    struct mmsghdr single = {
        .msg_hdr = {.msg_name = message->msg_name, .msg_namelen = message->msg_namelen, .msg_iov = &part, .msg_iovlen = 1}};
    if (send_some(r->fd, &single, 1, waited)) continue;
    if (errno != EMSGSIZE || !send_in_fragments(r->fd, &single.msg_hdr)) u->lost++;
  }
}

/* The first message was not sent: an error concerns it only, so the others are tried. */
static void send_otherwise(mt_udp *u, const mt_run *r, const struct msghdr *message, bool *waited) {
  if (r->count > 1 && mt_gso_refused(&u->gso, r, errno)) send_singly(u, r, message, waited);
  else if (errno != EMSGSIZE || !send_in_fragments(r->fd, message)) u->lost += r->count;
}

static void note_accepted(mt_udp *u, const mt_run *const *runs, unsigned count) {
  for (unsigned i = 0; i < count; i++)
    if (runs[i]->count > 1) mt_gso_accepted(&u->gso);
}

/* Sends the first `count` messages of `out`, which leave by one socket. */
static void send_all(mt_udp *u, unsigned count) {
  outgoing *o = &u->out;
  bool waited = false;
  for (unsigned at = 0, n; at < count; at += n) {
    n = send_some(o->runs[at]->fd, o->headers + at, count - at, &waited);
    note_accepted(u, o->runs + at, n);
    if (n) continue;
    send_otherwise(u, o->runs[at], &o->headers[at].msg_hdr, &waited);
    n = 1;
  }
}

static void put_message(mt_udp *u, unsigned i, const mt_run *r) {
  outgoing *o = &u->out;
  o->runs[i] = r;
  o->parts[i] = (struct iovec){u->gso.data + r->at, r->len};
  struct msghdr *m = &o->headers[i].msg_hdr;
  *m = (struct msghdr){.msg_name = &o->addresses[i],
                       .msg_namelen = mt_path_to_sockaddr(&r->to, r->family, &o->addresses[i]),
                       .msg_iov = &o->parts[i],
                       .msg_iovlen = 1};
  if (r->count == 1) return;
  uint16_t each = (uint16_t)r->each;
  m->msg_control = &o->controls[i];
  m->msg_controllen = CMSG_SPACE(sizeof each);
  o->controls[i].header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof each), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
  memcpy(CMSG_DATA(&o->controls[i].header), &each, sizeof each);
}

/* Sends the runs of one socket after those of another. */
static void flush(mt_udp *u, size_t rest) {
  mt_gso *g = &u->gso;
  for (unsigned first = 0; first < g->count; first++) {
    int fd = g->runs[first].fd;
    if (fd < 0) continue;
    unsigned count = 0;
    for (unsigned i = first; i < g->count; i++)
      if (g->runs[i].fd == fd) put_message(u, count++, &g->runs[i]);
    send_all(u, count);
    if (!g->mixed) break;
    for (unsigned i = first; i < g->count; i++)
      if (g->runs[i].fd == fd) g->runs[i].fd = -1;
  }
  mt_gso_clear(g, rest);
}

void mt_udp_flush(mt_udp *u) { flush(u, 0); }

void mt_udp_send(mt_udp *u, mt_socket s, const mt_path *to, size_t len) {
  /* An IPv4 socket cannot send to an IPv6 address: its first bytes would be taken for an IPv4 address. */
  if (to->family == 6 && s.family == AF_INET) {
    u->lost++;
    return;
  }
  if (mt_gso_add(&u->gso, s.fd, s.family, s.gso, to, len)) return;
  flush(u, len);
  mt_gso_add(&u->gso, s.fd, s.family, s.gso, to, len);
}
