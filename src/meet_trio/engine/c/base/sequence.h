/* 16-bit sequence numbers that wrap, and the 64-bit ones that they stand for. */
#ifndef MT_BASE_SEQUENCE_H
#define MT_BASE_SEQUENCE_H

#include <stdint.h>

/* How far `sequence` is ahead of `highest`, whose low 16 bits it is compared with: -32768 to 32767. */
static inline int16_t mt_sequence_ahead(uint64_t highest, uint16_t sequence) {
  return (int16_t)(uint16_t)(sequence - (uint16_t)highest);
}

/* The extended number nearest to `highest`. */
static inline uint64_t mt_sequence_extend(uint64_t highest, uint16_t sequence) {
  return highest + (uint64_t)(int64_t)mt_sequence_ahead(highest, sequence);
}

#endif
