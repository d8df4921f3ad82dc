/* See thread.h.
 *
 * An epoll event names its socket like the paths of the socket: by kind and local. The thread looks the socket up when it handles
 * the event, so it reads nothing from a socket that was closed in the same turn.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#define _GNU_SOURCE /* pthread_setname_np */
#include "thread.h"

#include "base/ring.h"
#include "core/begin.h"
#include "core/commands.h"
#include "core/events.h"
#include "core/exchange.h"
#include "io/pairs.h"
#include "io/udp.h"
#include "state/core_state.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
  COMMAND_SLOTS = 4096,
  EVENT_SLOTS = 4096,
  READY_PER_TURN = 64,      /* epoll events */
  DATAGRAMS_PER_TURN = 512, /* of one socket, before other sockets and commands get their turn */
  COMMANDS_PER_TURN = 256,  /* before packets get their turn */
  FIRST_PAIRS = 8,          /* slots of the table of plain transports */
  MAX_SLEEP_MS = 1000,
  TRACED_SLOTS = 16,            /* of EVENT_SLOTS that traces may take: 2 MB, and room for all other events */
  FAILED_RETRY_US = 10 * MT_MS, /* until an event of the thread, or of a held core, is offered again */
  RECENT_US = 10 * MT_SECOND,   /* the longest recent turn is that of this span and of the span before it */
};

/* How long the thread works between two waits, in microseconds. */
typedef struct {
  uint64_t count, busy, longest;
  uint64_t longest_of_span, longest_of_span_before;
  int64_t span_began;
} turns;

struct mt_engine {
  pthread_t thread;
  bool started;
  bool begun; /* MT_BEGIN has come, and no MT_HOLD since; the thread's own */
  mt_udp *udp;
  mt_tcp *tcp;
  mt_listen listen;
  mt_pairs pairs;
  uint16_t port;
  mt_core *core;
  int epoll_fd, command_fd, event_fd;
  mt_waker *waker; /* writes to a duplicate of command_fd, if the thread sleeps */
  mt_ring commands, events;
  _Atomic bool stop;
  _Atomic bool signaled;      /* event_fd was written and not reset yet */
  _Atomic bool ring_was_full; /* a command of Python's has found no room */
  _Atomic uint32_t traced;    /* events of traces in the ring */
  bool new_events;            /* Python is to be woken; the thread's own */
  uint32_t unannounced;       /* datagrams that were sent since other engines were woken */
  turns turns;
};

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * MT_SECOND + t.tv_nsec / 1000;
}

/* NULL: the kind is not a plain transport's, or the transport was removed. */
static const mt_socket *plain_socket(const mt_engine *e, uint8_t kind, uint32_t local) {
  if (kind != MT_PATH_PLAIN_RTP && kind != MT_PATH_PLAIN_RTCP) return NULL;
  const mt_pair *p = mt_pairs_find(&e->pairs, local);
  return p ? &p->sockets[kind == MT_PATH_PLAIN_RTCP ? MT_RTCP : MT_RTP] : NULL;
}

/* ---- the core's sink ---- */

static uint8_t *sink_reserve(void *context) { return mt_udp_reserve(((mt_engine *)context)->udp); }

static void wake_others(mt_engine *e) {
  e->unannounced = 0;
  mt_exchange_flush(e->core);
}

static void sink_send(void *context, const mt_path *to, size_t len) {
  mt_engine *e = context;
  if (++e->unannounced >= MT_UDP_BATCH) wake_others(e); /* the others should not wait until this long batch ends */
  if (to->kind == MT_PATH_UDP) mt_udp_send(e->udp, e->listen.udp[to->udp_socket], to, len);
  if (to->kind == MT_PATH_TCP) mt_tcp_send(e->tcp, to, mt_udp_reserve(e->udp), len); /* it copies; the buffer stays free */
  const mt_socket *plain = plain_socket(e, to->kind, to->local);
  if (plain) mt_udp_send(e->udp, *plain, to, len);
}

