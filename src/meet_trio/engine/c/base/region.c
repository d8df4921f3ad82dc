/* See region.h. */
#define _GNU_SOURCE /* fallocate */
#include "base/region.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/poison.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKED_STEP = 16 * 1024 /* bytes of a block that are backed at once; whole pages on most machines */ };

typedef struct item {
  struct item *next;
} item;

/* The process's own knowledge of a block. It is on the heap, because a reader has no use for it. */
typedef struct {
  mt_list link; /* in one of its size's lists */
  mt_region_label *label;
  item *free;     /* slots that were put back, the last one first */
  uint32_t fresh; /* the first slot that was never used */
  size_t backed;  /* bytes from the block's beginning that may be touched */
  uint32_t place; /* in the file: its number */
} block;

typedef struct {
  uint32_t kind, size; /* size 0: not in use */
  mt_list full, partial;
} sized;

struct mt_region {
  int fd; /* -1: anonymous */
  mt_region_header *header;
  sized sizes[MT_REGION_SIZES];
  mt_list empty;   /* blocks, of any size */
  uint32_t places; /* blocks that the file has had room for */
  uint32_t *free;  /* places that are free, `free_count` of them; with room for all places */
  uint32_t free_count, free_room;
  uint64_t bytes;
};

/* What was stored before is in memory before what is stored next, as far as a later reader of the file is concerned: an end of the
 * process cuts the sequence of its stores at one point, so only the compiler has to keep their order. */
static void in_this_order(void) { atomic_signal_fence(memory_order_seq_cst); }

static uint32_t whole_lines(size_t size) { return (uint32_t)((size + MT_CACHE_LINE - 1) & ~(size_t)(MT_CACHE_LINE - 1)); }

/* ---- memory ---- */

/* Backs bytes of the file, so that touching them cannot fail. False: the file system is full. */
static bool back(const mt_region *r, uint64_t at, uint64_t len) {
  if (r->fd < 0) return true;
  int result;
  do result = fallocate(r->fd, 0, (off_t)at, (off_t)len);
  while (result != 0 && errno == EINTR);
  return result == 0;
}

static uint64_t offset_of(uint32_t place) { return MT_REGION_HEADER + (uint64_t)place * MT_REGION_BLOCK; }

/* Maps `len` bytes at `at` of the file to an address that is a multiple of `alignment`. NULL: no memory. */
static void *map(const mt_region *r, uint64_t at, size_t len, size_t alignment) {
  uint8_t *room = mmap(NULL, len + alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return NULL;
  size_t before = -(uintptr_t)room & (alignment - 1);
  if (before) munmap(room, before);
  munmap(room + before + len, alignment - before);
  int flags = r->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void *p = mmap(room + before, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, r->fd, r->fd < 0 ? 0 : (off_t)at);
  if (p != MAP_FAILED) return p;
  munmap(room + before, len);
  return NULL;
}

/* ---- places in the file ---- */

static bool make_place(mt_region *r) {
  if (r->free_count) return true;
  if (r->places == r->free_room) {
    uint32_t room = r->free_room ? r->free_room * 2 : 16;
    uint32_t *bigger = realloc(r->free, room * sizeof *bigger);
    if (!bigger) return false;
    r->free = bigger;
    r->free_room = room;
  }
  if (r->fd >= 0 && ftruncate(r->fd, (off_t)offset_of(r->places + 1)) != 0) return false;
  r->free[r->free_count++] = r->places++;
  return true;
}

/* ---- blocks ---- */

static uint32_t slots_of(uint32_t size) {
  return (uint32_t)((MT_REGION_BLOCK - sizeof(mt_region_label) - MT_CACHE_LINE) / (size + 1));
}

static block *block_new(mt_region *r, const sized *s) {
  if (!make_place(r)) return NULL;
  uint32_t place = r->free[r->free_count - 1], count = slots_of(s->size);
  uint32_t first = whole_lines(sizeof(mt_region_label) + count);
  size_t backed = (first + BACKED_STEP - 1) / BACKED_STEP * BACKED_STEP;
  block *b = malloc(sizeof *b);
  if (!b) return NULL;
  mt_region_label *label = back(r, offset_of(place), backed) ? map(r, offset_of(place), MT_REGION_BLOCK, MT_REGION_BLOCK) : NULL;
  if (!label) {
    free(b);
    return NULL;
  }
  *b = (block){.label = label, .backed = backed, .place = place};
  mt_list_init(&b->link);
  label->address = (uintptr_t)label;
  label->kind = s->kind;
  label->size = s->size;
  label->first = first;
  label->count = count;
  label->own = b;
  in_this_order();
  label->magic = MT_REGION_BLOCK_MAGIC;
  MT_POISON((uint8_t *)label + first, MT_REGION_BLOCK - first);
  r->free_count--;
  r->bytes += backed;
  return b;
}

static void block_free(mt_region *r, block *b) {
  mt_list_remove(&b->link);
  MT_UNPOISON(b->label, MT_REGION_BLOCK);
  b->label->magic = 0;
  in_this_order();
  if (r->fd >= 0) fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset_of(b->place), MT_REGION_BLOCK);
  munmap(b->label, MT_REGION_BLOCK);
  r->free[r->free_count++] = b->place;
  r->bytes -= b->backed;
  free(b);
}

