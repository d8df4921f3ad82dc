/* Memory for many things of one size, which goes back to the system.
 *
 * malloc gives nothing back that lies below something in use, and so keeps the busiest hour's memory. What a core has thousands of and
 * that is large comes from here: packets, and what streams and consumers remember of theirs.
 */
#ifndef MT_BASE_POOL_H
#define MT_BASE_POOL_H

#include "base/list.h"

#include <stdint.h>

typedef struct {
  mt_list full, partial, empty; /* blocks; items are taken from the first of `partial` */
  size_t size;                  /* of an item */
  uint64_t count, used;         /* items that there is room for, and those in use */
  uint32_t in_block, empty_count;
} mt_pool;

void mt_pool_init(mt_pool *pool, size_t size); /* up to some 80 KB */
void *mt_pool_get(mt_pool *pool);              /* with anything in it; NULL: no memory */
void mt_pool_put(mt_pool *pool, void *p);      /* NULL is allowed */
/* Ten times a second: gives a block back to the system if there are more empty ones than the next burst may need. One at a time, so that
 * what comes and goes within a second stays. */
void mt_pool_trim(mt_pool *pool);
void mt_pool_free(mt_pool *pool); /* all blocks, whatever is in use */

#endif
