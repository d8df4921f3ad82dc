/* UDP in batches and runs, on a kernel that is part of the test: it takes messages, cuts them, and refuses what a test tells it to. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

static int fake_sendmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags);
static ssize_t fake_sendmsg(int fd, const struct msghdr *message, int flags);
static int fake_recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags, struct timespec *timeout);
static int fake_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
static int fake_poll(struct pollfd *fds, nfds_t count, int timeout);

#define sendmmsg fake_sendmmsg
#define sendmsg fake_sendmsg
#define recvmmsg fake_recvmmsg
#define setsockopt fake_setsockopt
#define poll fake_poll
#include "io/gso.c"
#include "io/udp.c"
#undef setsockopt

#include "../check.h"

/* ---- the kernel ---- */

enum { MOST = 4096, FD = 7, OTHER_FD = 8 };

typedef struct {
  int fd;
  uint16_t port;
  size_t len;
  uint8_t first; /* byte */
} arrived;

static arrived network[MOST]; /* the datagrams that have left, in order */
static unsigned left, calls, messages, fragmented, waits;
static int run_error;     /* for each run of several datagrams */
static uint16_t run_port; /* only to this port; 0: to any */
static size_t mtu;        /* bytes of a datagram; 0: none */
static unsigned full;     /* so many messages find no room */
static int single_error;  /* for each datagram alone */
static bool may_fragment;
static bool joins;      /* what comes to FD (UDP_GRO) */
static bool old_kernel; /* without UDP_SEGMENT */
static unsigned discoveries, enlarged;

static void reset(void) {
  left = calls = messages = fragmented = waits = full = discoveries = enlarged = 0;
  run_error = single_error = 0;
  run_port = 0;
  mtu = 0;
  may_fragment = true; /* a new socket's (IP_PMTUDISC_WANT) */
  joins = old_kernel = false;
}

static uint16_t port_of(const struct msghdr *m) {
  if (((struct sockaddr *)m->msg_name)->sa_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)m->msg_name)->sin6_port);
  return ntohs(((struct sockaddr_in *)m->msg_name)->sin_port);
}

static size_t segment_of(const struct msghdr *m) {
  struct cmsghdr *c = CMSG_FIRSTHDR(m);
  uint16_t each;
  if (!c) return 0;
  CHECK(c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT && c->cmsg_len == CMSG_LEN(sizeof each));
  memcpy(&each, CMSG_DATA(c), sizeof each);
  return each;
}

/* 0, or an error, and then nothing has left. */
static int take(int fd, const struct msghdr *m) {
  size_t len = m->msg_iov[0].iov_len, segment = segment_of(m), each = segment ? segment : len;
  CHECK(m->msg_iovlen == 1);
  if (full) {
    full--;
    return EAGAIN;
  }
  if (!segment && single_error) return single_error;
  if (segment && run_error && (!run_port || run_port == port_of(m))) return run_error;
  if (segment) CHECK(len > segment && len <= 65507 && (len + segment - 1) / segment <= 64);
  if (mtu && each > mtu && (segment || !may_fragment)) return EMSGSIZE;
  fragmented += mtu && each > mtu;
  for (size_t at = 0; at < len; at += each) {
    CHECK(left < MOST);
    size_t rest = len - at;
    network[left++] = (arrived){fd, port_of(m), rest < each ? rest : each, ((uint8_t *)m->msg_iov[0].iov_base)[at]};
  }
  messages++;
  return 0;
}

static int fake_sendmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags) {
  CHECK(flags == MSG_DONTWAIT && count > 0);
  calls++;
  for (unsigned i = 0; i < count; i++) {
    int error = take(fd, &headers[i].msg_hdr);
    if (!error) continue;
    errno = error;
    return i ? (int)i : -1;
  }
  return (int)count;
}

static ssize_t fake_sendmsg(int fd, const struct msghdr *message, int flags) {
  CHECK(flags == MSG_DONTWAIT);
  errno = take(fd, message);
  return errno ? -1 : (ssize_t)message->msg_iov[0].iov_len;
}

