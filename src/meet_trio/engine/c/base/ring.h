/* A bounded queue of items of one size between two threads. One thread writes (put, or reserve, commit and flush), the other reads
 * (peek, pop).
 *
 * Neither thread ever waits or takes a lock: a full ring refuses an item, an empty ring has none. The ring wakes no thread. Items
 * are copied as bytes, and the ring does not own what they point to.
 *
 * Items that were committed are the writer's until the flush. Then the reader sees all of them at once, so it does not take a part
 * of what belongs together. Each thread remembers the other's count and looks at it again only when it runs out of slots or items,
 * because each look fetches a cache line from the other processor.
 */
#ifndef MT_BASE_RING_H
#define MT_BASE_RING_H

#include "base/limits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  uint8_t *items;
  size_t size;   /* bytes of an item */
  uint32_t mask; /* slots - 1 */
  /* Counts of items, which wrap. Those of each thread have a cache line of their own. */
  _Alignas(MT_CACHE_LINE) _Atomic uint32_t head; /* the reader's: items that were read */
  uint32_t seen_tail;                            /* the reader's: `tail` when it last looked */
  _Alignas(MT_CACHE_LINE) _Atomic uint32_t tail; /* the writer's: items that the reader may read */
  uint32_t committed;                            /* the writer's: those and the ones that were not flushed */
  uint32_t seen_head;                            /* the writer's: `head` when it last looked */
} mt_ring;

/* `size`: bytes of an item. `slots`: a power of two. False: no memory. */
static inline bool mt_ring_init(mt_ring *r, size_t size, uint32_t slots) {
  r->items = malloc(size * slots);
  r->size = size;
  r->mask = slots - 1;
  atomic_init(&r->head, 0);
  atomic_init(&r->tail, 0);
  r->seen_tail = r->committed = r->seen_head = 0;
  return r->items != NULL;
}

static inline void mt_ring_free(mt_ring *r) { free(r->items); }

/* The slot of the next item. The writer fills it in place and adds it by mt_ring_commit. NULL: no more than `spare` slots are
 * free. */
static inline void *mt_ring_reserve(mt_ring *r, uint32_t spare) {
  if (r->committed - r->seen_head + spare > r->mask) {
    r->seen_head = atomic_load_explicit(&r->head, memory_order_acquire);
    if (r->committed - r->seen_head + spare > r->mask) return NULL;
  }
  return r->items + (size_t)(r->committed & r->mask) * r->size;
}

/* Adds the item in the slot that mt_ring_reserve has given to those of the next flush. */
static inline void mt_ring_commit(mt_ring *r) { r->committed++; }

/* The number of items that the reader does not see yet, for the writer. */
static inline uint32_t mt_ring_unflushed(const mt_ring *r) {
  return r->committed - atomic_load_explicit(&r->tail, memory_order_relaxed);
}

/* Shows the reader all items that were committed. */
static inline void mt_ring_flush(mt_ring *r) {
  if (mt_ring_unflushed(r)) atomic_store_explicit(&r->tail, r->committed, memory_order_release);
}

/* Puts one item, which the reader sees at once. False: the ring is full. */
static inline bool mt_ring_put(mt_ring *r, const void *item) {
  void *slot = mt_ring_reserve(r, 0);
  if (!slot) return false;
  memcpy(slot, item, r->size);
  mt_ring_commit(r);
  mt_ring_flush(r);
  return true;
}

/* The number of items that the reader may read, for either thread. For the reader it is a lower bound, for the writer an upper
 * bound. */
static inline uint32_t mt_ring_count(mt_ring *r) {
  uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
  return atomic_load_explicit(&r->tail, memory_order_acquire) - head;
}

/* The oldest item, which stays in the ring until mt_ring_pop. NULL: the ring is empty. */
static inline void *mt_ring_peek(mt_ring *r) {
  uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
  if (head == r->seen_tail) {
    r->seen_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    if (head == r->seen_tail) return NULL;
  }
  return r->items + (size_t)(head & r->mask) * r->size;
}

/* Removes the item that mt_ring_peek has given. */
static inline void mt_ring_pop(mt_ring *r) {
  atomic_store_explicit(&r->head, atomic_load_explicit(&r->head, memory_order_relaxed) + 1, memory_order_release);
}

#endif
