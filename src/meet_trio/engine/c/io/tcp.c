/* See tcp.h. */
#define _GNU_SOURCE /* accept4 */
#include "io/tcp.h"

#include "formats/rfc4571.h"
#include "formats/stun.h"
#include "state/core_state.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
  READ_SIZE = 32768, /* bytes of one connection in a turn; the others do not wait long even if each frame has one byte */
  ACCEPTS_PER_TURN = 64,
  UNSENT_LIMIT = 128 << 10, /* bytes that wait in the kernel to be sent; with more, media would only arrive later */
  PAUSE_US = 250 * MT_MS,   /* without accepting, after file descriptors have run out */
  SWEEP_US = MT_SECOND,     /* between two searches for connections whose route has ended */
  FIRST_SLOTS = 64,         /* of the table of connections */
  IPV4_BYTES = 4,           /* each IPv4 address counts as a network */
  IPV6_NETWORK_BYTES = 8,   /* a /64 counts as a network */
};

typedef struct {
  mt_node node;
  mt_list link; /* in `strangers` or `proven`, the oldest first; in neither after a failure */
  mt_list turn; /* in `unsent`, in `failed` or in neither */
  int fd;
  mt_path path;
  bool proven, failed;
  bool blocked;     /* the kernel's buffer is full; epoll tells when there is room */
  int64_t deadline; /* microseconds: a stranger is closed then */
  mt_rfc4571_queue out;
  size_t part_len;              /* bytes of `part` */
  uint8_t part[MT_RFC4571_MAX]; /* the beginning of a frame whose rest has not come */
} connection;

struct mt_tcp {
  mt_tcp_settings settings;
  mt_core *core;
  int epoll_fd;
  const mt_listen *listen;
  mt_table by_id;
  mt_list strangers, proven, unsent, failed;
  uint32_t count, stranger_count, last_id;
  int64_t paused_until; /* microseconds; 0: accepting is not paused */
  int64_t next_sweep;   /* microseconds */
  mt_counters counters; /* only the tcp_… ones are used */
  uint8_t in[MT_RFC4571_MAX + READ_SIZE];
};

static bool watch(const mt_tcp *t, int operation, int fd, uint32_t events, uint8_t kind, uint32_t id) {
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)kind << 32 | id};
  return epoll_ctl(t->epoll_fd, operation, fd, &event) == 0;
}

static connection *find(const mt_tcp *t, uint32_t id) {
  mt_node *n = mt_table_first(&t->by_id, mt_hash64(id));
  return n ? MT_OF(n, connection, node) : NULL;
}

/* ---- the end of a connection ---- */

/* Marks a connection; reap closes it. */
static void fail(mt_tcp *t, connection *c) {
  if (c->failed) return;
  c->failed = true;
  if (!c->proven) t->stranger_count--;
  t->count--;
  mt_list_remove(&c->link);
  mt_list_append(&t->failed, &c->turn);
}

static void close_connection(mt_tcp *t, connection *c) {
  mt_list_remove(&c->link);
  mt_list_remove(&c->turn);
  mt_table_remove(&t->by_id, &c->node);
  mt_rfc4571_free(&c->out);
  watch(t, EPOLL_CTL_DEL, c->fd, 0, MT_PATH_NONE, 0); /* closing would not do if another process has the socket too */
  close(c->fd);
  free(c);
}

/* Closes the marked connections and tells the core. The core must not be at work. */
static void reap(mt_tcp *t, int64_t now) {
  MT_EACH (item, &t->failed) {
    connection *c = MT_OF(item, connection, turn);
    mt_core_path_closed(t->core, now, &c->path);
    close_connection(t, c);
  }
}

/* ---- its beginning ---- */

static bool same_network(const mt_path *a, const mt_path *b) {
  return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? IPV4_BYTES : IPV6_NETWORK_BYTES) == 0;
}

/* Marks the oldest stranger as failed, of the network of `of` only if that is not NULL. False: there is none. */
static bool drop_stranger(mt_tcp *t, const mt_path *of) {
  MT_EACH (item, &t->strangers) {
    connection *c = MT_OF(item, connection, link);
    if (of && !same_network(&c->path, of)) continue;
    t->counters.tcp_strangers_displaced++;
    fail(t, c);
    return true;
  }
  return false;
}

/* Makes room for a connection from `from`. False: there is none. */
static bool make_room(mt_tcp *t, const mt_path *from) {
  uint32_t same = 0;
  MT_EACH (item, &t->strangers) same += same_network(&MT_OF(item, connection, link)->path, from);
  if (same >= t->settings.max_strangers_per_address) drop_stranger(t, from);
  if (t->stranger_count >= t->settings.max_strangers) drop_stranger(t, NULL);
  return t->count < t->settings.max_connections || drop_stranger(t, NULL);
}