static int fake_setsockopt(int fd, int level, int option, const void *value, socklen_t len) {
  int number;
  CHECK(len == sizeof number && fd > 0);
  memcpy(&number, value, sizeof number);
  if (level == IPPROTO_IP && option == IP_MTU_DISCOVER) {
    may_fragment = number != IP_PMTUDISC_DO;
    discoveries++;
  }
  if (level == IPPROTO_UDP && option == UDP_GRO && fd == FD) joins = number;
  if (level == SOL_SOCKET && number == SOCKET_BUFFER) enlarged++;
  if (level == IPPROTO_UDP && option == UDP_SEGMENT && old_kernel) {
    errno = ENOPROTOOPT;
    return -1;
  }
  return 0;
}

static int fake_poll(struct pollfd *fds, nfds_t count, int timeout) {
  CHECK(count == 1 && fds->events == POLLOUT && timeout <= 1);
  waits++;
  return 1;
}

/* ---- sending ---- */

static mt_udp *udp;
static mt_socket sock, other_sock;
static uint8_t next_byte;

static void open_udp(bool gso) {
  reset();
  sock = (mt_socket){.fd = FD, .family = AF_INET};
  other_sock = (mt_socket){.fd = OTHER_FD, .family = AF_INET};
  mt_udp_prepare(&sock);
  mt_udp_prepare(&other_sock);
  CHECK(!may_fragment && joins && enlarged >= 4); /* both sockets, both ways */
  discoveries = 0;
  udp = mt_udp_new(gso);
  next_byte = 0;
}

static void close_udp(void) { mt_udp_free(udp); }

static mt_path to(uint16_t port) { return (mt_path){.kind = MT_PATH_UDP, .family = 4, .port = port, .ip = {127, 0, 0, 1}}; }

/* Each datagram begins with the next byte. */
static void put_by(mt_socket s, uint16_t port, size_t len) {
  mt_path path = to(port);
  uint8_t *out = mt_udp_reserve(udp);
  memset(out, 0xee, MT_DATAGRAM_MAX); /* there is room for all of it */
  out[0] = next_byte++;
  mt_udp_send(udp, s, &path, len);
}

static void put(uint16_t port, size_t len, unsigned count) {
  while (count--) put_by(sock, port, len);
}

/* All datagrams have left once, those of each port in order. */
static void check_order(unsigned count) {
  bool seen[256] = {false};
  int newest[65536 / 1000];
  CHECK(left == count && count <= 256);
  for (unsigned i = 0; i < 65536 / 1000; i++) newest[i] = -1;
  for (unsigned i = 0; i < left; i++) {
    int *before = &newest[network[i].port / 1000];
    CHECK(!seen[network[i].first]);
    CHECK(network[i].first > *before);
    seen[network[i].first] = true;
    *before = network[i].first;
  }
}

static void test_runs(void) {
  open_udp(true);
  put(1000, 1200, 8);
  put(2000, 1200, 8);
  put(2000, 100, 1); /* the last one may be shorter, */
  put(2000, 100, 2); /* and nothing follows it */
  put(3000, 300, 1);
  put(3000, 301, 2); /* a longer one begins a run */
  CHECK(left == 0);
  mt_udp_flush(udp);
  check_order(22);
  CHECK(calls == 1 && messages == 5);
  CHECK(network[16].len == 100 && network[17].len == 100);
  mt_udp_flush(udp);
  CHECK(calls == 1);
  put(1000, 1200, 1);
  mt_udp_flush(udp);
  CHECK(messages == 6 && mt_udp_lost(udp) == 0);
  close_udp();
}

