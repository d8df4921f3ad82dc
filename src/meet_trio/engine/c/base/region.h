/* A region: memory for the objects that outlive the process, in a file, so that the next process finds them after any end of this
 * one. Nothing is copied while this process runs: the file is mapped, and the objects lie in it.
 *
 *   file    header │ block │ block │ …      a block has slots of one kind and one size
 *   block   label  │ marks │ slot │ slot │ …
 *
 * The file is on a file system in memory. A slot is backed by it before it is touched: when that is full, there is no memory (NULL),
 * and no SIGBUS. A block without objects returns to the file system. Its place in the file is used again.
 *
 * Each slot has a mark, which is set when its object is complete and cleared before the object is taken down. So what a reader finds
 * behind a mark is a whole object, whenever the process has ended. Pointers in objects are addresses of this process. The label of a
 * block has the block's own address, so a reader can tell where a pointer into the region led. A slot that is put
 * back is wiped.
 *
 * A region without a file is the same in anonymous memory, for tests and for servers that keep nothing. It belongs to one thread.
 */
#ifndef MT_BASE_REGION_H
#define MT_BASE_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MT_REGION_HEADER = 64 * 1024, /* bytes of the file before the first block: whole pages on any machine */
  MT_REGION_BLOCK = 512 * 1024, /* bytes of a block, to which its address is aligned */
  MT_REGION_MOST = 508 * 1024,  /* bytes of a slot, at most */
  MT_REGION_SIZES = 24,         /* pairs of kind and size */
  MT_REGION_VERSION = 1,
};

#define MT_REGION_MAGIC UINT64_C(0x6e696d6572746d00)
#define MT_REGION_BLOCK_MAGIC UINT64_C(0x6b636f6c62746d00)

typedef struct { /* at the beginning of the file */
  uint64_t magic;
  uint32_t version;
  uint32_t index;  /* the engine's */
  uint64_t layout; /* hash of the layout of the objects */
  int64_t alive;   /* microseconds: when the process was last known to be alive */
} mt_region_header;

typedef struct { /* at the beginning of a block */
  uint64_t magic;
  uint64_t address;            /* of the block, in its process */
  uint32_t kind, size;         /* bytes of a slot, a multiple of a cache line */
  uint32_t first, count, used; /* offset of the first slot, slots, slots in use */
  void *own;                   /* what its process knows about it besides */
  uint8_t marks[];             /* a byte for each slot: 1: there is a whole object */
} mt_region_label;

typedef struct mt_region mt_region;

/* `fd`: a file that is empty, of which the region keeps a duplicate; -1: anonymous memory. `layout`, `index`: for the header. NULL:
 * failure, with errno set; EEXIST: the file is not empty. */
mt_region *mt_region_new(int fd, uint64_t layout, uint32_t index);
void mt_region_free(mt_region *r); /* all memory, even of slots in use; the file keeps what it has. NULL is allowed */

/* The process ends in order: the file stays as it is now, and what is written from now on is written to copies. */
void mt_region_detach(mt_region *r);

/* A slot of `size` bytes, zeros, that begins with a cache line. NULL: no memory, or the file system is full. */
void *mt_region_get(mt_region *r, uint32_t kind, size_t size);
void mt_region_mark(void *p);              /* the object in the slot is whole */
void mt_region_put(mt_region *r, void *p); /* removes the mark and wipes the slot; NULL is allowed */
void mt_region_trim(mt_region *r);         /* returns one empty block to the system; called ten times a second */
void mt_region_alive(mt_region *r, int64_t now);
uint64_t mt_region_bytes(const mt_region *r); /* that slots have taken: of the file system, or of memory */

#endif