static void add_turn(turns *t, int64_t began, int64_t now) {
  uint64_t length = (uint64_t)(now - began);
  t->count++;
  t->busy += length;
  if (length > t->longest) t->longest = length;
  if (now - t->span_began > RECENT_US) {
    t->longest_of_span_before = now - t->span_began > 2 * RECENT_US ? 0 : t->longest_of_span;
    t->longest_of_span = 0;
    t->span_began = now;
  }
  if (length > t->longest_of_span) t->longest_of_span = length;
}

static void turn_figures(const turns *t, mt_stats *out) {
  out->counters.turns = t->count;
  out->counters.busy_us = t->busy;
  out->longest_turn_us = t->longest;
  out->longest_recent_turn_us = t->longest_of_span > t->longest_of_span_before ? t->longest_of_span : t->longest_of_span_before;
}

static bool sink_event(void *context, const mt_event *event) {
  mt_engine *e = context;
  mt_event copy = *event;
  bool traced = event->type == MT_EVENT_TRACED;
  if (traced && atomic_load(&e->traced) >= TRACED_SLOTS) return false;
  if (event->len) {
    void *data = malloc(event->len);
    if (!data) return false;
    memcpy(data, event->data, event->len);
    copy.data = data;
  }
  if (event->type == MT_EVENT_STATS) {
    mt_stats *stats = (mt_stats *)(uintptr_t)event->data;
    stats->counters.datagrams_refused = mt_udp_lost(e->udp);
    mt_tcp_figures(e->tcp, stats);
    turn_figures(&e->turns, stats);
  }
  if (!mt_ring_put(&e->events, &copy)) {
    if (event->len) free((void *)(uintptr_t)copy.data);
    return false;
  }
  if (traced) atomic_fetch_add(&e->traced, 1);
  e->new_events = true;
  return true;
}

void mt_event_release(mt_event *event) {
  void *data = (void *)(uintptr_t)event->data;
  if (event->type == MT_EVENT_STATS) mt_stats_free(data);
  else if (event->len) free(data);
  event->data = NULL;
  event->len = 0;
}

/* ---- the thread ---- */

static void write_fd(int fd) {
  uint64_t one = 1;
  ssize_t n = write(fd, &one, sizeof one);
  (void)n; /* the write fails if the counter is full, and then the eventfd is readable already */
}

static void read_fd(int fd) {
  uint64_t count;
  ssize_t n = read(fd, &count, sizeof count);
  (void)n;
}

/* Each write of the eventfd wakes the thread once (EPOLLET), which need not read it. */
static bool watch_commands(mt_engine *e) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = MT_PATH_NONE};
  return epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->command_fd, &event) == 0;
}

static bool watch(mt_engine *e, int fd, uint8_t kind, uint32_t local) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | local};
  return epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Another process may have the sockets too: then closing them would not end their watch. */
static void drop_pair(mt_engine *e, mt_pair *p) {
  for (unsigned i = 0; i < 2; i++) epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, p->sockets[i].fd, NULL);
  mt_pairs_remove(&e->pairs, p);
}

static void add_pair(mt_engine *e, mt_command *c) {
  mt_pair *p = mt_pairs_add(&e->pairs, c->id, c->u.plain.rtp_fd, c->u.plain.rtcp_fd);
  c->u.plain.rtp_fd = c->u.plain.rtcp_fd = -1;
  if (!p) return;
  bool watched =
      watch(e, p->sockets[MT_RTP].fd, MT_PATH_PLAIN_RTP, c->id) && watch(e, p->sockets[MT_RTCP].fd, MT_PATH_PLAIN_RTCP, c->id);
  if (!watched) drop_pair(e, p);
}

static void remove_pair(mt_engine *e, uint32_t transport) {
  mt_pair *p = mt_pairs_find(&e->pairs, transport);
  if (!p) return;
  mt_udp_flush(e->udp);
  drop_pair(e, p);
}

/* True: more commands wait. */
static bool apply_commands(mt_engine *e, int64_t now) {
  for (unsigned i = 0; i < COMMANDS_PER_TURN; i++) {
    mt_command *c = mt_ring_peek(&e->commands);
    if (!c) return false;
    if (c->type == MT_ADD_PLAIN_TRANSPORT) add_pair(e, c);
    if (c->type == MT_REMOVE_TRANSPORT) remove_pair(e, c->id);
    if (c->type == MT_BEGIN) e->begun = true;
    if (c->type == MT_HOLD) e->begun = false;
    mt_core_command(e->core, now, c);
    mt_command_release(c);
    mt_ring_pop(&e->commands);
  }
  return true;
}