static void test_sockets_have_runs_of_their_own(void) {
  open_udp(true);
  put_by(sock, 1000, 500);
  put_by(other_sock, 1000, 500);
  put_by(sock, 1000, 500);
  put_by(sock, 1000, 500);
  mt_udp_flush(udp);
  CHECK(left == 4 && messages == 3 && calls == 2);
  CHECK(network[0].fd == FD && network[2].fd == FD && network[3].fd == OTHER_FD && network[3].first == 1);
  close_udp();
}

static void test_limits(void) {
  open_udp(true);
  put(1000, 100, 130); /* 64 to a run */
  mt_udp_flush(udp);
  check_order(130);
  CHECK(messages == 3);
  close_udp();
  open_udp(true);
  put(1000, 2000, 40); /* 65,000 bytes to a run */
  mt_udp_flush(udp);
  check_order(40);
  CHECK(messages == 2);
  close_udp();
  open_udp(true);
  put(1000, 1300, MT_RUN_BYTES / 1300);
  mt_udp_flush(udp);
  CHECK(messages == 1);
  close_udp();
  open_udp(true); /* a batch is sent when the run that fills it ends */
  put(1000, 700, 60);
  put(2000, 700, 60);
  CHECK(left == 0);
  put(3000, 700, 1);
  CHECK(left == 120 && messages == 2);
  mt_udp_flush(udp);
  check_order(121);
  close_udp();
  open_udp(true);
  for (uint16_t i = 0; i < 200; i++) put((uint16_t)(1000 + i), MT_DATAGRAM_MAX, 1);
  mt_udp_flush(udp);
  CHECK(left == 200 && messages == 200);
  for (unsigned i = 0; i < 200; i++) CHECK(network[i].first == i && network[i].port == 1000 + i);
  close_udp();
}

static void test_switched_off(void) {
  open_udp(false);
  put(1000, 1200, 8);
  mt_udp_flush(udp);
  check_order(8);
  CHECK(messages == 8 && calls == 1);
  close_udp();
}

static void test_an_old_kernel(void) {
  open_udp(true);
  old_kernel = true;
  mt_udp_prepare(&sock);
  put(1000, 1200, 8);
  mt_udp_flush(udp);
  check_order(8);
  CHECK(messages == 8 && !sock.gso);
  close_udp();
}

/* Its datagrams leave all the same, once and in order, and its destination gets no runs any more. Others do. */
static void test_refused(int error) {
  open_udp(true);
  run_error = error;
  run_port = 2000;
  put(1000, 1200, 4);
  put(2000, 1200, 4);
  put(3000, 1200, 4);
  mt_udp_flush(udp);
  check_order(12);
  CHECK(messages == 6);
  unsigned before = calls;
  next_byte = 0;
  left = messages = 0;
  put(1000, 1200, 4);
  put(2000, 1200, 4);
  put(3000, 1200, 4);
  mt_udp_flush(udp);
  check_order(12);
  CHECK(messages == 6 && calls == before + 1 && mt_udp_lost(udp) == 0);
  CHECK(waits == 0 && discoveries == 0);
  close_udp();
}

static void test_refused_by_all(void) {
  open_udp(true);
  run_error = EIO;
  for (uint16_t i = 0; i < 1000; i++) {
    left = 0;
    put((uint16_t)(1000 + i), 1200, 2);
    mt_udp_flush(udp);
    CHECK(left == 2);
    CHECK(udp->gso.enabled == (i + 1 < MOST_REFUSALS));
  }
  CHECK(calls < 1000 * 2 + 200); /* a run is tried no more */
  close_udp();
}

/* What a client's way does, say with a small MTU, does not take runs from the others. */
static void test_refused_by_some(void) {
  open_udp(true);
  run_error = EMSGSIZE;
  for (uint16_t i = 0; i < 2 * MOST_REFUSALS; i++) {
    put((uint16_t)(1000 + i), 1200, 2);
    mt_udp_flush(udp);
  }
  CHECK(udp->gso.enabled);
  for (uint16_t i = 0; i < 1000; i++) {
    left = 0;
    run_error = i % 10 == 9 ? 0 : EIO;
    put((uint16_t)(1000 + i), 1200, 2);
    mt_udp_flush(udp);
    run_error = EMSGSIZE;
    put((uint16_t)(10000 + i), 1200, 2);
    mt_udp_flush(udp);
    CHECK(left == 4);
  }
  CHECK(udp->gso.enabled);
  close_udp();
}

