/* See crowd.h. */
#define _GNU_SOURCE /* sendmmsg, pthread_setname_np */
#include "crowd/crowd.h"

#include "base/ring.h"
#include "crowd/intake.h"
#include "io/udp.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
  COMMAND_SLOTS = 4096,
  EVENT_SLOTS = 8192,
  READY_PER_TURN = 128,
  BATCHES_PER_SOCKET = 4,
  COMMANDS_PER_TURN = 256,
  FRAMES_PER_TURN = 64,
  OUT_BATCH = 64,        /* datagrams of one socket */
  ROUND_LEAST_US = 1000, /* between two pieces of the rounds */
  LATE_US = 5 * MT_MS,   /* a frame that leaves later than this is counted */
  BEHIND_US = MT_SECOND, /* frames that are due since longer are left out */
  FAILED_RETRY_US = 1000,
  ENDPOINT_SHIFT = 1, /* epoll's data: the endpoint's number, then which of its two sockets */
};
static const uint64_t COMMAND_EVENT = UINT64_MAX, TIMER_EVENT = UINT64_MAX - 1;

typedef struct {
  mt_endpoint *endpoint;
  int fds[2]; /* RTP, RTCP; the second may be -1 */
} member;

struct mt_crowd {
  pthread_t thread;
  bool started, join;
  int epoll_fd, command_fd, event_fd, timer_fd;
  mt_ring commands, events;
  _Atomic bool stop, signaled;
  bool new_events;
  mt_endpoint_sink sink;
  member *members;
  uint32_t count, room;
  mt_feed **feeds; /* a binary heap by the time that they are due */
  uint32_t feed_count, feed_room;
  bool silent; /* feeds send no more */
  uint32_t round_next;
  int64_t round_at;
  int64_t timer_at;
  uint64_t seed;
  mt_intake *intake;
  mt_crowd_totals totals;
  uint64_t busy;
  /* datagrams that wait to be sent, all by one socket */
  int out_fd;
  unsigned out_count;
  struct mmsghdr out_headers[OUT_BATCH];
  struct iovec out_parts[OUT_BATCH];
  uint8_t out_data[OUT_BATCH][MT_DATAGRAM_MAX];
};

static int64_t clock_us(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * MT_SECOND + t.tv_nsec / 1000;
}

static int64_t now_us(void) { return clock_us(CLOCK_MONOTONIC); }

static void write_fd(int fd) {
  uint64_t one = 1;
  if (write(fd, &one, sizeof one) < 0) return; /* it is readable already */
}

static void read_fd(int fd) {
  uint64_t count;
  if (read(fd, &count, sizeof count) < 0) return; /* nothing was there */
}

/* ---- events ---- */

/* `data` becomes the event's. False: no room. */
static bool put_event(mt_crowd *c, mt_crowd_event event) {
  if (!mt_ring_put(&c->events, &event)) {
    free(event.data);
    return false;
  }
  c->new_events = true;
  return true;
}

static void copy_event(mt_crowd *c, mt_crowd_event event, const void *data, size_t n) {
  event.data = malloc(n);
  if (!event.data) return;
  memcpy(event.data, data, n);
  event.len = n;
  put_event(c, event);
}

static void wake_python(mt_crowd *c) {
  if (!c->new_events) return;
  c->new_events = false;
  if (!atomic_exchange(&c->signaled, true)) write_fd(c->event_fd);
}

/* ---- the endpoints' sink ---- */

static void flush(mt_crowd *c) {
  unsigned at = 0;
  while (at < c->out_count) {
    int n = sendmmsg(c->out_fd, c->out_headers + at, c->out_count - at, MSG_DONTWAIT);
    if (n > 0) {
      at += (unsigned)n;
    } else if (errno != EINTR) {
      c->totals.unsent++;
      at++;
    }
  }
  c->out_count = 0;
}

