/* The thread around the core: epoll on the socket and the command ring's eventfd, recvmmsg, one sendmmsg for all that a batch gave.
 *
 * Rings have one producer and one consumer each and hold pointers; whoever takes an entry frees it. The thread is woken by an eventfd for
 * commands and wakes Python by another one for events, written once between two resets, because each wake-up costs Python tens of microseconds.
 * Commands are applied between batches. Without transports the thread sleeps until something comes.
 */
#define _GNU_SOURCE
#include "thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  MT_RING = 16384, /* power of two */
  MT_BATCH = 64,
  MT_OUT = 256,
  MT_TICK_MS = 10,
  MT_SOCKET_BUFFER = 8 << 20,
};

typedef struct {
  void *slots[MT_RING];
  _Alignas(64) atomic_size_t head; /* taken */
  _Alignas(64) atomic_size_t tail; /* put */
} mt_ring;

static bool ring_put(mt_ring *r, void *item) {
  size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
  if (tail - atomic_load_explicit(&r->head, memory_order_acquire) == MT_RING) return false;
  r->slots[tail % MT_RING] = item;
  atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
  return true;
}

static void *ring_take(mt_ring *r) {
  size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
  if (head == atomic_load_explicit(&r->tail, memory_order_acquire)) return NULL;
  void *item = r->slots[head % MT_RING];
  atomic_store_explicit(&r->head, head + 1, memory_order_release);
  return item;
}

struct mt_engine {
  mt_core *core;
  int socket, epoll, command_fd, event_fd;
  bool ipv6;
  uint16_t port;
  pthread_t thread;
  atomic_bool stop, event_signalled;
  mt_ring commands, events;
  /* out */
  unsigned out_count;
  struct mmsghdr out[MT_OUT];
  struct iovec out_iov[MT_OUT];
  struct sockaddr_storage out_addr[MT_OUT];
  uint8_t out_bytes[MT_OUT][MT_MAX_DATAGRAM];
  /* in */
  struct mmsghdr in[MT_BATCH];
  struct iovec in_iov[MT_BATCH];
  struct sockaddr_storage in_addr[MT_BATCH];
  uint8_t in_bytes[MT_BATCH][MT_MAX_DATAGRAM];
};

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t now_ntp(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return ((uint64_t)t.tv_sec + 2208988800u) << 32 | ((uint64_t)t.tv_nsec << 32) / 1000000000u;
}

/* ---- addresses */

static void from_sockaddr(const struct sockaddr_storage *in, mt_addr *out) {
  memset(out, 0, sizeof *out);
  if (in->ss_family == AF_INET) {
    const struct sockaddr_in *a = (const struct sockaddr_in *)in;
    out->ip[10] = out->ip[11] = 0xff;
    memcpy(out->ip + 12, &a->sin_addr, 4);
    out->port = ntohs(a->sin_port);
  } else {
    const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)in;
    memcpy(out->ip, &a->sin6_addr, 16);
    out->port = ntohs(a->sin6_port);
  }
}

static socklen_t to_sockaddr(const mt_engine *e, const mt_addr *in, struct sockaddr_storage *out) {
  if (e->ipv6) {
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)out;
    *a = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(in->port)};
    memcpy(&a->sin6_addr, in->ip, 16);
    return sizeof *a;
  }
  struct sockaddr_in *a = (struct sockaddr_in *)out;
  *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(in->port)};
  memcpy(&a->sin_addr, in->ip + 12, 4);
  return sizeof *a;
}

/* ---- what the core speaks to */

static void flush(mt_engine *e) {
  unsigned done = 0;
  while (done < e->out_count) {
    int n = sendmmsg(e->socket, e->out + done, e->out_count - done, 0);
    /* an error is the first message's; that one is lost, as a network may lose it */
    done += n > 0 ? (unsigned)n : 1;
  }
  e->out_count = 0;
}

static uint8_t *sink_buffer(void *ctx) {
  mt_engine *e = ctx;
  if (e->out_count == MT_OUT) flush(e);
  return e->out_bytes[e->out_count];
}