static mt_region_label *label_of(const void *p) { return (mt_region_label *)((uintptr_t)p & ~(uintptr_t)(MT_REGION_BLOCK - 1)); }

static uint8_t *slot(const block *b, uint32_t i) { return (uint8_t *)b->label + b->label->first + (size_t)i * b->label->size; }

static uint8_t *mark_of(void *p) {
  mt_region_label *label = label_of(p);
  return &label->marks[((uintptr_t)p - (uintptr_t)label - label->first) / label->size];
}

/* NULL: the file system is full. */
static void *fresh_slot(mt_region *r, block *b) {
  size_t end = b->label->first + ((size_t)b->fresh + 1) * b->label->size;
  if (end > b->backed) {
    size_t more = (end - b->backed + BACKED_STEP - 1) / BACKED_STEP * BACKED_STEP;
    if (b->backed + more > MT_REGION_BLOCK) more = MT_REGION_BLOCK - b->backed;
    if (!back(r, offset_of(b->place) + b->backed, more)) return NULL;
    b->backed += more;
    r->bytes += more;
  }
  return slot(b, b->fresh++);
}

/* ---- slots ---- */

/* NULL: there are too many sizes. */
static sized *find_sized(mt_region *r, uint32_t kind, uint32_t size) {
  for (unsigned i = 0; i < MT_REGION_SIZES; i++) {
    sized *s = &r->sizes[i];
    if (!s->size) {
      s->kind = kind;
      s->size = size;
    }
    if (s->kind == kind && s->size == size) return s;
  }
  return NULL;
}

/* An empty block serves another size after it was returned to the system, which clears it. */
static block *block_for(mt_region *r, sized *s) {
  if (!mt_list_empty(&s->partial)) return MT_OF(s->partial.next, block, link);
  block *b = NULL;
  MT_EACH (link, &r->empty) {
    block *found = MT_OF(link, block, link);
    if (found->label->kind == s->kind && found->label->size == s->size) b = found;
  }
  if (!b) b = block_new(r, s);
  if (b) mt_list_append(&s->partial, &b->link);
  return b;
}

void *mt_region_get(mt_region *r, uint32_t kind, size_t size) {
  sized *s = size <= MT_REGION_MOST ? find_sized(r, kind, whole_lines(size)) : NULL;
  block *b = s ? block_for(r, s) : NULL;
  if (!b) return NULL;
  item *p = b->free ? b->free : fresh_slot(r, b);
  if (!p) {
    if (!b->label->used) mt_list_append(&r->empty, &b->link);
    return NULL;
  }
  MT_UNPOISON(p, s->size);
  if (p == b->free) b->free = p->next;
  p->next = NULL;
  if (++b->label->used == b->label->count) mt_list_append(&s->full, &b->link);
  return p;
}

