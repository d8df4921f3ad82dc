/* Programs as bytes, as text, and their mutations: LLVMFuzzerCustomMutator and LLVMFuzzerCustomCrossOver for libFuzzer.
 *
 * Bytes changed anywhere would still be a program, but hardly ever one that does something. So most changes are of whole
 * instructions: another field, one more, one less, a copied piece, a repetition. Inserted pieces are beginnings of
 * rooms (a client joins, publishes, is watched), and packets as browsers send them.
 */
#include "program.h"

#include <stdio.h>
#include <string.h>

static const char *const names[OP_COUNT] = {
#define X(name) #name,
    OPS(X)
#undef X
};

const int32_t fuzz_jumps[JUMPS] = {1, 1, 1, 1, 0, 2, 5, -1, -3, -64, 64, 500, 2047, 0x7000, 32767, 0};

instruction fuzz_decode(const uint8_t *at) {
  uint16_t w[4];
  for (unsigned i = 0; i < 4; i++) w[i] = (uint16_t)(at[4 + 2 * i] | at[5 + 2 * i] << 8);
  return (instruction){at[0] % OP_COUNT, at[1], at[2], at[3], w[0], w[1], w[2], w[3]};
}

void fuzz_encode(const instruction *i, uint8_t *at) {
  const uint16_t w[4] = {i->n, i->m, i->p, i->q};
  at[0] = i->op, at[1] = i->who, at[2] = i->x, at[3] = i->y;
  for (unsigned k = 0; k < 4; k++) {
    at[4 + 2 * k] = (uint8_t)w[k];
    at[5 + 2 * k] = (uint8_t)(w[k] >> 8);
  }
}

void fuzz_print(const instruction *i) {
  fprintf(stderr, "%-8s who %u x %u y %#x n %u m %u p %#x q %u", names[i->op], i->who, i->x, i->y, i->n, i->m, i->p, i->q);
  if (i->op != OP_RTP) return;
  int32_t jump = i->p % JUMPS == JUMP_RAW ? (int16_t)i->q : fuzz_jumps[i->p % JUMPS];
  int32_t twcc = (i->p >> TWCC_JUMP_SHIFT) % JUMPS;
  fprintf(stderr, "  [ssrc %u, %u bytes, sequence %+d, twcc %+d from %u%s%s%s%s]", 1000u + i->x, i->n & RTP_SIZE, jump,
          twcc == JUMP_RAW ? (int16_t)i->q : fuzz_jumps[twcc], i->p >> TWCC_FROM_SHIFT & 3, i->y & RTP_KEY ? ", key" : "",
          i->y & RTP_START ? ", start" : "", i->y & RTP_MARKER ? ", marker" : "", i->y & RTP_RTX ? ", rtx" : "");
}

/* ---- chance ---- */

static uint64_t state;

static uint32_t dice(uint32_t sides) { /* splitmix64 */
  uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)((z ^ z >> 31) >> 32) % sides;
}

static uint16_t number(void) {
  static const uint16_t telling[] = {0,   1,   2,   3,   63,   64,   65,   127,    128,    255,
                                     256, 257, 511, 512, 1200, 1500, 2047, 0x7000, 0x7fff, 0xffff};
  switch (dice(4)) {
  case 0: return telling[dice(sizeof telling / sizeof *telling)];
  case 1: return (uint16_t)dice(0x10000);
  default: return (uint16_t)dice(32);
  }
}

static instruction rtp(void) {
  instruction i = {.op = OP_RTP, .who = (uint8_t)(dice(4) ? 0 : dice(3)), .x = (uint8_t)dice(3), .n = (uint16_t)(40 + dice(1100))};
  uint8_t layer = (uint8_t)dice(3);
  i.y = (uint8_t)(layer << 4) | (dice(4) ? RTP_MID : 0) | (dice(4) ? RTP_RID : 0);
  if (dice(4)) i.x = layer;
  if (dice(2)) i.y |= RTP_MARKER;
  if (dice(2)) i.y |= RTP_START;
  if (dice(3) == 0) i.y |= RTP_START | RTP_KEY;
  if (dice(8) == 0) i.y |= RTP_RTX;
  if (dice(4) == 0) i.p = (uint16_t)dice(0x10000);
  if (dice(8) == 0) i.n = number();
  if (dice(8) == 0) { /* larger and further ahead than anything that is kept */
    i.n = (uint16_t)(1400 + dice(648));
    i.p = (uint16_t)(11 + dice(5));
  }
  if (dice(6) == 0) i.x = (uint8_t)dice(256);
  if (dice(3) == 0) i.m = number();
  if (dice(3) == 0) i.q = number();
  return i;
}