/* Sends what the core has sent. Other engines are woken first for the packets that have crossed to them, so that they work at the
 * same time. */
static void flush(mt_engine *e) {
  wake_others(e);
  mt_udp_flush(e->udp);
  mt_tcp_flush(e->tcp, now_us());
}

/* Forwards what was received, by links in this turn too. Other engines are woken before for the packets that cross to them. */
static void forward(mt_engine *e) {
  wake_others(e);
  mt_core_forward(e->core, now_us());
  flush(e);
}

/* What a held engine has to tell: that it is held, and the answers to commands. Returns when to try again if there is no room. */
static int64_t answer_held(mt_engine *e, int64_t now) {
  bool answered = mt_hold_answer(e->core);
  if (!e->core->resuming) mt_events_offer(e->core, now);
  bool all = answered && (e->core->resuming || (mt_list_empty(&e->core->changed) && !e->core->stats_count));
  return all ? INT64_MAX : now + FAILED_RETRY_US;
}

/* Passes what was received at once to the core, and returns the number of datagrams. */
static unsigned take_received(mt_engine *e, uint8_t kind, uint32_t local) {
  mt_path from;
  size_t len;
  unsigned count = 0;
  int64_t now = now_us();
  mt_core_gather(e->core);
  for (uint8_t *data; (data = mt_udp_next(e->udp, &from, &len)); count++) {
    from.kind = kind;
    from.local = local;
    mt_core_datagram(e->core, now, &from, data, len);
  }
  return count;
}

/* Passes datagrams of a socket to the core. `*failure` is set if the socket is broken. */
static void receive(mt_engine *e, mt_socket s, uint8_t kind, uint32_t local, const char **failure) {
  unsigned waiting = 0; /* datagrams that were received and not forwarded */
  for (unsigned all = 0; all < DATAGRAMS_PER_TURN;) {
    int n = mt_udp_receive(e->udp, s);
    if (n < 0) *failure = "a UDP socket is broken";
    if (n <= 0) break;
    unsigned count = take_received(e, kind, local);
    all += count;
    waiting += count;
    if (waiting >= MT_UDP_BATCH) {
      forward(e);
      waiting = 0;
    }
    if (n < MT_UDP_MESSAGES) break;
  }
  if (waiting) forward(e);
}

/* Handles an epoll event by its data. */
static void handle_ready(mt_engine *e, uint64_t data, const char **failure) {
  uint8_t kind = (uint8_t)(data >> 32);
  uint32_t local = (uint32_t)data;
  if (kind == MT_PATH_UDP) receive(e, e->listen.udp[local], kind, local, failure);
  if (kind == MT_TCP_LISTENER) mt_tcp_accept(e->tcp, local, now_us());
  if (kind == MT_PATH_TCP) {
    mt_tcp_ready(e->tcp, local, now_us());
    forward(e);
  }
  const mt_socket *plain = plain_socket(e, kind, local);
  const char *ignored; /* a broken socket of one transport does not end the engine */
  if (plain) receive(e, *plain, kind, local, &ignored);
}

/* Wakes Python if a command has found the ring full. Python sets the mark and then tries once more. The thread makes room and then
 * reads the mark. So either Python finds the room, or the thread finds the mark. */
static void announce_room(mt_engine *e) {
  if (atomic_exchange(&e->ring_was_full, false)) e->new_events = true;
}

static void wake_python(mt_engine *e) {
  if (!e->new_events) return;
  e->new_events = false;
  if (!atomic_exchange(&e->signaled, true)) write_fd(e->event_fd);
}

static int64_t tick(mt_engine *e) {
  int64_t now = now_us();
  int64_t tcp = mt_tcp_tick(e->tcp, now), core = mt_core_tick(e->core, now);
  return tcp < core ? tcp : core;
}

