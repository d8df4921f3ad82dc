/* A hash table whose links live in its members (chaining). It knows hashes, not keys: a caller walks the few nodes that share
 * a hash and compares keys itself. Inserting cannot fail: when growing does, chains get longer.
 */
#ifndef MT_BASE_TABLE_H
#define MT_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mt_node {
  struct mt_node *next;
  uint64_t hash;
} mt_node;

typedef struct {
  mt_node **slots;
  size_t mask, count;
  size_t empty; /* so many slots from the first one on hold nothing */
} mt_table;

bool mt_table_init(mt_table *t, size_t slots); /* a power of two */
void mt_table_free(mt_table *t);               /* the members are the caller's */
void mt_table_insert(mt_table *t, mt_node *node, uint64_t hash);
void mt_table_remove(mt_table *t, mt_node *node);
mt_node *mt_table_first(const mt_table *t, uint64_t hash);
mt_node *mt_table_next(const mt_node *node); /* the next one of the same hash */

/* Some member, NULL when there is none: for emptying, which passes each slot once. */
mt_node *mt_table_any(mt_table *t);

/* splitmix64's finalizer: spreads integers over all bits */
static inline uint64_t mt_hash64(uint64_t x) {
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

static inline uint64_t mt_hash_bytes(const uint8_t *p, size_t n, uint64_t seed) {
  uint64_t h = seed ^ n;
  for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
  return mt_hash64(h);
}

#endif