static void sink_send(void *ctx, const mt_addr *to, size_t len) {
  mt_engine *e = ctx;
  unsigned i = e->out_count++;
  e->out_iov[i] = (struct iovec){e->out_bytes[i], len};
  e->out[i].msg_hdr = (struct msghdr){.msg_name = &e->out_addr[i], .msg_namelen = to_sockaddr(e, to, &e->out_addr[i]), .msg_iov = &e->out_iov[i], .msg_iovlen = 1};
}

static bool sink_event(void *ctx, const mt_event *event) {
  mt_engine *e = ctx;
  mt_queued_event *q = malloc(sizeof *q + event->len);
  if (q == NULL) return false;
  q->event = *event;
  if (event->len > 0) memcpy(q->bytes, event->data, event->len);
  q->event.data = q->bytes;
  if (!ring_put(&e->events, q)) {
    free(q);
    return false;
  }
  if (!atomic_exchange(&e->event_signalled, true)) {
    uint64_t one = 1;
    (void)!write(e->event_fd, &one, sizeof one);
  }
  return true;
}

/* ---- the thread */

static void fail(mt_engine *e, const char *what) {
  char text[128];
  int n = snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
  sink_event(e, &(mt_event){.type = MT_EVENT_FAILED, .data = (const uint8_t *)text, .len = n > 0 ? (size_t)n : 0});
}

static void apply_commands(mt_engine *e) {
  uint64_t counter;
  (void)!read(e->command_fd, &counter, sizeof counter);
  mt_command *command;
  while ((command = ring_take(&e->commands)) != NULL) {
    mt_core_command(e->core, now_us(), command);
    free(command);
  }
}

static bool receive_batch(mt_engine *e) {
  for (unsigned i = 0; i < MT_BATCH; i++) {
    e->in_iov[i] = (struct iovec){e->in_bytes[i], MT_MAX_DATAGRAM};
    e->in[i].msg_hdr = (struct msghdr){.msg_name = &e->in_addr[i], .msg_namelen = sizeof e->in_addr[i], .msg_iov = &e->in_iov[i], .msg_iovlen = 1};
  }
  int n = recvmmsg(e->socket, e->in, MT_BATCH, MSG_DONTWAIT, NULL);
  if (n <= 0) return false;
  int64_t now = now_us();
  uint64_t ntp = now_ntp();
  for (int i = 0; i < n; i++) {
    mt_addr from;
    if (e->in[i].msg_hdr.msg_flags & MSG_TRUNC) continue;
    from_sockaddr(&e->in_addr[i], &from);
    mt_core_datagram(e->core, now, ntp, &from, e->in_bytes[i], e->in[i].msg_len);
  }
  return n == MT_BATCH;
}

static void *run(void *arg) {
  mt_engine *e = arg;
  int64_t ticked = 0;
  while (!atomic_load_explicit(&e->stop, memory_order_acquire)) {
    struct epoll_event ready[2];
    int wait = mt_core_is_idle(e->core) ? -1 : MT_TICK_MS - (int)((now_us() - ticked) / 1000);
    if (!mt_core_is_idle(e->core) && wait < 0) wait = 0;
    int n = epoll_wait(e->epoll, ready, 2, wait);
    if (n < 0 && errno != EINTR) {
      fail(e, "epoll_wait");
      return NULL;
    }
    for (int i = 0; i < n; i++) {
      if (ready[i].data.fd == e->command_fd) apply_commands(e);
      if (ready[i].data.fd == e->socket)
        /* a few batches, then commands and timers have their turn */
        for (int batch = 0; batch < 16 && receive_batch(e); batch++) {
        }
    }
    int64_t now = now_us();
    if (now - ticked >= MT_TICK_MS * 1000) {
      ticked = now;
      mt_core_tick(e->core, now, now_ntp());
    }
    flush(e);
  }
  /* what was asked for before the end, goodbyes among it */
  apply_commands(e);
  flush(e);
  return NULL;
}

/* ---- for the other thread */