static int timeout_ms(int64_t deadline, bool more, int64_t now) {
  if (more) return 0;
  int64_t wait = deadline - now;
  if (wait <= 0) return 0;
  return wait > MAX_SLEEP_MS * MT_MS ? MAX_SLEEP_MS : (int)((wait + MT_MS - 1) / MT_MS);
}

/* True: no message waits in any link, and no command. A held engine leaves messages where they are. No later one is missed: who puts it after this check wakes the sleeping
 * thread. */
static bool may_sleep(mt_engine *e) {
  atomic_exchange(&e->waker->asleep, true);
  return (!e->begun || mt_exchange_idle(e->core)) && !mt_ring_count(&e->commands);
}

/* The thread is awake. It exchanges the mark as the others do: who has found that nobody sleeps has put its messages before, and the
 * thread sees them when it looks next. A store in between would end that promise (C11 section 5.1.2.4, release sequences). */
static void stay_awake(mt_engine *e) { atomic_exchange(&e->waker->asleep, false); }

/* Returns the number of sockets that are `ready`; below 0: failure, with errno set. A held engine waits for commands only. Its sockets
 * are watched from the beginning: those with something to read are ready as soon as it looks at them. */
static int wait_for_work(mt_engine *e, struct epoll_event *ready, int timeout) {
  if (e->begun) return epoll_wait(e->epoll_fd, ready, READY_PER_TURN, timeout);
  struct pollfd commands = {.fd = e->command_fd, .events = POLLIN};
  if (poll(&commands, 1, timeout) < 0) return -1;
  read_fd(e->command_fd);
  return 0;
}

static void *run(void *context) {
  mt_engine *e = context;
  const char *failure = NULL;
  int64_t deadline = 0, now = now_us();
  bool more = false;
  e->turns.span_began = now;
  while (!atomic_load(&e->stop) && !failure) {
    struct epoll_event ready[READY_PER_TURN];
    more = more || !may_sleep(e);
    int n = wait_for_work(e, ready, timeout_ms(deadline, more, now));
    int64_t began = now_us();
    stay_awake(e);
    if (n < 0 && errno != EINTR) failure = "epoll_wait failed";
    bool begun = e->begun;
    if (begun) mt_exchange_count(e->core);
    more = apply_commands(e, began);
    announce_room(e);
    bool holds = !e->begun;
    if (holds) n = 0; /* what is ready stays so */
    else if (begun && !more) more = mt_exchange_take(e->core, now_us());
    for (int i = 0; i < n; i++) handle_ready(e, ready[i].data.u64, &failure);
    deadline = holds ? INT64_MAX : begun ? tick(e) : 0;
    flush(e);
    if (holds) deadline = answer_held(e, now_us());
    wake_python(e);
    now = now_us();
    add_turn(&e->turns, began, now);
  }
  mt_core_leave(e->core, failure != NULL);
  if (failure) {
    mt_event event = {.type = MT_EVENT_FAILED, .data = failure, .len = strlen(failure)};
    while (!sink_event(e, &event) && !atomic_load(&e->stop)) usleep(FAILED_RETRY_US); /* until Python has made room */
    wake_python(e);
  }
  return NULL;
}

/* ---- opening and closing, by Python's thread ---- */

static bool watch_all(mt_engine *e) {
  for (unsigned i = 0; i < e->listen.count; i++)
    if (!watch(e, e->listen.udp[i].fd, MT_PATH_UDP, i)) return false;
  return watch_commands(e);
}

static bool start(mt_engine *e) {
  sigset_t all, before;
  sigfillset(&all); /* the new thread inherits the mask, so signals go to Python's main thread */
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(&e->thread, NULL, run, e);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) errno = error;
  else pthread_setname_np(e->thread, "meet-engine");
  e->started = !error;
  return e->started;
}