static uint32_t new_id(mt_tcp *t) {
  do t->last_id++;
  while (find(t, t->last_id));
  return t->last_id;
}

/* NULL: failure; the socket stays open. */
static connection *add(mt_tcp *t, int fd, const mt_path *from, int64_t now) {
  connection *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->fd = fd;
  c->path = *from;
  c->path.kind = MT_PATH_TCP;
  c->path.tcp_connection = new_id(t);
  c->deadline = now + (int64_t)t->settings.stranger_ms * MT_MS;
  c->out.limit = t->settings.send_buffer;
  if (!watch(t, EPOLL_CTL_ADD, fd, EPOLLIN, MT_PATH_TCP, c->path.tcp_connection)) {
    free(c);
    return NULL;
  }
  int on = 1, unsent_limit = UNSENT_LIMIT;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_limit, sizeof unsent_limit);
  mt_list_init(&c->link);
  mt_list_init(&c->turn);
  mt_list_append(&t->strangers, &c->link);
  mt_table_insert(&t->by_id, &c->node, mt_hash64(c->path.tcp_connection));
  t->count++;
  t->stranger_count++;
  t->counters.tcp_accepted++;
  return c;
}

static void pause_accepting(mt_tcp *t, int64_t now) {
  t->counters.tcp_accept_pauses++;
  t->paused_until = now + PAUSE_US;
  for (uint32_t i = 0; i < t->listen->count; i++) watch(t, EPOLL_CTL_MOD, t->listen->tcp[i].fd, 0, MT_TCP_LISTENER, i);
}

static bool resume_accepting(mt_tcp *t) {
  bool ok = true;
  t->paused_until = 0;
  for (uint32_t i = 0; i < t->listen->count; i++)
    ok = watch(t, EPOLL_CTL_MOD, t->listen->tcp[i].fd, EPOLLIN, MT_TCP_LISTENER, i) && ok;
  return ok;
}

void mt_tcp_accept(mt_tcp *t, uint32_t listener, int64_t now) {
  if (t->paused_until) return;
  for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    int fd = accept4(t->listen->tcp[listener].fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) pause_accepting(t, now);
      if (errno == ECONNABORTED || errno == EINTR) continue; /* this connection has ended already */
      break;
    }
    mt_path from = mt_path_from_sockaddr((struct sockaddr *)&address);
    if (make_room(t, &from) && add(t, fd, &from, now)) continue;
    t->counters.tcp_refused++;
    close(fd);
  }
  reap(t, now);
}

/* ---- out ---- */

static void set_blocked(mt_tcp *t, connection *c, bool blocked) {
  if (c->blocked == blocked) return;
  c->blocked = blocked;
  if (!watch(t, EPOLL_CTL_MOD, c->fd, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, MT_PATH_TCP, c->path.tcp_connection)) fail(t, c);
}

static void write_out(mt_tcp *t, connection *c) {
  struct iovec pieces[2];
  struct msghdr message = {.msg_iov = pieces};
  while (!c->failed && (message.msg_iovlen = mt_rfc4571_pieces(&c->out, pieces))) {
    ssize_t n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      mt_rfc4571_sent(&c->out, (size_t)n);
    } else if (errno == EAGAIN || errno == ENOBUFS) {
      set_blocked(t, c, true);
      return;
    } else if (errno != EINTR) {
      fail(t, c);
      return;
    }
  }
  if (!c->failed) set_blocked(t, c, false);
}

void mt_tcp_send(mt_tcp *t, const mt_path *to, const uint8_t *data, size_t len) {
  connection *c = find(t, to->tcp_connection);
  bool put = c && !c->failed && mt_rfc4571_put(&c->out, data, len);
  if (!put && c && !c->failed && !c->blocked) { /* the batch is larger than the queue */
    write_out(t, c);
    put = !c->failed && mt_rfc4571_put(&c->out, data, len);
  }
  if (!put) t->counters.tcp_datagrams_dropped++;
  else if (!c->blocked) mt_list_append(&t->unsent, &c->turn);
}

void mt_tcp_flush(mt_tcp *t, int64_t now) {
  MT_EACH (item, &t->unsent) {
    mt_list_remove(item);
    write_out(t, MT_OF(item, connection, turn));
  }
  reap(t, now);
}

/* ---- in ---- */

static void prove(mt_tcp *t, connection *c) {
  c->proven = true;
  t->stranger_count--;
  mt_list_append(&t->proven, &c->link);
}

/* A stranger's frames must be STUN. False: the connection is to end. */
static bool take_frame(mt_tcp *t, connection *c, uint8_t *data, size_t len, int64_t now) {
  mt_stun m;
  if (!c->proven && !mt_stun_parse_untrusted(data, len, &m)) return false;
  mt_core_datagram(t->core, now, &c->path, data, len);
  if (!c->failed && !c->proven && mt_core_knows(t->core, &c->path)) prove(t, c);
  return !c->failed;
}

