/* See link.h. */
#include "links/link.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { WISH_SLOTS = 1024 };

/* ---- wakers ---- */

mt_waker *mt_waker_new(int fd) {
  mt_waker *b = calloc(1, sizeof *b);
  if (!b) {
    errno = ENOMEM;
    return NULL;
  }
  atomic_init(&b->references, 1);
  atomic_init(&b->asleep, false);
  b->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0 || b->fd >= 0) return b;
  int error = errno;
  free(b);
  errno = error;
  return NULL;
}

mt_waker *mt_waker_hold(mt_waker *b) {
  atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
  return b;
}

void mt_waker_drop(mt_waker *b) {
  if (!b || atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1) return;
  if (b->fd >= 0) close(b->fd);
  free(b);
}

/* The waking side has put its messages before; the sleeping side looks for messages after it has marked itself asleep. Both use an
 * exchange of that mark, and one exchange comes first. So either the sleeper sees the message, or it is woken. */
void mt_waker_wake(mt_waker *b) {
  if (!atomic_exchange(&b->asleep, false) || b->fd < 0) return;
  uint64_t one = 1;
  ssize_t n = write(b->fd, &one, sizeof one);
  (void)n; /* full means that it is readable already */
}

/* ---- links ---- */

mt_link *mt_link_new(mt_waker *source, mt_waker *sink, uint32_t slots) {
  mt_link *l = aligned_alloc(64, (sizeof *l + 63) / 64 * 64);
  if (!l) return NULL;
  memset(l, 0, sizeof *l);
  bool ok = mt_ring_init(&l->crossings, sizeof(mt_crossing), slots);
  ok = mt_ring_init(&l->wishes, sizeof(mt_wish), WISH_SLOTS) && ok;
  if (!ok) {
    mt_ring_free(&l->crossings);
    mt_ring_free(&l->wishes);
    free(l);
    return NULL;
  }
  atomic_init(&l->references, 1);
  l->wakers[MT_SOURCE] = mt_waker_hold(source);
  l->wakers[MT_SINK] = mt_waker_hold(sink);
  for (unsigned i = 0; i < 2; i++) {
    mt_link_end *end = &l->sides[i].end;
    end->link = l;
    mt_list_init(&end->in_core);
    mt_list_init(&end->members);
    atomic_init(&l->sides[i].closed, false);
  }
  return l;
}

mt_link *mt_link_hold(mt_link *l) {
  atomic_fetch_add_explicit(&l->references, 1, memory_order_relaxed);
  return l;
}

void mt_link_drop(mt_link *l) {
  if (!l || atomic_fetch_sub_explicit(&l->references, 1, memory_order_acq_rel) != 1) return;
  mt_waker_drop(l->wakers[MT_SOURCE]);
  mt_waker_drop(l->wakers[MT_SINK]);
  mt_ring_free(&l->crossings);
  mt_ring_free(&l->wishes);
  free(l);
}

bool mt_link_closed(mt_link *l, mt_side side) { return atomic_load_explicit(&l->sides[side].closed, memory_order_acquire); }

void mt_link_close(mt_link *l, mt_side side) {
  atomic_store_explicit(&l->sides[side].closed, true, memory_order_release);
  mt_waker_wake(l->wakers[!side]);
}

/* ---- the links out of one engine ---- */

mt_link *mt_links_find(const mt_links *links, const mt_waker *sink) {
  for (size_t i = 0; i < links->count; i++)
    if (links->links[i]->wakers[MT_SINK] == sink) return links->links[i];
  return NULL;
}

mt_link *mt_links_get(mt_links *links, mt_waker *source, mt_waker *sink, uint32_t slots) {
  mt_link *l = mt_links_find(links, sink);
  if (l) return l;
  mt_link **more = realloc(links->links, (links->count + 1) * sizeof(mt_link *));
  if (!more) return NULL;
  links->links = more;
  l = mt_link_new(source, sink, slots);
  if (l) links->links[links->count++] = l;
  return l;
}

void mt_links_prune(mt_links *links) {
  size_t kept = 0;
  for (size_t i = 0; i < links->count; i++) {
    mt_link *l = links->links[i];
    if (mt_link_closed(l, MT_SINK)) mt_link_drop(l);
    else links->links[kept++] = l;
  }
  links->count = kept;
}

void mt_links_free(mt_links *links) {
  for (size_t i = 0; i < links->count; i++) mt_link_drop(links->links[i]);
  free(links->links);
  *links = (mt_links){0};
}
