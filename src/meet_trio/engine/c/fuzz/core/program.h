/* A program is the sequence of actions of clients, Python and time on two cores. Its instructions have one size, so any bytes are
 * a program, and a piece can be cut out, moved or repeated. The bytes of a fuzzer's input are the program; a partial
 * instruction at the end is ignored.
 *
 *   at  field       meaning
 *    0  op          which of the OPS, modulo their number
 *    1  who         a client's place; for a producer or consumer its own
 *    2  x, y        small choices, bits
 *    4  n, m, p, q  numbers, little-endian
 *
 * REPEAT runs the instructions before it again and can add the round's number to any of their fields. Nothing else
 * jumps, and a repetition is not repeated. A program ends after MAX_STEPS instructions; instructions that create or remove
 * objects count as several (`cost` in fuzz_core.c). A client that joins at an occupied place replaces the old one. Producers and
 * consumers replace each other likewise.
 *
 *   op          who       x                         y                          n, m, p, q
 *   TIME        -         shift of n                1: nothing crosses         n << x % 12 microseconds pass, both cores tick
 *   JOIN        client    1 plain, 2 comedia,       1: no check or packet,     -
 *                         4 the other core          2: no keys, 4,8: profile
 *   CHECK       client    which address (3)         1 nominate, 2 wrong password, 4 controlled, 8 the old credentials
 *   KEYS        client    profile                   -                          -
 *   LEAVE       client    -                         -                          -
 *   RESTART     client    -                         -                          -
 *   CONNECT     client    which address (3)         1: in no network of its own
 *   PRODUCE     client    place                     codec, layers, paused      n: NAMES bits, FEATURES bits; m: first SSRC
 *   PRODUCER    place     pause, go on, remove, key 1: its level is watched
 *                         frame
 *   CONSUME     client    producer's place          consumer's place           n: FEATURES bits; m: SSRC
 *   CONSUMER    place     pause, go on, layer, remove                          n: the layer
 *   RELAY       producer  mirror and relay, stop, remove the mirror
 *   RTP         client    SSRC - 1000               RTP bits                   n: size 11, PADDING...; m: descriptor;
 *                                                                              p: jumps; q: a number for them
 *   RTCP        client    kind, 128: more follows   count                      n: SSRC - 1000 or consumer's place; m: back from the newest
 *                                                                              p: BLP, loss; q: anything
 *   REPEAT      -         how many before           which fields rise          n: times
 *   DTLS        client    1: down instead of up     length                     -
 *   PYTHON      client    stats, deaf, hearing, limit                          n: the limit
 *   RAW         client    1 wrong SRTP, 2 stranger  first byte                 n: length; m: filling
 *   CLOSED      client    which address             -                          -
 *   WISH        place,    layers, priority, key frame (of the consumer),       n: layer, priority, limit; m: temporal layer
 *               client    limit (of the client)
 *   MOVE        client    which address             -                          -
 *   TRACE       client    1: from now on; else no more
 *   GATHER      -         1: packets are forwarded as they come; else, as at first, those of datagrams between two other calls
 *                         are gathered
 */
#ifndef MT_FUZZ_PROGRAM_H
#define MT_FUZZ_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STEP_BYTES = 12, MAX_INSTRUCTIONS = 128, MAX_STEPS = 1500, MAX_TIMES = 600, REPEAT_BLOCK = 8 };

/* clang-format off */
#define OPS(X) \
  X(TIME) \
  X(JOIN) \
  X(CHECK) \
  X(KEYS) \
  X(LEAVE) \
  X(RESTART) \
  X(CONNECT) \
  X(PRODUCE) \
  X(PRODUCER) \
  X(CONSUME) \
  X(CONSUMER) \
  X(RELAY) \
  X(RTP) \
  X(RTCP) \
  X(REPEAT) \
  X(DTLS) \
  X(PYTHON) \
  X(RAW) \
  X(CLOSED) \
  X(WISH) \
  X(MOVE) \
  X(TRACE) \
  X(GATHER)
/* clang-format on */

typedef enum {
#define X(name) OP_##name,
  OPS(X)
#undef X
      OP_COUNT
} op;

typedef struct {
  uint8_t op, who, x, y;
  uint16_t n, m, p, q;
} instruction;

/* `y` of RTP */
enum { RTP_MARKER = 1, RTP_START = 2, RTP_KEY = 4, RTP_RTX = 8, RTP_LAYER = 48, RTP_MID = 64, RTP_RID = 128 };
/* `n` of RTP, above the size */
enum {
  RTP_SIZE = 0x7ff,
  RTP_PADDING = 0x800,
  RTP_BY_RTCP_PORT = 0x1000,
  RTP_UNAUTHENTIC = 0x2000,
  RTP_LEVEL = 0x4000,
  RTP_BARE = 0x8000
};
/* `p` of RTP: the jump (16) of the sequence number, that of the transport-wide number, and their starting point */
enum { JUMPS = 16, JUMP_RAW = 15, TWCC_JUMP_SHIFT = 4, TWCC_FROM_SHIFT = 8 };
extern const int32_t fuzz_jumps[JUMPS];
/* `n` of PRODUCE */
enum {
  NAMES_SSRC = 1,
  NAMES_RID = 2,
  NAMES_NONE = 4,
  HAS_RTX = 8,
  HAS_NACK = 16,
  HAS_PLI = 32,
  HAS_FIR = 64,
  HAS_TWCC = 128,
  HAS_REMB = 256,
  HAS_EXTENSIONS = 512,
  HAS_AV1 = 1024 /* in place of VP9 */
};
/* `y` of PRODUCE */
enum { CODEC = 3, LAYERS = 12, PAUSED = 16 };

instruction fuzz_decode(const uint8_t *at);
void fuzz_encode(const instruction *i, uint8_t *at);
void fuzz_print(const instruction *i); /* one line, without its end, to standard error */

#endif
