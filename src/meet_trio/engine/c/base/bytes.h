/* Unsigned numbers of 16, 24 and 32 bits in network byte order (big endian), at any alignment.
 *
 * The functions check no length: the caller has made sure that there are 2, 3 or 4 bytes at `p`.
 */
#ifndef MT_BASE_BYTES_H
#define MT_BASE_BYTES_H

#include <stdint.h>

static inline uint16_t mt_load16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t mt_load24(const uint8_t *p) { return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]; }
static inline uint32_t mt_load32(const uint8_t *p) { return (uint32_t)mt_load16(p) << 16 | mt_load16(p + 2); }
static inline void mt_store16(uint8_t *p, uint16_t v) {
  p[0] = (uint8_t)(v >> 8);
  p[1] = (uint8_t)v;
}
static inline void mt_store24(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 16);
  p[1] = (uint8_t)(v >> 8);
  p[2] = (uint8_t)v;
}
static inline void mt_store32(uint8_t *p, uint32_t v) {
  mt_store16(p, (uint16_t)(v >> 16));
  mt_store16(p + 2, (uint16_t)v);
}

#endif
