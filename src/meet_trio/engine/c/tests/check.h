/* The whole test harness: CHECK counts and reports, bytes come from hex, and buffers are malloc'ed to their exact size
 * so that AddressSanitizer sees a read or write of one byte too many. Each test program includes the
 * source it tests, so that it reaches static functions too, and returns check_result(). */
#ifndef MT_CHECK_H
#define MT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned check_count, check_failures;

#define CHECK(condition)                                                                      \
  do {                                                                                        \
    check_count++;                                                                            \
    if (!(condition)) {                                                                       \
      check_failures++;                                                                       \
      fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition); \
    }                                                                                         \
  } while (0)

static inline int check_result(void) {
  printf("%u checks, %u failures\n", check_count, check_failures);
  return check_failures || !check_count;
}

typedef struct {
  uint8_t *p;
  size_t n;
} bytes;

static inline bytes bytes_copy(const void *p, size_t n) {
  bytes b = {malloc(n ? n : 1), n};
  if (!b.p) abort();
  if (n) memcpy(b.p, p, n);
  return b;
}

/* Hex digits; spaces are skipped. */
static inline bytes bytes_hex(const char *hex) {
  uint8_t out[4096];
  size_t n = 0;
  while (*hex) {
    unsigned v;
    if (*hex == ' ') {
      hex++;
      continue;
    }
    if (n == sizeof out || sscanf(hex, "%2x", &v) != 1) abort();
    out[n++] = (uint8_t)v;
    hex += 2;
  }
  return bytes_copy(out, n);
}

static inline bool bytes_equal(bytes b, const char *hex) {
  bytes other = bytes_hex(hex);
  bool same = b.n == other.n && memcmp(b.p, other.p, b.n) == 0;
  free(other.p);
  return same;
}

static inline bool memory_equals(const void *p, size_t n, const char *hex) {
  bytes b = bytes_copy(p, n);
  bool same = bytes_equal(b, hex);
  free(b.p);
  return same;
}

#endif
