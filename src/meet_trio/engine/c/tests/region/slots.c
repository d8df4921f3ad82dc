/* Regions: slots, marks, and what a reader of the file finds. The file system is full when the test says so. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>

static bool full;
static int fallocate_or_full(int fd, int mode, off_t at, off_t len);
#define fallocate fallocate_or_full
#include "base/region.c"
#undef fallocate

#include "tests/check.h"

static int fallocate_or_full(int fd, int mode, off_t at, off_t len) {
  if (!full || mode) return fallocate(fd, mode, at, len);
  errno = ENOSPC;
  return -1;
}

enum { KIND = 3, OTHER = 4, SIZE = 1000, SLOT = 1024 };

static int new_file(void) {
  int fd = memfd_create("region", MFD_CLOEXEC);
  CHECK(fd >= 0);
  return fd;
}

static bool is_zero(const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (p[i]) return false;
  return true;
}

/* The label of the file's block with this place. */
static void read_label(int fd, uint32_t place, mt_region_label *out) {
  CHECK(pread(fd, out, sizeof *out, (off_t)offset_of(place)) == (ssize_t)sizeof *out);
}

static uint8_t read_mark(int fd, uint32_t place, uint32_t i) {
  uint8_t mark = 0xff;
  CHECK(pread(fd, &mark, 1, (off_t)(offset_of(place) + offsetof(mt_region_label, marks) + i)) == 1);
  return mark;
}

static uint64_t file_bytes(int fd) {
  struct stat about;
  CHECK(fstat(fd, &about) == 0);
  return (uint64_t)about.st_blocks * 512;
}

static void test_slots_are_zeros_in_lines(int fd) {
  mt_region *r = mt_region_new(fd, 1, 2);
  uint8_t *slots[2000];
  for (unsigned round = 0; round < 2; round++) {
    for (unsigned i = 0; i < 2000; i++) {
      slots[i] = mt_region_get(r, KIND, SIZE);
      CHECK(slots[i] && (uintptr_t)slots[i] % MT_CACHE_LINE == 0 && is_zero(slots[i], SIZE));
      if (!slots[i]) return;
      memset(slots[i], 0xa5, SIZE);
    }
    for (unsigned i = 0; i < 2000; i++) CHECK(slots[i][0] == 0xa5 && slots[i][SIZE - 1] == 0xa5);
    for (unsigned i = 0; i < 2000; i++) mt_region_put(r, slots[(i * 7) % 2000]);
  }
  mt_region_put(r, NULL);
  mt_region_free(r);
}

static void test_a_reader_finds_whole_objects_only(void) {
  int fd = new_file();
  mt_region *r = mt_region_new(fd, 77, 5);
  mt_region_header header;
  CHECK(pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header);
  CHECK(header.magic == MT_REGION_MAGIC && header.version == MT_REGION_VERSION && header.layout == 77 && header.index == 5);
  uint8_t *a = mt_region_get(r, KIND, SIZE), *b = mt_region_get(r, KIND, SIZE);
  memset(a, 1, SIZE);
  memset(b, 2, SIZE);
  mt_region_label label;
  read_label(fd, 0, &label);
  CHECK(label.magic == MT_REGION_BLOCK_MAGIC && label.kind == KIND && label.size == SLOT && label.used == 2);
  CHECK(label.address == ((uintptr_t)a & ~(uintptr_t)(MT_REGION_BLOCK - 1)) && (uintptr_t)a - label.address == label.first);
  CHECK(read_mark(fd, 0, 0) == 0 && read_mark(fd, 0, 1) == 0);
  mt_region_mark(b);
  CHECK(read_mark(fd, 0, 0) == 0 && read_mark(fd, 0, 1) == 1);
  uint8_t bytes[SIZE];
  CHECK(pread(fd, bytes, SIZE, (off_t)(offset_of(0) + label.first + SLOT)) == SIZE && bytes[0] == 2 && bytes[SIZE - 1] == 2);
  mt_region_put(r, b);
  CHECK(read_mark(fd, 0, 1) == 0);
  CHECK(pread(fd, bytes, SIZE, (off_t)(offset_of(0) + label.first + SLOT)) == SIZE);
  CHECK(is_zero(bytes + sizeof(void *), SIZE - sizeof(void *))); /* the beginning is a link of the list of free slots */
  mt_region_mark(a);
  mt_region_free(r);
  CHECK(read_mark(fd, 0, 0) == 1); /* the end of the process takes nothing away */
  close(fd);
}

