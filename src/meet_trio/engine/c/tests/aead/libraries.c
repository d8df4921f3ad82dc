/* AES-GCM of each library: the vectors of its authors (McGrew and Viega, "The Galois/Counter Mode of Operation", those with IVs of
 * 96 bits), and what is refused. With an argument it is libipsec-mb's, which is also compared with libcrypto's; the program ends
 * with 77 where that cannot be used.
 *
 * Sanitizers do not see what assembly reads and writes. So buffers end or begin at pages that nobody may touch. */
#include "formats/aead.h"

#include "../check.h"

#include <sys/mman.h>

static unsigned keys_wiped;

/* The memory of a key is zeros when it is given back. */
static inline void free_wiped(void *p, size_t size) {
  static const uint8_t zeros[4096];
  if (!p) return;
  CHECK(size <= sizeof zeros && memcmp(p, zeros, size) == 0);
  keys_wiped++;
  free(p);
}

#define free(p) free_wiped(p, sizeof(struct gcm_key_data))
#include "formats/ipsec_mb.c"
#undef free

#include "formats/aead.c"

enum { PAGE = 4096, ROOM = 17 * PAGE, UNUSABLE = 77 };

typedef struct { /* bytes between two pages that nobody may touch */
  uint8_t *begin, *end;
} guarded;

static guarded guarded_new(size_t room) {
  uint8_t *p = mmap(NULL, room + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED || mprotect(p + PAGE, room, PROT_READ | PROT_WRITE)) abort();
  return (guarded){p + PAGE, p + PAGE + room};
}

static uint8_t *place(guarded g, bool at_end, size_t len) { return at_end ? g.end - len : g.begin; }

static uint64_t state_of_dice = 1;

static unsigned dice(unsigned sides) {
  state_of_dice = state_of_dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (unsigned)(state_of_dice >> 33) % sides;
}

static void fill(uint8_t *p, size_t len) {
  for (size_t i = 0; i < len; i++) p[i] = (uint8_t)dice(256);
}

static bool all_zeros(const uint8_t *p, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (p[i]) return false;
  return true;
}

/* ---- vectors ---- */

#define LONG_KEY "feffe9928665731c6d6a8f9467308308"
#define LONG_PLAIN \
  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define LONG_IV "cafebabefacedbaddecaf888"
#define LONG_AAD "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define ZEROS "00000000000000000000000000000000"
#define ZERO_IV "000000000000000000000000"

