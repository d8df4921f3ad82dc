/* What another machine needs to go on with the objects of a running core, as blobs (core/values.h): a snapshot.
 *
 * A region is exact, and ends with its machine. A snapshot is taken now and then, and is stored elsewhere. Whoever goes on from it
 * jumps ahead with all indices (core/resume.h, blobs that are not exact). No index may be used on both sides, so this core keeps a
 * promise: it uses no index that is MT_SKIPPED above that of the newest snapshot that is known to be stored, and drops what would
 * need one. The first snapshot with a sender binds it, whether it gets stored or not. A later one replaces it when it is stored.
 * Without snapshots there is no ceiling. Ceilings are kept in a region, because an engine that goes on from it keeps the promise.
 *
 * A snapshot is a sequence of entries: kind of blob (1 byte), id (4), length (4), both little-endian, and the blob.
 */
#ifndef MT_CORE_SNAPSHOT_H
#define MT_CORE_SNAPSHOT_H

#include "state/core_state.h"

enum { MT_SNAPSHOT_HEAD = 9 }; /* bytes of an entry before its blob */

/* Takes a snapshot, which the caller frees after wiping it. NULL: no memory. */
uint8_t *mt_snapshot_take(mt_core *core, size_t *len, int64_t now);
/* The newest snapshot that was taken is stored, if its token is this one. 0: none is, and none will be. */
void mt_snapshot_stored(mt_core *core, uint32_t token);

#endif
