/* What AES-GCM costs by each library that can be used here: nanoseconds of CPU time for a packet to be sealed or opened, as SRTP does
 * it, and for a key to be made and dropped. Keys take turns after eight packets each, as viewers do. The fastest of several rounds is
 * printed. No test: a figure for docs/performance.md. */
#include "formats/aead.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { KEYS = 256, RUN = 8, PACKETS = 20000, ROUNDS = 9, HEADER = 28, ROOM = 2048 };

static const size_t lengths[] = {100, 300, 1200};
static mt_aead keys[KEYS];
static uint8_t payload[ROOM], packets[16][ROOM];

static int64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

/* `seal`: with the copy of the payload that comes before. Otherwise a packet is opened, which is not authentic. */
static int64_t packet_ns(bool seal, size_t len) {
  int64_t best = INT64_MAX;
  for (unsigned round = 0; round < ROUNDS; round++) {
    int64_t begun = cpu_ns();
    for (unsigned i = 0; i < PACKETS; i++) {
      const mt_aead *k = &keys[i / RUN % KEYS];
      uint8_t *p = packets[i % 16], iv[MT_AEAD_IV] = {0};
      memcpy(iv, &i, sizeof i);
      if (seal) {
        memcpy(p + HEADER, payload, len);
        mt_aead_seal(k, iv, p, HEADER, p + HEADER, len, p + HEADER + len);
      } else {
        mt_aead_open(k, iv, p, HEADER, p + HEADER, len, p + HEADER + len);
      }
    }
    best = least(best, (cpu_ns() - begun) / PACKETS);
  }
  return best;
}

static int64_t key_ns(mt_aead_library library, size_t key_len) {
  int64_t best = INT64_MAX;
  for (unsigned round = 0; round < ROUNDS; round++) {
    int64_t begun = cpu_ns();
    for (unsigned i = 0; i < PACKETS / ROUNDS; i++) {
      mt_aead k;
      mt_aead_init(&k, library, payload, key_len);
      mt_aead_end(&k);
    }
    best = least(best, (cpu_ns() - begun) / (PACKETS / ROUNDS));
  }
  return best;
}

static void print(const char *name, mt_aead_library library, size_t key_len) {
  for (unsigned i = 0; i < KEYS; i++) {
    uint8_t key[32] = {(uint8_t)i};
    if (!mt_aead_init(&keys[i], library, key, key_len)) return;
  }
  printf("%s, %zu bits: key %" PRId64, name, 8 * key_len, key_ns(library, key_len));
  for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++)
    printf("; %zu bytes: seal %" PRId64 ", open %" PRId64, lengths[i], packet_ns(true, lengths[i]), packet_ns(false, lengths[i]));
  puts("");
  for (unsigned i = 0; i < KEYS; i++) mt_aead_end(&keys[i]);
}

int main(void) {
  for (size_t key_len = 16; key_len <= 32; key_len += 16) {
    print("libcrypto", MT_AEAD_LIBCRYPTO, key_len);
    print(mt_ipsec_mb_open()->text, MT_AEAD_IPSEC_MB, key_len);
  }
}