static void sink_send(void *context, uint32_t id, bool rtcp, const uint8_t *p, size_t n) {
  mt_crowd *c = context;
  const member *m = &c->members[id];
  int fd = rtcp && m->fds[1] >= 0 ? m->fds[1] : m->fds[0];
  if (n > MT_DATAGRAM_MAX) return;
  if (c->out_count && (c->out_fd != fd || c->out_count == OUT_BATCH)) flush(c);
  c->out_fd = fd;
  memcpy(c->out_data[c->out_count], p, n);
  c->out_parts[c->out_count++].iov_len = n;
}

static void sink_event(void *context, mt_endpoint_event event, uint32_t id, uint32_t number, int64_t at, const uint8_t *p,
                       size_t n) {
  mt_crowd *c = context;
  switch (event) {
  case MT_ENDPOINT_ANSWERED: put_event(c, (mt_crowd_event){.type = MT_CROWD_ANSWERED, .id = id, .at = at}); return;
  case MT_ENDPOINT_DTLS: copy_event(c, (mt_crowd_event){.type = MT_CROWD_DTLS, .id = id, .at = at}, p, n); return;
  case MT_ENDPOINT_FIRST: put_event(c, (mt_crowd_event){.type = MT_CROWD_FIRST, .id = id, .number = number, .at = at}); return;
  }
}

/* ---- the heap of feeds ---- */

static void swap(mt_crowd *c, uint32_t a, uint32_t b) {
  mt_feed *s = c->feeds[a];
  c->feeds[a] = c->feeds[b];
  c->feeds[b] = s;
}

static void sift_up(mt_crowd *c, uint32_t i) {
  for (; i && c->feeds[i]->due < c->feeds[(i - 1) / 2]->due; i = (i - 1) / 2) swap(c, i, (i - 1) / 2);
}

static void sift_down(mt_crowd *c) {
  for (uint32_t i = 0, least;; i = least) {
    least = i;
    for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < c->feed_count; child++)
      if (c->feeds[child]->due < c->feeds[least]->due) least = child;
    if (least == i) return;
    swap(c, i, least);
  }
}

/* Sends the frames that are due, a limited number. */
static void send_frames(mt_crowd *c) {
  for (unsigned i = 0; i < FRAMES_PER_TURN && c->feed_count && !c->silent; i++) {
    mt_feed *s = c->feeds[0];
    int64_t now = now_us(), behind = now - s->due;
    if (behind < 0) return;
    if (behind > BEHIND_US) {
      c->totals.left_out_frames += (uint64_t)(behind / s->spec.interval_us);
      s->due += behind / s->spec.interval_us * s->spec.interval_us;
    } else if (behind > LATE_US) {
      c->totals.late_frames++;
    }
    mt_endpoint_send_frame(s->owner, s, now);
    flush(c);
    sift_down(c);
  }
}

/* ---- commands ---- */

static bool grow(void **items, uint32_t *room, uint32_t count, size_t size) {
  if (count < *room) return true;
  uint32_t more = *room ? *room * 2 : 64;
  void *grown = realloc(*items, more * size);
  if (!grown) return false;
  *items = grown;
  *room = more;
  return true;
}

static bool watch(mt_crowd *c, int fd, uint64_t data) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
  return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* The sockets become the member's. */
static bool add_endpoint(mt_crowd *c, mt_crowd_command *command, int64_t now) {
  if (command->id != c->count || !grow((void **)&c->members, &c->room, c->count, sizeof *c->members)) return false;
  command->u.endpoint.id = command->id;
  mt_endpoint *e = mt_endpoint_new(&command->u.endpoint, &c->sink, &c->totals, now);
  if (!e) return false;
  const member *m = &c->members[c->count];
  c->members[c->count++] = (member){e, {command->fds[0], command->fds[1]}};
  command->fds[0] = command->fds[1] = -1;
  for (unsigned i = 0; i < 2; i++) {
    int fd = m->fds[i];
    if (fd < 0) continue;
    mt_udp_enlarge(fd);
    mt_intake_prepare(fd, c->join);
    if (!watch(c, fd, (uint64_t)command->id << ENDPOINT_SHIFT | i)) return false;
  }
  mt_endpoint_round(e, now);
  return true;
}