/* Datagrams above the MTU leave in fragments; those below it do not. */
static void test_mtu(void) {
  open_udp(true);
  mtu = 1000;
  put(1000, 1200, 3);
  put(2000, 900, 3);
  put(3000, 1500, 1);
  mt_udp_flush(udp);
  check_order(7);
  CHECK(fragmented == 4 && !may_fragment && mt_udp_lost(udp) == 0);
  left = messages = 0;
  put(3000, 900, 3); /* a datagram that was too long alone is no reason to send no runs */
  mt_udp_flush(udp);
  CHECK(left == 3 && messages == 1);
  close_udp();
}

/* Nothing helps: the datagrams are lost, those for others are not. */
static void test_no_way(void) {
  open_udp(true);
  run_error = EIO;
  single_error = ENETUNREACH;
  put(1000, 1200, 3);
  put(2000, 1200, 1);
  mt_udp_flush(udp);
  CHECK(left == 0 && mt_udp_lost(udp) == 4 && waits == 0 && discoveries == 0);
  single_error = 0;
  put(1000, 1200, 1);
  mt_udp_flush(udp);
  CHECK(left == 1 && mt_udp_lost(udp) == 4);
  close_udp();
}

static void test_no_room(void) {
  open_udp(true);
  full = 1; /* and then there is */
  put(1000, 1200, 4);
  put(2000, 1200, 4);
  mt_udp_flush(udp);
  check_order(8);
  CHECK(waits == 1 && mt_udp_lost(udp) == 0);
  left = waits = 0;
  next_byte = 0;
  full = 2;
  put(1000, 1200, 4);
  put(2000, 1200, 3);
  mt_udp_flush(udp);
  CHECK(left == 3 && network[0].port == 2000 && waits == 1 && mt_udp_lost(udp) == 4);
  CHECK(udp->gso.enabled);
  close_udp();
}

static void test_no_way_to_ipv6(void) {
  open_udp(true);
  mt_path path = to(1000);
  path.family = 6;
  mt_udp_reserve(udp)[0] = 1;
  mt_udp_send(udp, sock, &path, 100);
  put(1000, 100, 1);
  mt_udp_flush(udp);
  CHECK(left == 1 && mt_udp_lost(udp) == 1);
  mt_udp_reserve(udp)[0] = 1;
  mt_udp_send(udp, (mt_socket){.fd = OTHER_FD, .family = AF_INET6}, &path, 100);
  mt_udp_flush(udp);
  CHECK(left == 2 && mt_udp_lost(udp) == 1);
  close_udp();
}

/* ---- receiving ---- */

typedef struct {
  size_t len;
  int each; /* 0: it comes alone */
  bool cut;
  int level, type; /* of the note that has `each`; 0: those of UDP_GRO */
} message;

static const message *waiting;
static unsigned waiting_count;
static int receive_error;

static int fake_recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags, struct timespec *timeout) {
  static uint8_t filling;
  CHECK(fd == FD && flags == MSG_DONTWAIT && !timeout && count >= waiting_count);
  if (receive_error) {
    errno = receive_error;
    return -1;
  }
  for (unsigned i = 0; i < waiting_count; i++) {
    struct msghdr *m = &headers[i].msg_hdr;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(1000 + i))};
    CHECK(m->msg_namelen >= sizeof from && m->msg_controllen >= CMSG_SPACE(sizeof(int)) && m->msg_iov->iov_len >= 65507);
    memcpy(m->msg_name, &from, sizeof from);
    m->msg_namelen = sizeof from;
    memset(m->msg_iov->iov_base, ++filling, waiting[i].len);
    headers[i].msg_len = (unsigned)waiting[i].len;
    m->msg_flags = waiting[i].cut ? MSG_TRUNC : 0;
    if (!waiting[i].each) {
      m->msg_controllen = 0;
      continue;
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                          .cmsg_level = waiting[i].level ? waiting[i].level : IPPROTO_UDP,
                          .cmsg_type = waiting[i].type ? waiting[i].type : UDP_GRO};
    memcpy(CMSG_DATA(c), &waiting[i].each, sizeof(int));
  }
  return (int)waiting_count;
}

