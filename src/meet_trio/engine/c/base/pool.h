/* Memory for many items of one size, which returns to the system when it is not used.
 *
 * malloc returns no memory that lies below an allocation in use, so a process keeps the memory of its busiest hour. Large items
 * that a core has by the thousand come from a pool: packets, the missing packets of streams and the sent packets of consumers.
 *
 * Blocks come from the kernel and return to it. A block is aligned to its size, so an item's address gives its block. Items are
 * taken from one partly used block until it is full; the other partly used blocks wait in line, and their items return meanwhile.
 *
 * A pool belongs to one thread. It does not clear items: a new item contains anything.
 */
#ifndef MT_BASE_POOL_H
#define MT_BASE_POOL_H

#include "base/list.h"

#include <stdint.h>

typedef struct {
  mt_list full, partial, empty; /* blocks; items are taken from the first of `partial` */
  size_t size;                  /* bytes of an item, a multiple of 16 */
  uint64_t count, used;         /* items that the blocks have room for, and items in use */
  uint32_t per_block;           /* items */
  uint32_t empty_count;         /* blocks in `empty` */
  uint32_t spare;               /* empty blocks that are kept for the next burst */
} mt_pool;

void mt_pool_init(mt_pool *pool, size_t size); /* bytes of an item, at most about 80 KB */
void *mt_pool_get(mt_pool *pool);              /* NULL: no memory */
void mt_pool_put(mt_pool *pool, void *p);      /* NULL is allowed */
/* Returns one block to the system if there are more empty blocks than the next burst may need. It is called ten times a second. It
 * returns only one block a call, so that memory of a burst that ends and returns within a second stays. */
void mt_pool_trim(mt_pool *pool);
void mt_pool_free(mt_pool *pool); /* returns all blocks, even those with items in use */

/* Pools for arrays that double: a pool for each size. They keep no empty blocks, because arrays pass through most sizes only once. */
enum { MT_MOST_SIZES = 6 };
typedef struct {
  mt_pool pools[MT_MOST_SIZES];
  size_t least; /* bytes of an item of the first pool */
  unsigned count;
} mt_pools;

void mt_pools_init(mt_pools *pools, size_t least, size_t most); /* bytes: of `least`, twice as many and so on, the last of `most` */
void *mt_pools_get(mt_pools *pools, size_t size);               /* one of the sizes. NULL: no memory */
void mt_pools_put(mt_pools *pools, void *p, size_t size);       /* the size that it was got with; NULL is allowed */
void mt_pools_trim(mt_pools *pools);
void mt_pools_free(mt_pools *pools);

#endif