static void test_vectors(mt_aead_library library) {
  static const struct {
    const char *key, *iv, *aad, *plain, *sealed, *tag;
  } cases[] = {
      {ZEROS, ZERO_IV, "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
      {ZEROS, ZERO_IV, "", ZEROS, "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"},
      {LONG_KEY, LONG_IV, "", LONG_PLAIN "1aafd255",
       "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
       "473f5985",
       "4d5c2af327cd64a62cf35abd2ba6fab4"},
      {LONG_KEY, LONG_IV, LONG_AAD, LONG_PLAIN,
       "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
       "5bc94fbc3221a5db94fae95ae7121a47"},
      {ZEROS ZEROS, ZERO_IV, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
      {ZEROS ZEROS, ZERO_IV, "", ZEROS, "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
      {LONG_KEY LONG_KEY, LONG_IV, "", LONG_PLAIN "1aafd255",
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
       "898015ad",
       "b094dac5d93471bdec1a502270e3cc6c"},
      {LONG_KEY LONG_KEY, LONG_IV, LONG_AAD, LONG_PLAIN,
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
       "76fc6ece0f4e1768cddf8853bb2d551b"},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    bytes key = bytes_hex(cases[i].key), iv = bytes_hex(cases[i].iv), aad = bytes_hex(cases[i].aad),
          data = bytes_hex(cases[i].plain);
    uint8_t tag[MT_AEAD_TAG];
    mt_aead k;
    CHECK(mt_aead_init(&k, library, key.p, key.n));
    CHECK(mt_aead_seal(&k, iv.p, aad.p, aad.n, data.p, data.n, tag));
    CHECK(bytes_equal(data, cases[i].sealed) && memory_equals(tag, sizeof tag, cases[i].tag));
    CHECK(mt_aead_open(&k, iv.p, aad.p, aad.n, data.p, data.n, tag));
    CHECK(bytes_equal(data, cases[i].plain));
    mt_aead_end(&k);
    free(key.p);
    free(iv.p);
    free(aad.p);
    free(data.p);
  }
}

/* ---- refused ---- */

/* Any change of one bit is noticed, and nothing of the plaintext is left. */
static void test_altered(mt_aead_library library) {
  uint8_t key[32], packet[MT_AEAD_IV + 20 + 33 + MT_AEAD_TAG], sealed[sizeof packet];
  uint8_t *iv = packet, *aad = iv + MT_AEAD_IV, *data = aad + 20, *tag = data + 33;
  for (size_t len = 16; len <= 32; len += 16) {
    mt_aead k;
    fill(key, sizeof key);
    fill(packet, sizeof packet);
    CHECK(mt_aead_init(&k, library, key, len) && mt_aead_seal(&k, iv, aad, 20, data, 33, tag));
    memcpy(sealed, packet, sizeof packet);
    for (size_t bit = 0; bit < 8 * sizeof packet; bit++) {
      memcpy(packet, sealed, sizeof packet);
      packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
      CHECK(!mt_aead_open(&k, iv, aad, 20, data, 33, tag) && all_zeros(data, 33));
    }
    memcpy(packet, sealed, sizeof packet);
    CHECK(mt_aead_open(&k, iv, aad, 20, data, 33, tag)); /* the key is as good as before */
    mt_aead_end(&k);
    mt_aead_end(&k); /* has no effect */
  }
}

static void test_lengths_of_keys(mt_aead_library library) {
  uint8_t key[64] = {0};
  mt_aead k;
  for (size_t len = 0; len <= sizeof key; len++) {
    CHECK(mt_aead_init(&k, library, key, len) == (len == 16 || len == 32));
    mt_aead_end(&k);
  }
}

/* ---- compared ---- */

static guarded iv_at, aad_at, data_at, tag_at;

/* Both libraries seal the same bytes to the same, and each opens what the other has sealed. */
static void compare(const mt_aead *one, const mt_aead *other, size_t aad_len, size_t len) {
  static uint8_t plain[ROOM], sealed[ROOM], tag[MT_AEAD_TAG];
  bool at_end = dice(2);
  uint8_t *iv = place(iv_at, at_end, MT_AEAD_IV), *aad = place(aad_at, at_end, aad_len), *data = place(data_at, at_end, len);
  uint8_t *its_tag = place(tag_at, at_end, MT_AEAD_TAG);
  fill(iv, MT_AEAD_IV);
  fill(aad, aad_len);
  fill(plain, len);
  memcpy(sealed, plain, len);
  memcpy(data, plain, len);
  CHECK(mt_aead_seal(one, iv, aad, aad_len, sealed, len, tag) && mt_aead_seal(other, iv, aad, aad_len, data, len, its_tag));
  CHECK(memcmp(data, sealed, len) == 0 && memcmp(its_tag, tag, sizeof tag) == 0);
  CHECK(mt_aead_open(one, iv, aad, aad_len, sealed, len, its_tag) && memcmp(sealed, plain, len) == 0);
  CHECK(mt_aead_open(other, iv, aad, aad_len, data, len, tag) && memcmp(data, plain, len) == 0);
  its_tag[dice(MT_AEAD_TAG)] ^= (uint8_t)(1 << dice(8));
  CHECK(!mt_aead_open(other, iv, aad, aad_len, data, len, its_tag) && all_zeros(data, len));
}

static void test_compared(void) {
  enum { LONGEST = 1500, LONGEST_AAD = 140, ROUNDS = 4000 };
  iv_at = guarded_new(PAGE);
  aad_at = guarded_new(ROOM);
  data_at = guarded_new(ROOM);
  tag_at = guarded_new(PAGE);
  for (size_t key_len = 16; key_len <= 32; key_len += 16) {
    uint8_t key[32];
    mt_aead one, other;
    fill(key, sizeof key);
    CHECK(mt_aead_init(&one, MT_AEAD_LIBCRYPTO, key, key_len) && mt_aead_init(&other, MT_AEAD_IPSEC_MB, key, key_len));
    for (size_t len = 0; len <= LONGEST; len++) compare(&one, &other, 12 + 4 * dice(20), len);
    for (size_t aad = 0; aad <= LONGEST_AAD; aad++) {
      compare(&one, &other, aad, dice(LONGEST));
      compare(&one, &other, aad, 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++) compare(&one, &other, dice(400), dice(3000));
    compare(&one, &other, 65535, 65535);
    mt_aead_end(&one);
    mt_aead_end(&other);
  }
}

int main(int argc, char **argv) {
  (void)argv;
  mt_aead_library library = argc > 1 ? MT_AEAD_IPSEC_MB : MT_AEAD_LIBCRYPTO;
  const mt_ipsec_mb_state *s = mt_ipsec_mb_open();
  if (library == MT_AEAD_IPSEC_MB && !s->usable) {
    puts(s->text);
    return UNUSABLE;
  }
  CHECK(mt_aead_fastest() == (s->usable ? MT_AEAD_IPSEC_MB : MT_AEAD_LIBCRYPTO));
  CHECK(mt_ipsec_mb_open() == s && s->text[0]);
  test_vectors(library);
  test_altered(library);
  test_lengths_of_keys(library);
  if (library == MT_AEAD_IPSEC_MB) {
    test_compared();
    CHECK(keys_wiped > 10);
  }
  return check_result();
}