static bool add_feed(mt_crowd *c, mt_endpoint *e, const mt_feed_spec *spec, int64_t now) {
  if (!grow((void **)&c->feeds, &c->feed_room, c->feed_count, sizeof *c->feeds)) return false;
  uint64_t random = mt_hash64(c->seed ^ spec->ssrc);
  mt_feed *s = mt_feed_new(spec, random >> 49, now + (int64_t)(random % spec->interval_us));
  if (!s) return false;
  mt_endpoint_add_feed(e, s);
  c->feeds[c->feed_count++] = s;
  sift_up(c, c->feed_count - 1);
  c->totals.feeds++;
  return true;
}

static void report(mt_crowd *c, uint32_t token, int64_t now) {
  mt_crowd_totals *t = &c->totals;
  t->lost = 0;
  t->busy_us = c->busy;
  t->cpu_us = (uint64_t)clock_us(CLOCK_THREAD_CPUTIME_ID);
  for (uint32_t i = 0; i < c->count; i++)
    for (const mt_viewed *v = c->members[i].endpoint->viewed; v; v = v->next) t->lost += mt_viewed_lost(v);
  copy_event(c, (mt_crowd_event){.type = MT_CROWD_TOTALS, .id = token, .at = now}, t, sizeof *t);
}

/* The frames of the time of silence are not made later. */
static void set_silent(mt_crowd *c, bool silent, int64_t now) {
  uint32_t count = c->feed_count;
  if (c->silent && !silent) {
    c->feed_count = 0;
    for (uint32_t i = 0; i < count; i++) {
      mt_feed *s = c->feeds[i];
      if (s->due < now) s->due += ((now - s->due) / s->spec.interval_us + 1) * s->spec.interval_us;
      c->feed_count++;
      sift_up(c, i);
    }
  }
  c->silent = silent;
}

/* False: it failed. */
static bool apply(mt_crowd *c, mt_crowd_command *command, int64_t now) {
  if (command->type == MT_CROWD_ADD_ENDPOINT) return add_endpoint(c, command, now);
  if (command->type == MT_CROWD_REPORT) {
    report(c, command->id, now);
    return true;
  }
  if (command->type == MT_CROWD_SET_SILENT) {
    set_silent(c, command->u.silent, now);
    return true;
  }
  if (command->id >= c->count) return false;
  mt_endpoint *e = c->members[command->id].endpoint;
  switch (command->type) {
  case MT_CROWD_SET_KEYS: return mt_endpoint_set_keys(e, command->u.srtp.profile, command->u.srtp.tx, command->u.srtp.rx);
  case MT_CROWD_SEND: sink_send(c, command->id, false, command->u.data.bytes, command->u.data.len); return true;
  case MT_CROWD_ADD_FEED: return add_feed(c, e, &command->u.feed, now);
  case MT_CROWD_ADD_VIEWED: return mt_endpoint_add_viewed(e, &command->u.viewed);
  case MT_CROWD_ADD_ENDPOINT:
  case MT_CROWD_SET_SILENT:
  case MT_CROWD_REPORT: break;
  }
  return false;
}

void mt_crowd_command_discard(mt_crowd_command *command) {
  if (command->type == MT_CROWD_SEND) free(command->u.data.bytes);
  if (command->type == MT_CROWD_SET_KEYS) OPENSSL_cleanse(&command->u.srtp, sizeof command->u.srtp);
  for (unsigned i = 0; i < 2 && command->type == MT_CROWD_ADD_ENDPOINT; i++)
    if (command->fds[i] >= 0) close(command->fds[i]);
}

/* Sets `*failure` if a command cannot be done. */
static bool apply_commands(mt_crowd *c, const char **failure) {
  for (unsigned i = 0; i < COMMANDS_PER_TURN; i++) {
    mt_crowd_command *command = mt_ring_peek(&c->commands);
    if (!command) return false;
    if (!apply(c, command, now_us())) *failure = "a command of the load generator failed: no memory, or a wrong value";
    mt_crowd_command_discard(command);
    mt_ring_pop(&c->commands);
  }
  return true;
}

