/* See link.h. */
#include "links/link.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { WISH_SLOTS = 1024 }; /* of the ring of wishes */

/* ---- wakers ---- */

mt_waker *mt_waker_new(int fd) {
  mt_waker *w = calloc(1, sizeof *w);
  if (!w) {
    errno = ENOMEM;
    return NULL;
  }
  atomic_init(&w->references, 1);
  atomic_init(&w->asleep, false);
  w->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0 || w->fd >= 0) return w;
  int error = errno;
  free(w);
  errno = error;
  return NULL;
}

mt_waker *mt_waker_hold(mt_waker *w) {
  atomic_fetch_add_explicit(&w->references, 1, memory_order_relaxed);
  return w;
}

void mt_waker_drop(mt_waker *w) {
  if (!w || atomic_fetch_sub_explicit(&w->references, 1, memory_order_acq_rel) != 1) return;
  if (w->fd >= 0) close(w->fd);
  free(w);
}

/* No wake-up is lost. The waking side has put its messages before it exchanges the mark. The sleeping side exchanges the mark
 * before it looks for messages. One exchange comes first, so either the sleeping side sees the messages, or it is woken. */
void mt_waker_wake(mt_waker *w) {
  if (!atomic_exchange(&w->asleep, false) || w->fd < 0) return;
  uint64_t one = 1;
  ssize_t n = write(w->fd, &one, sizeof one);
  (void)n; /* the write fails if the counter is full, and then the eventfd is readable already */
}

/* ---- links ---- */

mt_link *mt_link_new(mt_waker *source, mt_waker *sink, uint32_t slots) {
  mt_link *l = aligned_alloc(MT_CACHE_LINE, (sizeof *l + MT_CACHE_LINE - 1) / MT_CACHE_LINE * MT_CACHE_LINE);
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
    atomic_init(&l->sides[i].died, false);
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

bool mt_link_died(mt_link *l, mt_side side) {
  return mt_link_closed(l, side) && atomic_load_explicit(&l->sides[side].died, memory_order_relaxed);
}

void mt_link_close(mt_link *l, mt_side side, bool died) {
  atomic_store_explicit(&l->sides[side].died, died, memory_order_relaxed);
  atomic_store_explicit(&l->sides[side].closed, true, memory_order_release);
  mt_waker_wake(l->wakers[!side]);
}

/* ---- the links that one engine is the source of ---- */

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
