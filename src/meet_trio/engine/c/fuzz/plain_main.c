/* A fuzzer without a fuzzing engine: for compilers that have only sanitizers, and for a test of bounded time.
 *
 *   target FILE...             replays the files
 *   target -t SECONDS [-s N]   mutates the seeds for SECONDS with random seed N; the same N reproduces a crash
 *   target -w DIRECTORY        writes the seeds as files, to start libFuzzer's corpus
 */
#include "fuzz.h"

#include <stdio.h>
#include <time.h>

enum { MAX_INPUT = 2048 };

static uint64_t state;

static uint32_t next_random(void) { /* splitmix64 */
  uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)(z >> 32);
}

static size_t read_hex(const char *hex, uint8_t *out) {
  size_t n = 0;
  unsigned v;
  while (*hex && n < MAX_INPUT) {
    if (*hex == ' ') {
      hex++;
      continue;
    }
    if (sscanf(hex, "%2x", &v) != 1) abort();
    out[n++] = (uint8_t)v;
    hex += 2;
  }
  return n;
}

/* One small change: a bit, a byte, a special value, a cut, a repeated or moved piece. */
static size_t mutate(uint8_t *p, size_t n) {
  static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, 4, 12, 16, 20};
  if (n == 0) {
    p[0] = (uint8_t)next_random();
    return 1;
  }
  size_t at = next_random() % n, len = 1 + next_random() % (n - at);
  switch (next_random() % 7) {
  case 0: p[at] ^= (uint8_t)(1 << next_random() % 8); break;
  case 1: p[at] = (uint8_t)next_random(); break;
  case 2: p[at] = telling[next_random() % sizeof telling]; break;
  case 3: return at;
  case 4: memmove(p + at, p + at + len, n - at - len); return n - len;
  case 5:
    if (n + len > MAX_INPUT) break;
    memmove(p + at + len, p + at, n - at);
    return n + len;
  default: memmove(p + next_random() % (n - len + 1), p + at, len); break;
  }
  return n;
}

static void run_seeds(double seconds) {
  uint8_t input[MAX_INPUT];
  unsigned seeds = 0;
  unsigned long runs = 0;
  clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
  while (mt_fuzz_seeds[seeds]) {
    size_t n = read_hex(mt_fuzz_seeds[seeds++], input);
    LLVMFuzzerTestOneInput(input, n);
  }
  do {
    for (unsigned i = 0; i < 200; i++, runs++) {
      size_t n = read_hex(mt_fuzz_seeds[next_random() % seeds], input);
      for (unsigned k = next_random() % 12 + 1; k; k--) n = mutate(input, n);
      LLVMFuzzerTestOneInput(input, n);
    }
  } while (clock() < end);
  printf("%lu runs of %u seeds\n", runs, seeds);
}

static void replay(const char *path) {
  uint8_t input[65536];
  FILE *f = fopen(path, "rb");
  if (!f) {
    perror(path);
    exit(2);
  }
  size_t n = fread(input, 1, sizeof input, f);
  fclose(f);
  LLVMFuzzerTestOneInput(input, n);
}

static void write_seeds(const char *directory) {
  for (unsigned i = 0; mt_fuzz_seeds[i]; i++) {
    char path[4096];
    uint8_t input[MAX_INPUT];
    size_t n = read_hex(mt_fuzz_seeds[i], input);
    snprintf(path, sizeof path, "%s/seed-%u", directory, i);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(input, 1, n, f) != n || fclose(f)) {
      perror(path);
      exit(2);
    }
  }
}

int main(int argc, char **argv) {
  double seconds = 0;
  for (int i = 1; i < argc; i++) {
    if (argv[i][0] != '-') {
      replay(argv[i]);
    } else if (i + 1 < argc && strcmp(argv[i], "-t") == 0) {
      seconds = atof(argv[++i]);
    } else if (i + 1 < argc && strcmp(argv[i], "-s") == 0) {
      state = strtoull(argv[++i], NULL, 10);
    } else if (i + 1 < argc && strcmp(argv[i], "-w") == 0) {
      write_seeds(argv[++i]);
    } else {
      fprintf(stderr, "usage: %s [-t SECONDS] [-s SEED] [-w DIRECTORY] [FILE...]\n", argv[0]);
      return 2;
    }
  }
  if (seconds > 0) run_seeds(seconds);
  return 0;
}