/* ---- the loop ---- */

static void take(void *context, int64_t arrived, uint8_t *p, size_t n) { mt_endpoint_take(context, arrived, p, n); }

static void receive(mt_crowd *c, uint64_t data) {
  const member *m = &c->members[data >> ENDPOINT_SHIFT];
  for (unsigned i = 0; i < BATCHES_PER_SOCKET && mt_intake_receive(c->intake, m->fds[data & 1], take, m->endpoint); i++) {
  }
}

/* Gives a part of the endpoints their round, in proportion to the time since the part before. */
static void rounds(mt_crowd *c, int64_t now) {
  if (!c->count) c->round_at = now; /* there is nothing to catch up with */
  int64_t elapsed = now - c->round_at;
  if (elapsed < ROUND_LEAST_US) return;
  if (elapsed > MT_ENDPOINT_ROUND) elapsed = MT_ENDPOINT_ROUND;
  uint64_t part = (uint64_t)elapsed * c->count / MT_ENDPOINT_ROUND;
  if (!part) return; /* with few endpoints more time passes between two of them */
  c->round_at = now - elapsed + (int64_t)(part * MT_ENDPOINT_ROUND / c->count); /* the rest counts for the next part */
  for (; part; part--) {
    if (c->round_next >= c->count) c->round_next = 0;
    mt_endpoint_round(c->members[c->round_next++].endpoint, now);
  }
}

/* When the thread has something to do, if nothing comes before. */
static int64_t next_deadline(const mt_crowd *c) {
  int64_t least = c->count ? MT_ENDPOINT_ROUND / c->count : MT_SECOND;
  int64_t at = c->round_at + (least < ROUND_LEAST_US ? ROUND_LEAST_US : least + 1);
  if (c->feed_count && !c->silent && c->feeds[0]->due < at) at = c->feeds[0]->due;
  return at;
}

