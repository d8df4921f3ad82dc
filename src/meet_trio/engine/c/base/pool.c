/* See pool.h. */
#include "base/pool.h"

#include "base/poison.h"

#include <stdint.h>
#include <sys/mman.h>

enum {
  BLOCK_BYTES = 256 * 1024,
  ITEM_ALIGNMENT = 16, /* bytes */
  SPARE_BLOCKS = 2,    /* empty blocks that are kept for the next burst */
};

typedef struct item {
  struct item *next;
} item;

typedef struct {
  mt_list link;         /* in one of the pool's lists */
  item *free;           /* items that were put back, the last one first */
  uint32_t used, fresh; /* fresh: the first item that was never used; from there on the kernel has not provided memory yet */
  _Alignas(ITEM_ALIGNMENT) uint8_t items[];
} block;

void mt_pool_init(mt_pool *pool, size_t size) {
  *pool = (mt_pool){.spare = SPARE_BLOCKS, .size = (size + ITEM_ALIGNMENT - 1) & ~(size_t)(ITEM_ALIGNMENT - 1)};
  pool->per_block = (uint32_t)((BLOCK_BYTES - sizeof(block)) / pool->size);
  mt_list_init(&pool->full);
  mt_list_init(&pool->partial);
  mt_list_init(&pool->empty);
}

static block *block_of(const void *p) { return (block *)((uintptr_t)p & ~(uintptr_t)(BLOCK_BYTES - 1)); }

/* Maps twice the size of a block, which always contains an aligned one, and unmaps the bytes before and behind that. */
static block *block_new(mt_pool *pool) {
  uint8_t *at = mmap(NULL, 2 * BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return NULL;
  size_t before = -(uintptr_t)at & (BLOCK_BYTES - 1);
  if (before) munmap(at, before);
  munmap(at + before + BLOCK_BYTES, BLOCK_BYTES - before);
  block *b = (block *)(void *)(at + before); /* the kernel has zeroed it */
  mt_list_init(&b->link);
  mt_list_append(&pool->empty, &b->link);
  pool->empty_count++;
  pool->count += pool->per_block;
  return b;
}

static void block_free(mt_pool *pool, mt_list *link) {
  mt_list_remove(link);
  MT_UNPOISON(MT_OF(link, block, link), BLOCK_BYTES);
  pool->count -= pool->per_block;
  munmap(MT_OF(link, block, link), BLOCK_BYTES);
}

void *mt_pool_get(mt_pool *pool) {
  if (mt_list_empty(&pool->partial)) {
    if (mt_list_empty(&pool->empty) && !block_new(pool)) return NULL;
    mt_list_append(&pool->partial, pool->empty.next);
    pool->empty_count--;
  }
  block *b = MT_OF(pool->partial.next, block, link);
  item *p = b->free;
  if (p) MT_UNPOISON(p, pool->size);
  if (p) b->free = p->next;
  else p = (item *)(void *)(b->items + b->fresh++ * pool->size);
  if (++b->used == pool->per_block) mt_list_append(&pool->full, &b->link);
  pool->used++;
  return p;
}

void mt_pool_put(mt_pool *pool, void *p) {
  if (!p) return;
  block *b = block_of(p);
  item *i = p;
  i->next = b->free;
  b->free = i;
  MT_POISON(i, pool->size);
  pool->used--;
  if (b->used-- == pool->per_block) mt_list_append(&pool->partial, &b->link);
  if (b->used) return;
  mt_list_append(&pool->empty, &b->link);
  pool->empty_count++;
}

void mt_pool_trim(mt_pool *pool) {
  if (pool->empty_count <= pool->spare) return;
  pool->empty_count--;
  block_free(pool, pool->empty.next);
}

void mt_pool_free(mt_pool *pool) {
  mt_list *lists[] = {&pool->full, &pool->partial, &pool->empty};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    MT_EACH (link, lists[i]) block_free(pool, link);
}

/* ---- pools of several sizes ---- */

void mt_pools_init(mt_pools *pools, size_t least, size_t most) {
  *pools = (mt_pools){.least = least};
  for (size_t size = least; pools->count < MT_MOST_SIZES; size *= 2) {
    mt_pool *pool = &pools->pools[pools->count++];
    mt_pool_init(pool, size < most ? size : most);
    pool->spare = 0;
    if (size >= most) return;
  }
}

static mt_pool *pool_for(mt_pools *pools, size_t size) {
  unsigned i = 0;
  for (size_t fits = pools->least; fits < size; fits *= 2) i++;
  return &pools->pools[i];
}

void *mt_pools_get(mt_pools *pools, size_t size) { return mt_pool_get(pool_for(pools, size)); }

void mt_pools_put(mt_pools *pools, void *p, size_t size) { mt_pool_put(pool_for(pools, size), p); }

void mt_pools_trim(mt_pools *pools) {
  for (unsigned i = 0; i < pools->count; i++) mt_pool_trim(&pools->pools[i]);
}

void mt_pools_free(mt_pools *pools) {
  for (unsigned i = 0; i < pools->count; i++) mt_pool_free(&pools->pools[i]);
}