static void next_is(uint16_t port, size_t len) {
  mt_path from;
  size_t n;
  uint8_t *data = mt_udp_next(udp, &from, &n);
  CHECK(data && from.port == port && n == len);
  if (data) memset(data, 0, n); /* it is decrypted in place, and nothing beside it */
}

static void test_joined_datagrams(void) {
  static const message some[] = {
      {.len = 3000, .each = 1200}, {.len = 50}, {.len = 64 * 1000, .each = 1000}, {.len = 0}, {.len = 700}};
  open_udp(true);
  waiting = some;
  waiting_count = 5;
  CHECK(mt_udp_receive(udp, sock) == 5);
  next_is(1000, 1200);
  next_is(1000, 1200);
  next_is(1000, 600);
  next_is(1001, 50);
  for (unsigned i = 0; i < 64; i++) next_is(1002, 1000);
  next_is(1003, 0);
  next_is(1004, 700);
  mt_path from;
  size_t len;
  CHECK(!mt_udp_next(udp, &from, &len));
  close_udp();
}

static void test_other_notes(void) {
  static const message some[] = {{.len = 900, .each = 300, .level = SOL_SOCKET}, {.len = 800, .each = 300, .type = UDP_SEGMENT}};
  open_udp(true);
  waiting = some;
  waiting_count = 2;
  mt_udp_receive(udp, sock);
  next_is(1000, 900);
  next_is(1001, 800);
  close_udp();
}

/* Errors of single destinations are no errors of the socket. */
static void test_receive_errors(void) {
  static const int broken[] = {EBADF, ENOTSOCK, EFAULT, EINVAL}, passing[] = {EAGAIN, ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENOMEM};
  mt_path from;
  size_t len;
  open_udp(true);
  for (unsigned i = 0; i < sizeof broken / sizeof *broken; i++) {
    receive_error = broken[i];
    CHECK(mt_udp_receive(udp, sock) == -1 && !mt_udp_next(udp, &from, &len));
  }
  for (unsigned i = 0; i < sizeof passing / sizeof *passing; i++) {
    receive_error = passing[i];
    CHECK(mt_udp_receive(udp, sock) == 0 && !mt_udp_next(udp, &from, &len));
  }
  receive_error = 0;
  close_udp();
}

static void test_too_long(void) {
  static const message some[] = {
      {.len = MT_DATAGRAM_MAX}, {.len = MT_DATAGRAM_MAX + 1}, {.len = 500, .cut = true}, {.len = 6000, .each = 3000}};
  open_udp(true);
  waiting = some;
  waiting_count = 4;
  mt_udp_receive(udp, sock);
  next_is(1000, MT_DATAGRAM_MAX);
  next_is(1001, 0);
  next_is(1002, 0);
  next_is(1003, 0);
  next_is(1003, 0);
  close_udp();
}

int main(void) {
  static const int errors[] = {EIO, EINVAL, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP};
  test_runs();
  test_sockets_have_runs_of_their_own();
  test_limits();
  test_switched_off();
  test_an_old_kernel();
  for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) test_refused(errors[i]);
  test_refused_by_all();
  test_refused_by_some();
  test_mtu();
  test_no_way();
  test_no_room();
  test_no_way_to_ipv6();
  test_joined_datagrams();
  test_other_notes();
  test_receive_errors();
  test_too_long();
  return check_result();
}
