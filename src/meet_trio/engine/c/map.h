/* A hash map from 64-bit keys to pointers: open addressing, linear probing, backward-shift deletion. Grows, never shrinks; allocation happens
 * only in mt_map_put. Keys are mixed with a seed of the process, so nobody outside can choose collisions. Key 0 is
 * allowed, NULL values are not.
 */
#ifndef MT_MAP_H
#define MT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct {
  uint64_t key;
  void *value;
} mt_map_slot;

typedef struct {
  mt_map_slot *slots;
  size_t mask; /* capacity - 1, or 0 when empty */
  size_t count;
} mt_map;

static inline uint64_t mt_mix(uint64_t x) { /* the finalizer of SplitMix64 */
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static inline void *mt_map_get(const mt_map *m, uint64_t seed, uint64_t key) {
  if (m->count == 0) return NULL;
  for (size_t i = mt_mix(key ^ seed) & m->mask;; i = (i + 1) & m->mask) {
    if (m->slots[i].value == NULL) return NULL;
    if (m->slots[i].key == key) return m->slots[i].value;
  }
}

/* False when there is no memory; an existing value is replaced. */
static inline bool mt_map_put(mt_map *m, uint64_t seed, uint64_t key, void *value) {
  if (m->slots == NULL || (m->count + 1) * 4 > (m->mask + 1) * 3) {
    size_t capacity = m->slots == NULL ? 16 : (m->mask + 1) * 2;
    mt_map bigger = {calloc(capacity, sizeof(mt_map_slot)), capacity - 1, 0};
    if (bigger.slots == NULL) return false;
    if (m->slots != NULL)
      for (size_t i = 0; i <= m->mask; i++)
        if (m->slots[i].value != NULL) mt_map_put(&bigger, seed, m->slots[i].key, m->slots[i].value);
    free(m->slots);
    *m = bigger;
  }
  for (size_t i = mt_mix(key ^ seed) & m->mask;; i = (i + 1) & m->mask) {
    if (m->slots[i].value == NULL) {
      m->slots[i] = (mt_map_slot){key, value};
      m->count++;
      return true;
    }
    if (m->slots[i].key == key) {
      m->slots[i].value = value;
      return true;
    }
  }
}

static inline void *mt_map_remove(mt_map *m, uint64_t seed, uint64_t key) {
  if (m->count == 0) return NULL;
  size_t i = mt_mix(key ^ seed) & m->mask;
  while (m->slots[i].value != NULL && m->slots[i].key != key) i = (i + 1) & m->mask;
  void *found = m->slots[i].value;
  if (found == NULL) return NULL;
  m->count--;
  for (size_t j = i;;) {
    j = (j + 1) & m->mask;
    if (m->slots[j].value == NULL) break;
    size_t home = mt_mix(m->slots[j].key ^ seed) & m->mask;
    /* may j move to i? only if its home is not between i (exclusive) and j */
    if (((j - home) & m->mask) >= ((j - i) & m->mask)) {
      m->slots[i] = m->slots[j];
      i = j;
    }
  }
  m->slots[i].value = NULL;
  return found;
}

static inline void mt_map_clear(mt_map *m) {
  free(m->slots);
  *m = (mt_map){0};
}

/* for (size_t i = 0; mt_map_next(&map, &i, (void **)&value);) */
static inline bool mt_map_next(const mt_map *m, size_t *i, void **value) {
  if (m->slots == NULL) return false;
  while (*i <= m->mask) {
    void *v = m->slots[(*i)++].value;
    if (v != NULL) {
      *value = v;
      return true;
    }
  }
  return false;
}

#endif
