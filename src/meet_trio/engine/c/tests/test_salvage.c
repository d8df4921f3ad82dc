/* Reading a region: objects, pointers between them, and damage of every word of the file. */
#define _GNU_SOURCE
#include "base/region.c"

#include "core/layout.c"
#include "core/salvage.c"
#include "core/values.c"

#include "check.h"

#include "kept_file.h"

static unsigned salvage_all(int fd, unsigned counts[4]) {
  const char *why;
  mt_salvaged found;
  unsigned all = 0;
  memset(counts, 0, 4 * sizeof *counts);
  mt_salvage *s = mt_salvage_new(fd, &why);
  if (!s) return 0;
  for (; mt_salvage_next(s, &found); all++) {
    CHECK(found.kind < 4 && all < 1000);
    counts[found.kind]++;
    if (!found.bytes) continue;
    kept_check(&found);
  }
  mt_salvage_free(s);
  return all;
}

static void test_what_a_process_has_left(void) {
  kept_file k = kept_make();
  unsigned counts[4];
  CHECK(salvage_all(k.fd, counts) == 4 && counts[MT_BLOB_TRANSPORT] == 2 && counts[MT_BLOB_PRODUCER] == 1);
  CHECK(counts[MT_BLOB_CONSUMER] == 1 && counts[0] == 0);
  kept_free(&k);
}

/* With any word changed the file is read, or is not, and nothing else happens. */
static void test_damage(void) {
  kept_file k = kept_make();
  static const uint64_t values[] = {0, 1, UINT64_MAX, UINT64_C(0x7f00deadbeef00), MT_REGION_BLOCK};
  unsigned counts[4];
  for (uint32_t place = 0; place < k.region->places; place++)
    for (uint64_t at = 0; at < 20000; at += 40) {
      uint64_t before, where = offset_of(place) + at;
      if (pread(k.fd, &before, sizeof before, (off_t)where) != (ssize_t)sizeof before) continue;
      uint64_t value = values[(at / 40) % 5];
      CHECK(pwrite(k.fd, &value, sizeof value, (off_t)where) == (ssize_t)sizeof value);
      salvage_all(k.fd, counts);
      CHECK(pwrite(k.fd, &before, sizeof before, (off_t)where) == (ssize_t)sizeof before);
    }
  kept_free(&k);
}

static void test_other_files(void) {
  kept_file k = kept_make();
  const char *why;
  uint64_t other = 1;
  CHECK(pwrite(k.fd, &other, sizeof other, offsetof(mt_region_header, layout)) == (ssize_t)sizeof other);
  CHECK(!mt_salvage_new(k.fd, &why) && strstr(why, "layout"));
  CHECK(ftruncate(k.fd, 4) == 0 && !mt_salvage_new(k.fd, &why) && strstr(why, "no region"));
  CHECK(!mt_salvage_new(-1, &why) && strstr(why, "cannot be read"));
  kept_free(&k);
}

int main(void) {
  test_what_a_process_has_left();
  test_damage();
  test_other_files();
  return check_result();
}