static instruction rtcp(void) {
  return (instruction){OP_RTCP,
                       (uint8_t)dice(3),
                       (uint8_t)(dice(12) | (dice(3) ? 0 : 128)),
                       (uint8_t)dice(dice(2) ? 4 : 64),
                       (uint16_t)dice(8),
                       (uint16_t)dice(32),
                       number(),
                       number()};
}

static instruction repeat(void) {
  static const uint16_t times[] = {3, 15, 32, 33, 63, 127, 255, 256, 300, 511};
  static const uint8_t rising[] = {0, 0, 0, 0, 1, 1, 2, 4, 8, 16, 32};
  return (instruction){.op = OP_REPEAT,
                       .x = (uint8_t)dice(dice(2) ? 2 : 5),
                       .y = rising[dice(sizeof rising)],
                       .n = dice(3) ? times[dice(sizeof times / sizeof *times)] : (uint16_t)dice(40)};
}

static instruction passing(void) {
  return (instruction){.op = OP_TIME, .x = (uint8_t)(dice(3) ? 3 + dice(3) : dice(12)), .n = (uint16_t)dice(8000)};
}

static instruction any(void) {
  uint32_t what = dice(16);
  if (what < 6) return rtp();
  if (what < 8) return rtcp();
  if (what < 9) return repeat();
  if (what < 11) return passing();
  return (instruction){(uint8_t)dice(OP_COUNT),
                       (uint8_t)dice(4),
                       (uint8_t)dice(dice(4) ? 4 : 256),
                       (uint8_t)dice(dice(4) ? 16 : 256),
                       number(),
                       number(),
                       number(),
                       number()};
}

/* ---- pieces of a meeting ---- */

static unsigned join(instruction *out, uint8_t who) {
  *out = (instruction){.op = OP_JOIN, .who = who, .x = (uint8_t)(dice(3) ? 3 : 0), .y = (uint8_t)(dice(3) << 2)};
  if (who && dice(6) == 0) out->x |= 4;
  return 1;
}

static unsigned publish(instruction *out, uint8_t who, uint8_t place) {
  uint8_t layers = (uint8_t)dice(4);
  static const uint16_t naming[] = {NAMES_SSRC, NAMES_RID, NAMES_RID, NAMES_SSRC | NAMES_RID, NAMES_NONE};
  *out = (instruction){.op = OP_PRODUCE,
                       .who = who,
                       .x = place,
                       .y = (uint8_t)((dice(3) ? 1 : dice(4)) | layers << 2),
                       .n = (uint16_t)(naming[dice(5)] | dice(64) << 3)};
  return 1;
}

static unsigned watch(instruction *out, uint8_t who, uint8_t place, uint8_t consumer) {
  *out = (instruction){.op = OP_CONSUME, .who = who, .x = place, .y = consumer, .n = (uint16_t)dice(64), .m = consumer};
  return 1;
}

static unsigned meeting(instruction *out) {
  unsigned n = 0;
  if (dice(4) == 0) out[n++] = (instruction){.op = OP_GATHER, .x = 1};
  n += join(out + n, 0);
  uint8_t viewers = (uint8_t)(1 + dice(2));
  n += publish(out + n, 0, 0);
  for (uint8_t i = 1; i <= viewers; i++) {
    n += join(out + n, i);
    if (out[n - 1].x & 4) out[n++] = (instruction){.op = OP_RELAY};
    n += watch(out + n, i, 0, i);
  }
  out[n++] = (instruction){.op = OP_RTP, .n = 1000, .y = RTP_START | RTP_KEY | RTP_MARKER | RTP_MID | RTP_RID};
  out[n++] = passing();
  return n;
}

/* ---- mutation ---- */

typedef struct {
  instruction at[MAX_INSTRUCTIONS];
  unsigned count;
} program;

static void load(program *p, const uint8_t *data, size_t size) {
  for (p->count = 0; p->count < MAX_INSTRUCTIONS && (p->count + 1) * STEP_BYTES <= size; p->count++)
    p->at[p->count] = fuzz_decode(data + (size_t)p->count * STEP_BYTES);
}

static size_t store(const program *p, uint8_t *data, size_t max) {
  size_t n = 0;
  for (; n < p->count && (n + 1) * STEP_BYTES <= max; n++) fuzz_encode(&p->at[n], data + n * STEP_BYTES);
  return n * STEP_BYTES;
}

