/* 16-bit sequence numbers, which wrap, and the extended 64-bit ones, which do not (RFC 3550 appendix A.1).
 *
 * The functions take the extended number that is nearest to the highest one. If that is below 0, they return one just below 2^64.
 */
#ifndef MT_BASE_SEQUENCE_H
#define MT_BASE_SEQUENCE_H

#include <stdint.h>

/* The distance from the low 16 bits of `highest` to `sequence`: -32768 to 32767, above 0 if `sequence` is ahead. */
static inline int16_t mt_sequence_ahead(uint64_t highest, uint16_t sequence) {
  return (int16_t)(uint16_t)(sequence - (uint16_t)highest);
}

/* The extended number of `sequence` that is nearest to `highest`. */
static inline uint64_t mt_sequence_extend(uint64_t highest, uint16_t sequence) {
  return highest + (uint64_t)(int64_t)mt_sequence_ahead(highest, sequence);
}

#endif
