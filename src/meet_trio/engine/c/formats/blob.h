/* A blob: values one after the other in little-endian bytes, written and read by the same code.
 *
 *   mt_blob b = mt_blob_measure();            each call counts the bytes of a value
 *   mt_blob b = mt_blob_write(bytes, len);    each call writes the value
 *   mt_blob b = mt_blob_read(bytes, len);     each call reads it
 *
 * So a description of a record is one function, and what is written can be read. A blob that is read is not trusted: what is too
 * short has failed, and gives zeros.
 */
#ifndef MT_FORMATS_BLOB_H
#define MT_FORMATS_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  uint8_t *to;         /* NULL: nothing is written */
  const uint8_t *from; /* NULL: nothing is read */
  size_t at, len;      /* bytes */
  bool failed;         /* there was no room, or the bytes have ended */
} mt_blob;

static inline mt_blob mt_blob_measure(void) { return (mt_blob){.len = SIZE_MAX}; }
static inline mt_blob mt_blob_write(uint8_t *to, size_t len) { return (mt_blob){.to = to, .len = len}; }
static inline mt_blob mt_blob_read(const uint8_t *from, size_t len) { return (mt_blob){.from = from, .len = len}; }

/* Everything was read, and nothing was missing. */
static inline bool mt_blob_ended(const mt_blob *b) { return !b->failed && b->at == b->len; }

/* Bytes that are left to read. */
static inline size_t mt_blob_left(const mt_blob *b) { return b->len - b->at; }

static inline void mt_blob_bytes(mt_blob *b, void *p, size_t n) {
  if (b->failed || n > b->len - b->at) {
    b->failed = true;
    if (b->from) memset(p, 0, n);
    return;
  }
  if (b->from) memcpy(p, b->from + b->at, n);
  if (b->to) memcpy(b->to + b->at, p, n);
  b->at += n;
}

/* A number of `n` bytes. */
static inline uint64_t mt_blob_number(mt_blob *b, uint64_t value, size_t n) {
  uint8_t bytes[8] = {0};
  for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(value >> 8 * i);
  mt_blob_bytes(b, bytes, n);
  uint64_t out = 0;
  for (size_t i = 0; i < n; i++) out |= (uint64_t)bytes[i] << 8 * i;
  return out;
}

static inline void mt_blob_u8(mt_blob *b, uint8_t *v) { *v = (uint8_t)mt_blob_number(b, *v, sizeof *v); }
static inline void mt_blob_u16(mt_blob *b, uint16_t *v) { *v = (uint16_t)mt_blob_number(b, *v, sizeof *v); }
static inline void mt_blob_u32(mt_blob *b, uint32_t *v) { *v = (uint32_t)mt_blob_number(b, *v, sizeof *v); }
static inline void mt_blob_u64(mt_blob *b, uint64_t *v) { *v = mt_blob_number(b, *v, sizeof *v); }
static inline void mt_blob_i8(mt_blob *b, int8_t *v) { *v = (int8_t)mt_blob_number(b, (uint8_t)*v, sizeof *v); }
static inline void mt_blob_i64(mt_blob *b, int64_t *v) { *v = (int64_t)mt_blob_number(b, (uint64_t)*v, sizeof *v); }

/* Any other byte than 0 and 1 is a failure. In a value that is written, which may be of a damaged file, it counts as 1. */
static inline void mt_blob_bool(mt_blob *b, bool *v) {
  uint8_t raw;
  memcpy(&raw, v, 1);
  uint64_t n = mt_blob_number(b, raw != 0, 1);
  if (n > 1) b->failed = true;
  *v = n == 1;
}

static inline void mt_blob_double(mt_blob *b, double *v) {
  uint64_t bits;
  memcpy(&bits, v, sizeof bits);
  bits = mt_blob_number(b, bits, sizeof bits);
  memcpy(v, &bits, sizeof bits);
}

#endif
