/* See intake.h. */
#define _GNU_SOURCE /* recvmmsg */
#include "crowd/intake.h"

#include "base/limits.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef UDP_GRO
#define UDP_GRO 104 /* linux/udp.h; older headers lack it */
#endif

enum { BATCH = 16, LARGEST = 65536 /* bytes: datagrams that come as one */, CONTROL = 64 };

struct mt_intake {
  struct mmsghdr headers[BATCH];
  struct iovec parts[BATCH];
  _Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL];
  uint8_t data[BATCH][LARGEST];
};

mt_intake *mt_intake_new(void) {
  mt_intake *in = calloc(1, sizeof *in);
  if (!in) return NULL;
  for (unsigned i = 0; i < BATCH; i++) {
    in->parts[i] = (struct iovec){in->data[i], LARGEST};
    in->headers[i].msg_hdr = (struct msghdr){.msg_iov = &in->parts[i], .msg_iovlen = 1, .msg_control = in->control[i]};
  }
  return in;
}

void mt_intake_free(mt_intake *in) { free(in); }

void mt_intake_prepare(int fd, bool join) {
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on); /* without it the time of reading counts */
  if (join) setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
}

static int64_t us_of(struct timespec t) { return (int64_t)t.tv_sec * MT_SECOND + t.tv_nsec / 1000; }

/* The wall clock is ahead of the monotonic one by this. */
static int64_t clocks_apart(int64_t *now) {
  struct timespec wall, monotonic;
  clock_gettime(CLOCK_REALTIME, &wall);
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  *now = us_of(monotonic);
  return us_of(wall) - *now;
}

/* `*segment`: bytes of each of the datagrams that came as one. */
static void read_control(struct msghdr *m, int64_t apart, int64_t *arrived, size_t *segment) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
      struct timespec t;
      memcpy(&t, CMSG_DATA(c), sizeof t);
      *arrived = us_of(t) - apart;
    }
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
      int size;
      memcpy(&size, CMSG_DATA(c), sizeof size);
      if (size > 0) *segment = (size_t)size;
    }
  }
}

bool mt_intake_receive(mt_intake *in, int fd, mt_intake_take *take, void *context) {
  for (unsigned i = 0; i < BATCH; i++) in->headers[i].msg_hdr.msg_controllen = CONTROL;
  int count = recvmmsg(fd, in->headers, BATCH, MSG_DONTWAIT, NULL);
  if (count <= 0) return false; /* an error is of one datagram: of ICMP */
  int64_t now, apart = clocks_apart(&now);
  for (int i = 0; i < count; i++) {
    size_t len = in->headers[i].msg_len, segment = len;
    int64_t arrived = now;
    read_control(&in->headers[i].msg_hdr, apart, &arrived, &segment);
    for (size_t at = 0; at < len; at += segment) take(context, arrived, in->data[i] + at, len - at < segment ? len - at : segment);
  }
  return count == BATCH;
}
