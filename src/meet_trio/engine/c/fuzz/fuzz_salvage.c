/* A region with an object of each kind, in which any words are changed: it is read, or is not, and nothing else happens. The input is a
 * list of changes: where (3 bytes, of the blocks in use), and what (8 bytes). */
#define _GNU_SOURCE
#include "base/region.c"

#include "core/layout.c"
#include "core/salvage.c"
#include "core/values.c"

#include "fuzz.h"

#include "tests/kept_file.h"

enum { CHANGE = 11, MOST_CHANGES = 32, NEAR = 16384 /* bytes of a block in which its objects are */ };

const char *const mt_fuzz_seeds[] = {
    "000010 0000000000000000 010018 ffffffffffffffff",
    "020020 0100000000000000",
    NULL,
};

static void change(const kept_file *k, const uint8_t *p) {
  uint32_t place = p[0] % (k->region->places + 1), at = (uint32_t)(p[1] << 8 | p[2]) % NEAR;
  uint64_t where = place ? offset_of(place - 1) + at : at % sizeof(mt_region_header);
  MUST(pwrite(k->fd, p + 3, 8, (off_t)where) == 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *p = fuzz_exact(data, size);
  kept_file k = kept_make();
  mt_region_detach(k.region); /* the process has ended */
  for (size_t i = 0; i + CHANGE <= size && i < (size_t)CHANGE * MOST_CHANGES; i += CHANGE) change(&k, p + i);
  const char *why;
  mt_salvaged found;
  mt_salvage *s = mt_salvage_new(k.fd, &why);
  for (unsigned count = 0; s && mt_salvage_next(s, &found); count++) {
    MUST(count < 100000);
    if (found.bytes) kept_check(&found);
  }
  mt_salvage_free(s);
  kept_free(&k);
  free(p);
  return 0;
}