static void test_what_is_done_after_it_was_detached_is_not_in_the_file(void) {
  int fd = new_file();
  mt_region *r = mt_region_new(fd, 1, 0);
  uint8_t *p = mt_region_get(r, KIND, SIZE), byte = 0;
  p[SIZE - 1] = 9;
  mt_region_mark(p);
  mt_region_alive(r, 1);
  mt_region_detach(r);
  mt_region_alive(r, 2);
  mt_region_detach(r);
  CHECK(p[SIZE - 1] == 9);
  mt_region_put(r, p);
  for (unsigned i = 0; i < 2000; i++) CHECK(mt_region_get(r, KIND, SIZE) != NULL);
  mt_region_trim(r);
  mt_region_free(r);
  mt_region_label label;
  mt_region_header header;
  read_label(fd, 0, &label);
  CHECK(pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header && header.alive == 1);
  CHECK(read_mark(fd, 0, 0) == 1 && pread(fd, &byte, 1, (off_t)(offset_of(0) + label.first + SIZE - 1)) == 1 && byte == 9);
  close(fd);
}

static void test_memory_returns(void) {
  int fd = new_file();
  mt_region *r = mt_region_new(fd, 1, 0);
  uint64_t before = file_bytes(fd);
  void *slots[3000];
  for (unsigned i = 0; i < 3000; i++) slots[i] = mt_region_get(r, i % 2 ? KIND : OTHER, SIZE);
  CHECK(file_bytes(fd) > 3000 * SIZE && mt_region_bytes(r) >= file_bytes(fd) - before);
  for (unsigned i = 0; i < 3000; i++) mt_region_put(r, slots[i]);
  for (unsigned i = 0; i < 100; i++) mt_region_trim(r);
  CHECK(mt_region_bytes(r) == 0 && file_bytes(fd) == before);
  struct stat about, after;
  CHECK(fstat(fd, &about) == 0);
  for (unsigned i = 0; i < 3000; i++) slots[i] = mt_region_get(r, OTHER, SIZE);
  CHECK(fstat(fd, &after) == 0 && after.st_size == about.st_size); /* its places are used again */
  CHECK(is_zero(slots[2999], SIZE));
  mt_region_free(r);
  close(fd);
}

static void test_a_large_slot(void) {
  mt_region *r = mt_region_new(-1, 1, 0);
  CHECK(mt_region_get(r, KIND, MT_REGION_MOST + 1) == NULL);
  uint8_t *p = mt_region_get(r, KIND, MT_REGION_MOST), *q = mt_region_get(r, KIND, MT_REGION_MOST);
  CHECK(p && q && p != q);
  if (!p || !q) return;
  p[MT_REGION_MOST - 1] = q[MT_REGION_MOST - 1] = 1;
  mt_region_put(r, p);
  mt_region_put(r, q);
  for (unsigned i = 0; i < MT_REGION_SIZES - 1; i++) CHECK(mt_region_get(r, KIND, 64 * (i + 1)) != NULL);
  CHECK(mt_region_get(r, OTHER, SIZE) == NULL); /* too many sizes */
  mt_region_free(r);
}

static void test_a_full_file_system_is_no_memory(void) {
  int fd = new_file();
  full = true;
  CHECK(mt_region_new(fd, 1, 0) == NULL && errno == ENOSPC);
  full = false;
  CHECK(ftruncate(fd, 0) == 0);
  mt_region *r = mt_region_new(fd, 1, 0);
  full = true;
  CHECK(mt_region_get(r, KIND, SIZE) == NULL);
  full = false;
  CHECK(mt_region_get(r, KIND, SIZE) != NULL);
  full = true;
  unsigned more = 0;
  while (more < 1000 && mt_region_get(r, KIND, SIZE)) more++;
  CHECK(more > 0 && more < BACKED_STEP / SLOT);
  full = false;
  uint8_t *p = mt_region_get(r, KIND, SIZE);
  CHECK(p && is_zero(p, SIZE));
  mt_region_free(r);
  close(fd);
}

static void test_a_file_that_has_something_is_refused(void) {
  int fd = new_file();
  CHECK(write(fd, "x", 1) == 1);
  CHECK(mt_region_new(fd, 1, 0) == NULL && errno == EEXIST);
  close(fd);
  CHECK(mt_region_new(fd, 1, 0) == NULL && errno == EBADF);
}

int main(void) {
  int fd = new_file();
  test_slots_are_zeros_in_lines(-1);
  test_slots_are_zeros_in_lines(fd);
  close(fd);
  test_a_reader_finds_whole_objects_only();
  test_what_is_done_after_it_was_detached_is_not_in_the_file();
  test_memory_returns();
  test_a_large_slot();
  test_a_full_file_system_is_no_memory();
  test_a_file_that_has_something_is_refused();
  return check_result();
}