static void insert(program *p, unsigned at, const instruction *what, unsigned count) {
  if (p->count + count > MAX_INSTRUCTIONS) return;
  memmove(p->at + at + count, p->at + at, (p->count - at) * sizeof *p->at);
  memcpy(p->at + at, what, count * sizeof *what);
  p->count += count;
}

static void change(instruction *i) {
  uint16_t *wide[] = {&i->n, &i->m, &i->p, &i->q};
  uint8_t *narrow[] = {&i->who, &i->x, &i->y};
  switch (dice(8)) {
  case 0: *wide[dice(4)] ^= (uint16_t)(1 << dice(16)); break;
  case 1: *narrow[dice(3)] ^= (uint8_t)(1 << dice(8)); break;
  case 2: *wide[dice(4)] = number(); break;
  case 3: *narrow[dice(3)] = (uint8_t)dice(dice(2) ? 4 : 256); break;
  case 4: i->p = (uint16_t)((i->p & ~15u) | dice(16)); break;
  case 5: i->p = (uint16_t)((i->p & 15u) | dice(16) << 4 | dice(4) << 8); break;
  case 6: *wide[dice(4)] += (uint16_t)(dice(9) - 4); break;
  default: *i = any(); break;
  }
}

static void mutate(program *p) {
  instruction piece[32];
  unsigned at = p->count ? dice(p->count) : 0, length = p->count ? 1 + dice(p->count - at) : 0;
  if (p->count == 0) {
    insert(p, 0, piece, meeting(piece));
    return;
  }
  if (p->count > 24 && dice(p->count) > 24) { /* otherwise programs would only grow */
    unsigned cut = 1 + dice(length < 12 ? length : 12);
    memmove(p->at + at, p->at + at + cut, (p->count - at - cut) * sizeof *p->at);
    p->count -= cut;
    return;
  }
  switch (dice(15)) {
  case 0:
    piece[0] = any();
    insert(p, at, piece, 1);
    break;
  case 1:
    for (unsigned i = 0; i < 4; i++) piece[i] = rtp();
    insert(p, at, piece, 1 + dice(4));
    break;
  case 2:
    piece[0] = rtcp();
    insert(p, dice(2) ? p->count : at, piece, 1);
    break;
  case 3:
    piece[0] = repeat();
    insert(p, dice(2) ? p->count : at, piece, 1);
    break;
  case 4:
    piece[0] = passing();
    insert(p, dice(2) ? p->count : at, piece, 1);
    break;
  case 5:
    if (length > 8) length = 1 + dice(8);
    memmove(p->at + at, p->at + at + length, (p->count - at - length) * sizeof *p->at);
    p->count -= length;
    break;
  case 6:
    if (length > 32) length = 1 + dice(32);
    memcpy(piece, p->at + at, length * sizeof *piece);
    insert(p, dice(p->count + 1), piece, length);
    break;
  case 7: {
    unsigned other = dice(p->count);
    instruction swapped = p->at[at];
    p->at[at] = p->at[other];
    p->at[other] = swapped;
    break;
  }
  case 8: {
    uint8_t who = (uint8_t)dice(4), place = (uint8_t)dice(4);
    unsigned n = join(piece, who);
    n += dice(2) ? publish(piece + n, who, place) : watch(piece + n, who, place, (uint8_t)dice(8));
    insert(p, at, piece, n);
    break;
  }
  case 9:
    if (dice(8) == 0) insert(p, dice(2) ? 0 : at, piece, meeting(piece));
    else change(&p->at[at]);
    break;
  case 10: /* a copy, slightly changed */
    piece[0] = p->at[at];
    change(&piece[0]);
    insert(p, at + 1, piece, 1);
    break;
  case 11: /* a repetition */
    piece[0] = repeat();
    insert(p, at + 1, piece, 1);
    break;
  default: change(&p->at[at]); break;
  }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
  static program p;
  state = seed;
  load(&p, data, size);
  for (unsigned i = 1 + dice(dice(4) ? 3 : 12); i; i--) mutate(&p);
  return store(&p, data, max_size);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_size, unsigned seed) {
  static program a, b;
  state = seed;
  load(&a, data1, size1);
  load(&b, data2, size2);
  if (b.count) {
    unsigned from = dice(b.count), most = b.count - from, count = 1 + dice(most < 24 ? most : 24);
    insert(&a, dice(a.count + 1), b.at + from, count);
  }
  return store(&a, out, max_size);
}