static bool set_up(mt_engine *e, const mt_settings *settings, const mt_udp_settings *udp, const mt_tcp_settings *tcp,
                   mt_addresses *addresses, mt_region **region) {
  mt_sink sink = {e, sink_reserve, sink_send, sink_event};
  mt_settings own = *settings;
  if (!mt_listen_open(&e->listen, addresses)) return false;
  own.udp_sockets = e->listen.count;
  e->port = addresses->port;
  e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  e->command_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  e->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (e->epoll_fd < 0 || e->command_fd < 0 || e->event_fd < 0) return false;
  e->waker = mt_waker_new(e->command_fd);
  if (!e->waker) return false;
  errno = ENOMEM;
  e->udp = mt_udp_new(udp->gso);
  if (!e->udp || !mt_table_init(&e->pairs, FIRST_PAIRS)) return false;
  if (!mt_ring_init(&e->commands, sizeof(mt_command), COMMAND_SLOTS)) return false;
  if (!mt_ring_init(&e->events, sizeof(mt_event), EVENT_SLOTS)) return false;
  e->core = mt_core_new_in(*region, &own, &sink);
  *region = NULL;
  if (!e->core) return false;
  mt_core_hold_at_first(e->core);
  e->tcp = mt_tcp_new(tcp, e->core, e->epoll_fd, &e->listen);
  return e->tcp && watch_all(e) && start(e);
}

mt_engine *mt_engine_open(const mt_settings *settings, const mt_udp_settings *udp, const mt_tcp_settings *tcp,
                          mt_addresses *addresses, mt_region *region) {
  mt_engine *e = aligned_alloc(MT_CACHE_LINE, (sizeof *e + MT_CACHE_LINE - 1) / MT_CACHE_LINE * MT_CACHE_LINE);
  if (!e) {
    mt_region_free(region);
    return NULL;
  }
  memset(e, 0, sizeof *e);
  e->epoll_fd = e->command_fd = e->event_fd = -1;
  if (set_up(e, settings, udp, tcp, addresses, &region)) return e;
  int error = errno;
  if (addresses->adopted) e->listen.count = 0; /* they stay the caller's */
  mt_engine_close(e);
  mt_region_free(region); /* NULL if the core has it */
  errno = error;
  return NULL;
}

static void close_fd(int fd) {
  if (fd >= 0) close(fd);
}

void mt_engine_join(mt_engine *e) {
  if (!e->started) return;
  mt_engine_give_up(e);
  pthread_join(e->thread, NULL);
  e->started = false;
}

void mt_engine_close(mt_engine *e) {
  mt_engine_join(e);
  mt_tcp_free(e->tcp);
  mt_core_free(e->core);
  for (mt_command *c; e->commands.items && (c = mt_ring_peek(&e->commands)); mt_ring_pop(&e->commands)) mt_command_discard(c);
  for (mt_event *v; e->events.items && (v = mt_ring_peek(&e->events)); mt_ring_pop(&e->events)) mt_event_release(v);
  mt_ring_free(&e->commands);
  mt_ring_free(&e->events);
  mt_udp_free(e->udp);
  mt_listen_close(&e->listen);
  mt_pairs_free(&e->pairs);
  close_fd(e->epoll_fd);
  close_fd(e->command_fd);
  close_fd(e->event_fd);
  mt_waker_drop(e->waker);
  free(e);
}

uint16_t mt_engine_port(const mt_engine *e) { return e->port; }

const mt_listen *mt_engine_listen(const mt_engine *e) { return &e->listen; }

mt_waker *mt_engine_waker(mt_engine *e) { return e->waker; }

int mt_engine_event_fd(const mt_engine *e) { return e->event_fd; }

bool mt_engine_command(mt_engine *e, const mt_command *command) {
  bool put = mt_ring_put(&e->commands, command);
  if (!put) {
    atomic_exchange(&e->ring_was_full, true);
    put = mt_ring_put(&e->commands, command);
  }
  if (put) mt_waker_wake(e->waker); /* which costs nothing while the thread is awake */
  return put;
}

void mt_engine_give_up(mt_engine *e) {
  atomic_store(&e->stop, true);
  write_fd(e->command_fd);
}

void mt_engine_reset_events(mt_engine *e) {
  read_fd(e->event_fd);
  atomic_exchange(&e->signaled, false); /* before Python looks for events: a store might be seen only after that */
}

bool mt_engine_next_event(mt_engine *e, mt_event *out) {
  mt_event *v = mt_ring_peek(&e->events);
  if (!v) return false;
  *out = *v;
  mt_ring_pop(&e->events);
  if (out->type == MT_EVENT_TRACED) atomic_fetch_sub(&e->traced, 1);
  return true;
}
