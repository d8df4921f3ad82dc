/* Reads what an earlier process has left in its region (base/region.h), as blobs (core/values.h).
 *
 * The process may have been killed at any moment, and the file may have been damaged since. Nothing in it is trusted: it is read
 * piece by piece with pread, so that no length of it can do harm. A pointer is only a number, which is looked up among the blocks;
 * it leads to a slot of the expected kind with a whole object, or nowhere. What does not fit is left out, and named.
 *
 * What was changing when the process ended is left out too, by marks in the objects (state/kept.h). The SRTP indices, which must
 * never be used twice, are exact in any case: each is stored before its packet leaves.
 */
#ifndef MT_CORE_SALVAGE_H
#define MT_CORE_SALVAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mt_salvage mt_salvage;

typedef struct {
  uint8_t kind; /* MT_BLOB_… of core/values.h; 0: a damage, `id` is not set */
  uint32_t id;
  uint8_t *bytes; /* the blob, until the next call; NULL: a damage */
  size_t len;
  const char *damage; /* NULL: none. With a blob: what was left out of it */
} mt_salvaged;

/* `fd` stays the caller's, and is open until mt_salvage_free. NULL: nothing can be read; `*why` says why. */
mt_salvage *mt_salvage_new(int fd, const char **why);
uint32_t mt_salvage_index(const mt_salvage *s); /* the engine's */
/* Finds the next object, transports first, or the next damage. False: there is none. */
bool mt_salvage_next(mt_salvage *s, mt_salvaged *out);
void mt_salvage_free(mt_salvage *s); /* wipes what it has read. NULL is allowed */

#endif
