/* The interface of a fuzz target: LLVMFuzzerTestOneInput and a list of seeds in hex, ended by NULL. With clang link it with
 * -fsanitize=fuzzer. With any compiler link it with plain_main.c, which mutates the seeds itself. Each target
 * includes the source it fuzzes, copies the input to a buffer of its exact size, and aborts when an invariant is broken.
 */
#ifndef MT_FUZZ_H
#define MT_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern const char *const mt_fuzz_seeds[];

#define MUST(condition)        \
  do {                         \
    if (!(condition)) abort(); \
  } while (0)

static inline uint8_t *fuzz_exact(const uint8_t *data, size_t size) {
  uint8_t *p = calloc(1, size ? size : 1);
  MUST(p);
  if (size) memcpy(p, data, size);
  return p;
}

#endif