static void set_timer(mt_crowd *c, int64_t at) {
  if (at == c->timer_at) return;
  c->timer_at = at;
  struct itimerspec t = {.it_value = {.tv_sec = at / MT_SECOND, .tv_nsec = at % MT_SECOND * 1000}};
  timerfd_settime(c->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void *run(void *context) {
  mt_crowd *c = context;
  const char *failure = NULL;
  bool more = false;
  c->round_at = now_us();
  while (!atomic_load(&c->stop) && !failure) {
    struct epoll_event ready[READY_PER_TURN];
    if (!more) set_timer(c, next_deadline(c));
    int n = epoll_wait(c->epoll_fd, ready, READY_PER_TURN, more ? 0 : -1);
    int64_t began = now_us();
    if (n < 0 && errno != EINTR) failure = "epoll_wait failed";
    for (int i = 0; i < n; i++) {
      if (ready[i].data.u64 == COMMAND_EVENT) read_fd(c->command_fd);
      if (ready[i].data.u64 == TIMER_EVENT) {
        read_fd(c->timer_fd);
        c->timer_at = 0;
      }
    }
    more = apply_commands(c, &failure);
    send_frames(c);
    for (int i = 0; i < n; i++) {
      if (ready[i].data.u64 == COMMAND_EVENT || ready[i].data.u64 == TIMER_EVENT) continue;
      receive(c, ready[i].data.u64);
      send_frames(c); /* they are not to wait for all sockets */
    }
    int64_t now = now_us();
    rounds(c, now);
    flush(c);
    wake_python(c);
    c->busy += (uint64_t)(now_us() - began);
  }
  if (failure) {
    while (!mt_ring_reserve(&c->events, 0) && !atomic_load(&c->stop)) usleep(FAILED_RETRY_US);
    copy_event(c, (mt_crowd_event){.type = MT_CROWD_FAILED}, failure, strlen(failure));
    wake_python(c);
  }
  return NULL;
}

/* ---- opening and closing, by Python's thread ---- */

static bool start(mt_crowd *c) {
  sigset_t all, before;
  sigfillset(&all); /* signals go to Python's main thread */
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(&c->thread, NULL, run, c);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) errno = error;
  else pthread_setname_np(c->thread, "meet-crowd");
  c->started = !error;
  return c->started;
}

static bool set_up(mt_crowd *c) {
  c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  c->command_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  c->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (c->epoll_fd < 0 || c->command_fd < 0 || c->event_fd < 0 || c->timer_fd < 0) return false;
  errno = ENOMEM;
  c->intake = mt_intake_new();
  if (!c->intake || !mt_ring_init(&c->commands, sizeof(mt_crowd_command), COMMAND_SLOTS)) return false;
  if (!mt_ring_init(&c->events, sizeof(mt_crowd_event), EVENT_SLOTS)) return false;
  for (unsigned i = 0; i < OUT_BATCH; i++) {
    c->out_parts[i].iov_base = c->out_data[i];
    c->out_headers[i].msg_hdr = (struct msghdr){.msg_iov = &c->out_parts[i], .msg_iovlen = 1};
  }
  return watch(c, c->command_fd, COMMAND_EVENT) && watch(c, c->timer_fd, TIMER_EVENT) && start(c);
}

mt_crowd *mt_crowd_open(bool join, uint64_t seed) {
  size_t size = (sizeof(mt_crowd) + MT_CACHE_LINE - 1) / MT_CACHE_LINE * MT_CACHE_LINE;
  mt_crowd *c = aligned_alloc(MT_CACHE_LINE, size);
  if (!c) return NULL;
  memset(c, 0, size);
  c->epoll_fd = c->command_fd = c->event_fd = c->timer_fd = -1;
  c->join = join;
  c->seed = seed;
  c->sink = (mt_endpoint_sink){c, sink_send, sink_event};
  if (set_up(c)) return c;
  int error = errno;
  mt_crowd_close(c);
  errno = error;
  return NULL;
}

static void close_fd(int fd) {
  if (fd >= 0) close(fd);
}

void mt_crowd_close(mt_crowd *c) {
  if (!c) return;
  if (c->started) {
    atomic_store(&c->stop, true);
    write_fd(c->command_fd);
    pthread_join(c->thread, NULL);
  }
  for (uint32_t i = 0; i < c->count; i++) {
    mt_endpoint_free(c->members[i].endpoint);
    close_fd(c->members[i].fds[0]);
    close_fd(c->members[i].fds[1]);
  }
  free(c->members);
  free(c->feeds);
  for (mt_crowd_command *m; c->commands.items && (m = mt_ring_peek(&c->commands)); mt_ring_pop(&c->commands))
    mt_crowd_command_discard(m);
  for (mt_crowd_event *e; c->events.items && (e = mt_ring_peek(&c->events)); mt_ring_pop(&c->events)) free(e->data);
  mt_ring_free(&c->commands);
  mt_ring_free(&c->events);
  mt_intake_free(c->intake);
  close_fd(c->epoll_fd);
  close_fd(c->command_fd);
  close_fd(c->event_fd);
  close_fd(c->timer_fd);
  free(c);
}

int mt_crowd_event_fd(const mt_crowd *c) { return c->event_fd; }

bool mt_crowd_command_put(mt_crowd *c, const mt_crowd_command *command) {
  bool put = mt_ring_put(&c->commands, command);
  write_fd(c->command_fd);
  return put;
}

void mt_crowd_reset_events(mt_crowd *c) {
  read_fd(c->event_fd);
  atomic_exchange(&c->signaled, false); /* as mt_engine_reset_events */
}

bool mt_crowd_next_event(mt_crowd *c, mt_crowd_event *out) {
  mt_crowd_event *e = mt_ring_peek(&c->events);
  if (!e) return false;
  *out = *e;
  mt_ring_pop(&c->events);
  return true;
}