static int open_socket(mt_engine *e, const char *ip, uint16_t port) {
  struct sockaddr_storage addr = {0};
  struct in6_addr in6;
  struct in_addr in;
  socklen_t len;
  if (inet_pton(AF_INET, ip, &in) == 1) {
    struct sockaddr_in *a = (struct sockaddr_in *)&addr;
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = in};
    len = sizeof *a;
  } else if (inet_pton(AF_INET6, ip, &in6) == 1) {
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)&addr;
    *a = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6};
    len = sizeof *a;
    e->ipv6 = true;
  } else {
    errno = EINVAL;
    return -1;
  }
  e->socket = socket(addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (e->socket < 0) return -1;
  int size = MT_SOCKET_BUFFER, off = 0;
  if (setsockopt(e->socket, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) setsockopt(e->socket, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (setsockopt(e->socket, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) setsockopt(e->socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  if (e->ipv6) setsockopt(e->socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off); /* "::" takes both */
  if (bind(e->socket, (struct sockaddr *)&addr, len) != 0) return -1;
  len = sizeof addr;
  if (getsockname(e->socket, (struct sockaddr *)&addr, &len) != 0) return -1;
  mt_addr own;
  from_sockaddr(&addr, &own);
  e->port = own.port;
  return 0;
}

static void release(mt_engine *e) {
  void *item;
  while ((item = ring_take(&e->commands)) != NULL) free(item);
  while ((item = ring_take(&e->events)) != NULL) free(item);
  mt_core_free(e->core);
  if (e->socket >= 0) close(e->socket);
  if (e->epoll >= 0) close(e->epoll);
  if (e->command_fd >= 0) close(e->command_fd);
  if (e->event_fd >= 0) close(e->event_fd);
  free(e);
}

mt_engine *mt_engine_start(const mt_core_settings *settings, const char *ip, uint16_t port) {
  mt_engine *e = calloc(1, sizeof *e);
  if (e == NULL) return NULL;
  e->socket = e->epoll = e->command_fd = e->event_fd = -1;
  mt_sink sink = {e, sink_buffer, sink_send, sink_event};
  uint64_t seed = 0;
  struct epoll_event in = {.events = EPOLLIN};
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed || open_socket(e, ip, port) != 0) goto failed;
  e->core = mt_core_new(settings, &sink, seed);
  if (e->core == NULL) goto failed;
  e->epoll = epoll_create1(EPOLL_CLOEXEC);
  e->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (e->epoll < 0 || e->command_fd < 0 || e->event_fd < 0) goto failed;
  in.data.fd = e->socket;
  if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->socket, &in) != 0) goto failed;
  in.data.fd = e->command_fd;
  if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->command_fd, &in) != 0) goto failed;
  /* signals are the program's: this thread takes none */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&e->thread, NULL, run, e);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) {
    errno = error;
    goto failed;
  }
  pthread_setname_np(e->thread, "meet-engine");
  return e;
failed:;
  int saved = errno;
  release(e);
  errno = saved;
  return NULL;
}

uint16_t mt_engine_port(const mt_engine *e) { return e->port; }

int mt_engine_event_fd(const mt_engine *e) { return e->event_fd; }

static void wake(mt_engine *e) {
  uint64_t one = 1;
  (void)!write(e->command_fd, &one, sizeof one);
}

bool mt_engine_command(mt_engine *e, const mt_command *command) {
  mt_command *copy = malloc(sizeof *copy);
  if (copy == NULL) return false;
  *copy = *command;
  if (!ring_put(&e->commands, copy)) {
    free(copy);
    return false;
  }
  wake(e);
  return true;
}

void mt_engine_reset_event_fd(mt_engine *e) {
  uint64_t counter;
  (void)!read(e->event_fd, &counter, sizeof counter);
  atomic_store(&e->event_signalled, false);
}

mt_queued_event *mt_engine_next_event(mt_engine *e) { return ring_take(&e->events); }

void mt_engine_stop(mt_engine *e) {
  atomic_store_explicit(&e->stop, true, memory_order_release);
  wake(e);
  pthread_join(e->thread, NULL);
  release(e);
}
