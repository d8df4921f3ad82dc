/* See packet.h. */
#include "state/packet.h"

#include <stdlib.h>

bool mt_history_init(mt_history *h, uint32_t slots) {
  *h = (mt_history){.slots = calloc(slots, sizeof(mt_packet *)), .mask = slots - 1};
  return h->slots != NULL;
}

static void drop_until(mt_history *h, mt_pool *pool, uint64_t sequence) {
  for (; h->oldest < sequence; h->oldest++) {
    mt_packet **slot = &h->slots[h->oldest & h->mask];
    mt_pool_put(pool, *slot);
    *slot = NULL;
  }
}

void mt_history_clear(mt_history *h, mt_pool *pool) {
  if (!h->slots) return;
  drop_until(h, pool, h->end);
  h->oldest = h->end = 0;
}

void mt_history_free(mt_history *h, mt_pool *pool) {
  mt_history_clear(h, pool);
  free(h->slots);
  h->slots = NULL;
}

bool mt_history_add(mt_history *h, mt_pool *pool, mt_packet *p, int64_t horizon) {
  uint64_t size = (uint64_t)h->mask + 1;
  mt_history_expire(h, pool, horizon); /* before `p` is added: the caller goes on to use `p`, however old it is */
  if (p->sequence >= h->end) {
    uint64_t end = p->sequence + 1;
    if (h->end == 0 || end - h->oldest >= 2 * size) {
      /* the first packet, or a jump past all that is kept */
      drop_until(h, pool, h->end);
      h->oldest = p->sequence;
    } else if (end > size) {
      drop_until(h, pool, end - size);
    }
    h->end = end;
  }
  if (p->sequence < h->oldest) {
    if (h->end - p->sequence > size) {
      mt_pool_put(pool, p);
      return false;
    }
    h->oldest = p->sequence;
  }
  mt_packet **slot = &h->slots[p->sequence & h->mask];
  mt_pool_put(pool, *slot);
  *slot = p;
  return true;
}

void mt_history_expire(mt_history *h, mt_pool *pool, int64_t horizon) {
  if (!h->slots) return;
  while (h->oldest + 1 < h->end) {
    mt_packet *p = h->slots[h->oldest & h->mask];
    if (p && p->arrived >= horizon) return;
    drop_until(h, pool, h->oldest + 1);
  }
}

mt_packet *mt_history_find(const mt_history *h, uint64_t sequence) {
  if (!h->slots || sequence < h->oldest || sequence >= h->end) return NULL;
  mt_packet *p = h->slots[sequence & h->mask];
  return p && p->sequence == sequence ? p : NULL;
}
