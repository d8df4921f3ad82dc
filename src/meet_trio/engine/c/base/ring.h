/* A bounded queue of items of one size between two threads. One thread writes (put, reserve, commit), the other reads (peek, pop).
 *
 * Neither thread ever waits or takes a lock: a full ring refuses an item, an empty ring has none. The ring wakes no thread. Items
 * are copied as bytes, and the ring does not own what they point to.
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
  /* Counts of items read and written, which wrap; each is written by one thread only and has a cache line of its own. */
  _Alignas(MT_CACHE_LINE) _Atomic uint32_t head; /* the reader's */
  _Alignas(MT_CACHE_LINE) _Atomic uint32_t tail; /* the writer's */
} mt_ring;

/* `size`: bytes of an item. `slots`: a power of two. False: no memory. */
static inline bool mt_ring_init(mt_ring *r, size_t size, uint32_t slots) {
  r->items = malloc(size * slots);
  r->size = size;
  r->mask = slots - 1;
  atomic_init(&r->head, 0);
  atomic_init(&r->tail, 0);
  return r->items != NULL;
}

static inline void mt_ring_free(mt_ring *r) { free(r->items); }

/* False: the ring is full. */
static inline bool mt_ring_put(mt_ring *r, const void *item) {
  uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
  if (tail - atomic_load_explicit(&r->head, memory_order_acquire) > r->mask) return false;
  memcpy(r->items + (size_t)(tail & r->mask) * r->size, item, r->size);
  atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
  return true;
}

/* The slot of the next item. The writer fills it in place and puts it by mt_ring_commit. NULL: no more than `spare` slots are
 * free. */
static inline void *mt_ring_reserve(mt_ring *r, uint32_t spare) {
  uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
  uint32_t used = tail - atomic_load_explicit(&r->head, memory_order_acquire);
  return used + spare > r->mask ? NULL : r->items + (size_t)(tail & r->mask) * r->size;
}

/* Puts the item in the slot that mt_ring_reserve has given. */
static inline void mt_ring_commit(mt_ring *r) {
  atomic_store_explicit(&r->tail, atomic_load_explicit(&r->tail, memory_order_relaxed) + 1, memory_order_release);
}

/* The number of items in the ring, for either thread. For the reader it is a lower bound, for the writer an upper bound. */
static inline uint32_t mt_ring_count(mt_ring *r) {
  uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
  return atomic_load_explicit(&r->tail, memory_order_acquire) - head;
}

/* The oldest item, which stays in the ring until mt_ring_pop. NULL: the ring is empty. */
static inline void *mt_ring_peek(mt_ring *r) {
  uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
  if (head == atomic_load_explicit(&r->tail, memory_order_acquire)) return NULL;
  return r->items + (size_t)(head & r->mask) * r->size;
}

/* Removes the item that mt_ring_peek has given. */
static inline void mt_ring_pop(mt_ring *r) {
  atomic_store_explicit(&r->head, atomic_load_explicit(&r->head, memory_order_relaxed) + 1, memory_order_release);
}

#endif