void mt_region_mark(void *p) {
  in_this_order();
  *mark_of(p) = 1;
}

void mt_region_put(mt_region *r, void *p) {
  if (!p) return;
  mt_region_label *label = label_of(p);
  block *b = label->own;
  *mark_of(p) = 0;
  in_this_order();
  memset(p, 0, label->size);
  in_this_order(); /* or the compiler might drop stores to what is not read any more */
  ((item *)p)->next = b->free;
  b->free = p;
  MT_POISON(p, label->size);
  if (label->used-- == label->count) mt_list_append(&find_sized(r, label->kind, label->size)->partial, &b->link);
  if (!label->used) mt_list_append(&r->empty, &b->link);
}

void mt_region_trim(mt_region *r) {
  if (!mt_list_empty(&r->empty)) block_free(r, MT_OF(r->empty.next, block, link));
}

void mt_region_alive(mt_region *r, int64_t now) { r->header->alive = now; }

uint64_t mt_region_bytes(const mt_region *r) { return r->bytes; }

/* ---- life ---- */

static bool open_file(mt_region *r, int fd) {
  struct stat about;
  if (fstat(fd, &about) != 0) return false;
  if (about.st_size) {
    errno = EEXIST;
    return false;
  }
  r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return r->fd >= 0 && ftruncate(r->fd, MT_REGION_HEADER) == 0 && back(r, 0, sizeof *r->header);
}

mt_region *mt_region_new(int fd, uint64_t layout, uint32_t index) {
  mt_region *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  r->fd = -1;
  mt_list_init(&r->empty);
  for (unsigned i = 0; i < MT_REGION_SIZES; i++) {
    mt_list_init(&r->sizes[i].full);
    mt_list_init(&r->sizes[i].partial);
  }
  errno = ENOMEM;
  if ((fd < 0 || open_file(r, fd)) && (r->header = map(r, 0, MT_REGION_HEADER, MT_REGION_HEADER))) {
    *r->header = (mt_region_header){.version = MT_REGION_VERSION, .index = index, .layout = layout};
    in_this_order();
    r->header->magic = MT_REGION_MAGIC;
    return r;
  }
  int error = errno;
  mt_region_free(r);
  errno = error;
  return NULL;
}

static void copy_all(const mt_region *r, mt_list *blocks) {
  MT_EACH (link, blocks) {
    const block *b = MT_OF(link, block, link);
    /* Without memory for the mapping the block stays shared, and its objects end in the file too. */
    (void)!mmap(b->label, MT_REGION_BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, r->fd, (off_t)offset_of(b->place));
  }
}

/* A private mapping at the same addresses has the file's pages until they are written to. Further blocks are anonymous. */
void mt_region_detach(mt_region *r) {
  if (r->fd < 0) return;
  for (unsigned i = 0; i < MT_REGION_SIZES; i++) {
    copy_all(r, &r->sizes[i].full);
    copy_all(r, &r->sizes[i].partial);
  }
  copy_all(r, &r->empty);
  void *header = mmap(r->header, MT_REGION_HEADER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, r->fd, 0);
  if (header == MAP_FAILED) return;
  close(r->fd);
  r->fd = -1;
}

static void unmap_all(mt_list *blocks) {
  MT_EACH (link, blocks) {
    block *b = MT_OF(link, block, link);
    MT_UNPOISON(b->label, MT_REGION_BLOCK);
    munmap(b->label, MT_REGION_BLOCK);
    free(b);
  }
}

/* The file is not touched: what is in it was kept for the next process. */
void mt_region_free(mt_region *r) {
  if (!r) return;
  for (unsigned i = 0; i < MT_REGION_SIZES; i++) {
    unmap_all(&r->sizes[i].full);
    unmap_all(&r->sizes[i].partial);
  }
  unmap_all(&r->empty);
  if (r->header) munmap(r->header, MT_REGION_HEADER);
  if (r->fd >= 0) close(r->fd);
  free(r->free);
  free(r);
}
