/* SRTP and SRTCP on arbitrary bytes: no forgery is accepted, no window moves, and protected packets can be read. The two sessions
 * have their AES-GCM from different libraries, where there are two. */
#include "formats/rtp.c"
#include "formats/srtp.c"

#include "formats/aead.c"
#include "formats/ipsec_mb.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "90e01234 01020304 aabbccdd bede0001 10ff0000 000102030405060708090a0b0c0d0e0f 000102030405060708090a0b0c0d0e0f",
    "82601234 01020304 aabbccdd 00000001 00000002 000102030405060708090a0b0c0d0e0f",
    "81c90007 01020304 11111111 80fffffb 00021234 0000004d abcdef01 00010000 000102030405060708090a0b0c0d0e0f 80000001",
    NULL,
};

static void both_ways(mt_srtp *a, mt_srtp *b, const uint8_t *data, size_t size) {
  mt_rtp h;
  mt_srtp_window w = {0}, zero = {0};
  size_t len;
  uint64_t index;
  uint8_t *p = fuzz_exact(data, size);
  MUST(mt_srtcp_unprotect(a, &w, p, size, &len) != MT_SRTP_OK);
  memcpy(p, data, size);
  if (mt_rtp_parse_untrusted(p, size, &h)) {
    MUST(mt_srtp_unprotect(a, &w, p, size, h.header_len, &len, &index) != MT_SRTP_OK);
    MUST(memcmp(&w, &zero, sizeof w) == 0);
    uint8_t *out = malloc(size + MT_SRTP_MAX_OVERHEAD);
    MUST(out);
    size_t prefix = (size - h.header_len) / 3;
    memcpy(out, data, h.header_len + prefix);
    size_t n =
        mt_srtp_protect(b, h.sequence, out, h.header_len, prefix, data + h.header_len + prefix, size - h.header_len - prefix);
    MUST(n > size && mt_srtp_unprotect(a, &w, out, n, h.header_len, &len, &index) == MT_SRTP_OK);
    MUST(len == size && index == h.sequence && memcmp(out, data, size) == 0);
    free(out);
  }
  free(p);
}

/* Plain RTP: an accepted packet is unchanged, and none is accepted twice. */
static void in_clear(mt_srtp *s, const uint8_t *data, size_t size) {
  mt_rtp h;
  mt_srtp_window w = {0};
  size_t len;
  uint64_t index;
  uint8_t *p = fuzz_exact(data, size);
  if (mt_srtcp_unprotect(s, &w, p, size, &len) == MT_SRTP_OK) MUST(len == size);
  if (mt_rtp_parse_untrusted(p, size, &h)) {
    MUST(mt_srtp_unprotect(s, &w, p, size, h.header_len, &len, &index) == MT_SRTP_OK);
    MUST(len == size && index == h.sequence);
    MUST(mt_srtp_unprotect(s, &w, p, size, h.header_len, &len, &index) == MT_SRTP_REPLAYED);
  }
  MUST(size == 0 || memcmp(p, data, size) == 0);
  free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const mt_srtp_profile profiles[3] = {MT_SRTP_AES128_CM_SHA1_80, MT_SRTP_AEAD_AES_128_GCM, MT_SRTP_AEAD_AES_256_GCM};
  static mt_srtp *a[3], *b[3], *null; /* made once: deriving keys takes longer than everything else */
  for (unsigned i = 0; i < 3 && !a[i]; i++) {
    uint8_t tx[MT_SRTP_MAX_KEYING] = {1, 2, 3}, rx[MT_SRTP_MAX_KEYING] = {4, 5, 6};
    a[i] = mt_srtp_new(profiles[i], MT_AEAD_LIBCRYPTO, tx, rx);
    b[i] = mt_srtp_new(profiles[i], mt_aead_fastest(), rx, tx);
    MUST(a[i] && b[i]);
  }
  if (!null) null = mt_srtp_new_null();
  MUST(null);
  if (size == 0 || size > 60000) return 0;
  in_clear(null, data, size);
  for (unsigned i = 0; i < 3; i++) {
    both_ways(a[i], b[i], data, size);
    both_ways(b[i], a[i], data, size);
  }
  return 0;
}
