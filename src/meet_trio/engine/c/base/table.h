/* A hash table whose links lie in its members (chaining), and the hash functions for it.
 *
 * The table knows hashes, not keys: the caller walks the few nodes of one hash and compares their keys. It doubles its slots when
 * it has more members than slots, and never shrinks. Inserting cannot fail: without memory for more slots the chains get longer. A
 * table does not own its members. A member must be removed before it is freed.
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
  size_t mask, count; /* slots - 1, members */
  size_t empty;       /* the slots before this index are empty */
} mt_table;

bool mt_table_init(mt_table *t, size_t slots); /* `slots`: a power of two. False: no memory */
void mt_table_free(mt_table *t);               /* leaves the members alone */
void mt_table_insert(mt_table *t, mt_node *node, uint64_t hash);
void mt_table_remove(mt_table *t, mt_node *node);          /* a node that is not in the table is allowed */
mt_node *mt_table_first(const mt_table *t, uint64_t hash); /* NULL: no node has this hash */
mt_node *mt_table_next(const mt_node *node);               /* the next node of the same hash. NULL: no other has it */

/* Any member, for a caller that removes all of them; the slots are searched once for all these calls. NULL: the table is empty. */
mt_node *mt_table_any(mt_table *t);

/* The finalizer of splitmix64, which spreads an integer over all 64 bits. It is a bijection: different integers have different
 * hashes. */
static inline uint64_t mt_hash64(uint64_t x) {
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

/* FNV-1a's multiplications from a seed, then mt_hash64. `n`: bytes. */
static inline uint64_t mt_hash_bytes(const uint8_t *p, size_t n, uint64_t seed) {
  uint64_t h = seed ^ n;
  for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
  return mt_hash64(h);
}

#endif
