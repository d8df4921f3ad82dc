/* A ring of fixed-size items between two threads: one puts, the other takes, nobody waits. */
#ifndef MT_BASE_RING_H
#define MT_BASE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  uint8_t *items;
  size_t size; /* of one item */
  uint32_t mask;
  _Alignas(64) _Atomic uint32_t head; /* the taker's */
  _Alignas(64) _Atomic uint32_t tail; /* the putter's */
} mt_ring;

/* `slots`: a power of two */
static inline bool mt_ring_init(mt_ring *r, size_t size, uint32_t slots) {
  r->items = malloc(size * slots);
  r->size = size;
  r->mask = slots - 1;
  atomic_init(&r->head, 0);
  atomic_init(&r->tail, 0);
  return r->items != NULL;
}

static inline void mt_ring_free(mt_ring *r) { free(r->items); }

static inline bool mt_ring_put(mt_ring *r, const void *item) {
  uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
  if (tail - atomic_load_explicit(&r->head, memory_order_acquire) > r->mask) return false;
  memcpy(r->items + (size_t)(tail & r->mask) * r->size, item, r->size);
  atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
  return true;
}

/* The place of the next item, to be filled where it lies and put by mt_ring_commit; NULL: no more than `spare` are free. */
static inline void *mt_ring_reserve(mt_ring *r, uint32_t spare) {
  uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
  uint32_t used = tail - atomic_load_explicit(&r->head, memory_order_acquire);
  return used + spare > r->mask ? NULL : r->items + (size_t)(tail & r->mask) * r->size;
}

static inline void mt_ring_commit(mt_ring *r) {
  atomic_store_explicit(&r->tail, atomic_load_explicit(&r->tail, memory_order_relaxed) + 1, memory_order_release);
}

/* How many items there are, for either side: at least as many for the taker, at most as many for the putter. */
static inline uint32_t mt_ring_count(mt_ring *r) {
  uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
  return atomic_load_explicit(&r->tail, memory_order_acquire) - head;
}

/* The oldest item, which stays in the ring until mt_ring_pop; NULL: none. */
static inline void *mt_ring_peek(mt_ring *r) {
  uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
  if (head == atomic_load_explicit(&r->tail, memory_order_acquire)) return NULL;
  return r->items + (size_t)(head & r->mask) * r->size;
}

static inline void mt_ring_pop(mt_ring *r) {
  atomic_store_explicit(&r->head, atomic_load_explicit(&r->head, memory_order_relaxed) + 1, memory_order_release);
}

#endif
