/* Cache lines: memory that begins with one, and fetching some before they are needed.
 *
 * A processor reads memory in lines of MT_CACHE_LINE bytes. With 1,000 viewers their state does not fit into the fastest caches, so
 * what a packet costs is the lines that it touches. Objects that each packet touches therefore begin with a line, and what each
 * packet needs of them stands together.
 */
#ifndef MT_BASE_LINES_H
#define MT_BASE_LINES_H

#include "base/limits.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Memory of zeros that begins with a line. `free` frees it. NULL: there is none. */
static inline void *mt_new_in_lines(size_t size) {
  size_t whole = (size + MT_CACHE_LINE - 1) & ~(size_t)(MT_CACHE_LINE - 1);
  void *p = aligned_alloc(MT_CACHE_LINE, whole);
  if (p) memset(p, 0, whole);
  return p;
}

/* So many lines, from that of `p` on, are about to be used. Nothing is read, so any address is allowed, also NULL: hence the
 * numbers in place of a pointer's sums, which only exist within an object. */
static inline void mt_fetch(const void *p, unsigned lines) {
  for (unsigned i = 0; i < lines; i++) __builtin_prefetch((const void *)((uintptr_t)p + (size_t)i * MT_CACHE_LINE));
}

static inline unsigned mt_lines(size_t size) { return (unsigned)((size + MT_CACHE_LINE - 1) / MT_CACHE_LINE); }

#endif