/* Passes the whole frames in the `n` bytes of `in` to the core. The part of a frame at the end is kept until its rest comes. */
static void take_bytes(mt_tcp *t, connection *c, size_t n, int64_t now) {
  size_t at = 0, len = 0;
  const uint8_t *payload = NULL;
  mt_rfc4571_result found;
  while ((found = mt_rfc4571_next_untrusted(t->in, n, &at, &payload, &len)) == MT_RFC4571_WHOLE) {
    if (take_frame(t, c, t->in + (payload - t->in), len, now)) continue;
    if (!c->failed) t->counters.tcp_bad_frames++;
    fail(t, c);
    return;
  }
  if (found == MT_RFC4571_BAD) {
    t->counters.tcp_bad_frames++;
    fail(t, c);
    return;
  }
  c->part_len = n - at;
  memcpy(c->part, t->in + at, c->part_len);
}

void mt_tcp_ready(mt_tcp *t, uint32_t id, int64_t now) {
  connection *c = find(t, id);
  if (!c) return; /* it was closed in the same turn */
  if (c->blocked) write_out(t, c);
  if (!c->failed) {
    ssize_t n = recv(c->fd, t->in + c->part_len, READ_SIZE, MSG_DONTWAIT);
    memcpy(t->in, c->part, c->part_len);
    if (n > 0) take_bytes(t, c, c->part_len + (size_t)n, now);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR)) fail(t, c); /* a connection with one direction is useless */
  }
  reap(t, now);
}

/* ---- time ---- */

/* Marks proven connections whose route has ended, and frees the memory of empty queues. */
static void sweep(mt_tcp *t) {
  MT_EACH (item, &t->proven) {
    connection *c = MT_OF(item, connection, link);
    if (!mt_core_knows(t->core, &c->path)) fail(t, c); /* its transport was removed or has lost consent */
    else mt_rfc4571_trim(&c->out);
  }
}

int64_t mt_tcp_tick(mt_tcp *t, int64_t now) {
  MT_EACH (item, &t->strangers) {
    connection *c = MT_OF(item, connection, link);
    if (now < c->deadline) break;
    t->counters.tcp_strangers_timed_out++;
    fail(t, c);
  }
  if (t->paused_until && now >= t->paused_until) resume_accepting(t);
  if (now >= t->next_sweep) {
    t->next_sweep = now + SWEEP_US;
    sweep(t);
  }
  reap(t, now);
  int64_t next = t->next_sweep;
  if (t->paused_until && t->paused_until < next) next = t->paused_until;
  if (!mt_list_empty(&t->strangers)) {
    int64_t deadline = MT_OF(t->strangers.next, connection, link)->deadline;
    if (deadline < next) next = deadline;
  }
  return next;
}

/* ---- life ---- */

mt_tcp *mt_tcp_new(const mt_tcp_settings *settings, mt_core *core, int epoll_fd, const mt_listen *listen) {
  mt_tcp *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->settings = *settings;
  t->core = core;
  t->epoll_fd = epoll_fd;
  t->listen = listen;
  mt_list *lists[] = {&t->strangers, &t->proven, &t->unsent, &t->failed};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) mt_list_init(lists[i]);
  bool ok = mt_table_init(&t->by_id, FIRST_SLOTS);
  for (uint32_t i = 0; ok && i < listen->count; i++) ok = watch(t, EPOLL_CTL_ADD, listen->tcp[i].fd, EPOLLIN, MT_TCP_LISTENER, i);
  if (ok) return t;
  mt_tcp_free(t);
  return NULL;
}

void mt_tcp_free(mt_tcp *t) {
  if (!t) return;
  for (mt_node *n; t->by_id.slots && (n = mt_table_any(&t->by_id));) close_connection(t, MT_OF(n, connection, node));
  mt_table_free(&t->by_id);
  free(t);
}

void mt_tcp_figures(const mt_tcp *t, mt_stats *out) {
  out->tcp_connections = t->count;
  out->tcp_strangers = t->stranger_count;
  out->counters.tcp_accepted = t->counters.tcp_accepted;
  out->counters.tcp_refused = t->counters.tcp_refused;
  out->counters.tcp_accept_pauses = t->counters.tcp_accept_pauses;
  out->counters.tcp_bad_frames = t->counters.tcp_bad_frames;
  out->counters.tcp_strangers_displaced = t->counters.tcp_strangers_displaced;
  out->counters.tcp_strangers_timed_out = t->counters.tcp_strangers_timed_out;
  out->counters.tcp_datagrams_dropped = t->counters.tcp_datagrams_dropped;
}
