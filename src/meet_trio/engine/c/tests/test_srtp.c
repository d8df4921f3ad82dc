/* SRTP: vectors of RFC 3711 appendix B and RFC 7714 sections 16 and 17, both directions of all profiles, the
 * replay window, the guess of the index, and refusal of all truncated or altered packets. With an argument AES-GCM is libipsec-mb's;
 * the program ends with 77 where that cannot be used. */
#include "formats/srtp.c"

#include "formats/aead.c"
#include "formats/ipsec_mb.c"

#include "check.h"

static const mt_srtp_profile profiles[] = {MT_SRTP_AES128_CM_SHA1_80, MT_SRTP_AEAD_AES_128_GCM, MT_SRTP_AEAD_AES_256_GCM};

static mt_aead_library library = MT_AEAD_LIBCRYPTO;

static mt_srtp *session(mt_srtp_profile profile, bool swapped) {
  uint8_t a[MT_SRTP_MAX_KEYING], b[MT_SRTP_MAX_KEYING];
  for (unsigned i = 0; i < sizeof a; i++) {
    a[i] = (uint8_t)(3 * i + 1);
    b[i] = (uint8_t)(200 - i);
  }
  mt_srtp *s = swapped ? mt_srtp_new(profile, library, b, a) : mt_srtp_new(profile, library, a, b);
  CHECK(s != NULL);
  if (!s) abort();
  return s;
}

/* RFC 3711 appendix B.3 */
static void test_key_derivation(void) {
  bytes keying = bytes_hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
  profile_info info;
  CHECK(profile_lookup(MT_SRTP_AES128_CM_SHA1_80, &info) && keying.n == info.key + info.salt);
  EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, info.kdf_cipher, NULL);
  uint8_t out[20];
  CHECK(derive(aes, &info, keying.p, LABEL_RTP + LABEL_ENCRYPTION, out, 16));
  CHECK(memory_equals(out, 16, "C61E7A93744F39EE10734AFE3FF7A087"));
  CHECK(derive(aes, &info, keying.p, LABEL_RTP + LABEL_SALT, out, 14));
  CHECK(memory_equals(out, 14, "30CBBC08863D8C85D49DB34A9AE1"));
  CHECK(derive(aes, &info, keying.p, LABEL_RTP + LABEL_AUTH, out, 20));
  CHECK(memory_equals(out, 20, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
  EVP_CIPHER_free(aes);
  free(keying.p);
}

/* RFC 3711 appendix B.2: the key stream of SSRC 0, index 0 */
static void test_counter_mode(void) {
  bytes key = bytes_hex("2B7E151628AED2A6ABF7158809CF4F3C"), salt = bytes_hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
  uint8_t auth[CM_AUTH_KEY] = {0}, ssrc[4] = {0}, stream[48] = {0};
  keyset k = {0};
  EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL);
  CHECK(keyset_init_cm(&k, aes, key.p, salt.p, auth));
  CHECK(cm_crypt(&k, ssrc, 0, stream, sizeof stream));
  CHECK(memory_equals(stream, sizeof stream,
                      "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB"
                      "41E95B3BB0A2E8DD477901E4FCA894C0"));
  keyset_end(&k);
  EVP_CIPHER_free(aes);
  free(key.p);
  free(salt.p);
}

/* RFC 2202: test cases 1, 2 and 6 (a key longer than a block) */
static void test_hmac_sha1(void) {
  static const struct {
    const char *key, *data, *tag;
  } cases[] = {
      {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265", "b617318655057264e28bc0b6fb378c8ef146be00"},
      {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
      {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
       "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
       "aa4ae5e15272d00e95705637ce8a3b55ed402112"},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    bytes key = bytes_hex(cases[i].key), data = bytes_hex(cases[i].data);
    uint8_t tag[SHA_DIGEST_LENGTH];
    mt_hmac_sha1_key k;
    mt_hmac_sha1_prepare(&k, key.p, key.n);
    SHA_CTX c = k.inner;
    SHA1_Update(&c, data.p, data.n);
    mt_hmac_sha1_finish(&k, &c, tag);
    CHECK(memory_equals(tag, sizeof tag, cases[i].tag));
    free(key.p);
    free(data.p);
  }
}

/* A session whose four key sets are one session key and salt, as the vectors of RFC 7714 require. */
static mt_srtp *raw_session(const char *key_hex) {
  mt_srtp *s = calloc(1, sizeof *s);
  if (!s) abort();
  bytes key = bytes_hex(key_hex), salt = bytes_hex("51756964 2070726f 2071756f");
  s->gcm = true;
  s->tag_len = GCM_TAG;
  keyset *all[] = {&s->tx_rtp, &s->tx_rtcp, &s->rx_rtp, &s->rx_rtcp};
  for (unsigned i = 0; i < 4; i++) CHECK(keyset_init_gcm(all[i], library, key.p, key.n, salt.p));
  free(key.p);
  free(salt.p);
  return s;
}

/* RFC 7714 sections 16.1, 16.2, 17.1, 17.2 */
static void test_gcm_vectors(void) {
  static const char rtp[] = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976"
                            "69736120 696e2070 61727465 73207472 6573";
  static const char rtcp[] = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61"
                             "deadbeef deadbeef deadbeef deadbeef deadbeef";
  static const struct {
    const char *key, *rtp, *rtcp;
  } cases[] = {
      {"000102030405060708090a0b0c0d0e0f",
       "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf"
       "8833899d 7f27beb1 6a9152cf 765ee439 0cce",
       "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded"
       "0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4"},
      {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
       "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799"
       "b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
       "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047"
       "6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4"},
  };
  for (unsigned i = 0; i < 2; i++) {
    mt_srtp *s = raw_session(cases[i].key);
    mt_srtp_window w = {0};
    uint8_t buffer[256];
    size_t len;
    uint64_t index;
    bytes plain = bytes_hex(rtp);
    memcpy(buffer, plain.p, 12 + 7); /* the payload in two pieces, cut inside a block */
    size_t n = mt_srtp_protect(s, 0xf17b, buffer, 12, 7, plain.p + 19, plain.n - 19);
    CHECK(memory_equals(buffer, n, cases[i].rtp));
    CHECK(mt_srtp_unprotect(s, &w, buffer, n, 12, &len, &index) == MT_SRTP_OK);
    CHECK(index == 0xf17b && memory_equals(buffer, len, rtp));
    free(plain.p);

    plain = bytes_hex(rtcp);
    memcpy(buffer, plain.p, plain.n);
    n = mt_srtcp_protect(s, 0x5d4, buffer, plain.n, sizeof buffer);
    CHECK(memory_equals(buffer, n, cases[i].rtcp));
    w = (mt_srtp_window){0};
    CHECK(mt_srtcp_unprotect(s, &w, buffer, n, &len) == MT_SRTP_OK);
    CHECK(w.highest == 0x5d4 && memory_equals(buffer, len, rtcp));
    free(plain.p);
    mt_srtp_free(s);
  }
  /* RFC 7714 section 17.3: authentic, but not encrypted (E = 0) */
  mt_srtp *s = raw_session(cases[0].key);
  bytes clear = bytes_hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef"
                          "deadbeef deadbeef deadbeef 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4");
  mt_srtp_window w = {0};
  size_t len;
  CHECK(mt_srtcp_unprotect(s, &w, clear.p, clear.n, &len) == MT_SRTP_BAD_AUTH && !w.started);
  free(clear.p);
  mt_srtp_free(s);
}

/* CM authenticates the index word, so a packet with E = 0 can be authentic: it is refused nevertheless. */
static void test_cm_in_clear(void) {
  mt_srtp *a = session(MT_SRTP_AES128_CM_SHA1_80, false), *b = session(MT_SRTP_AES128_CM_SHA1_80, true);
  for (unsigned e = 0; e < 2; e++) {
    uint8_t packet[8 + 4 + CM_TAG] = {0x80, 0xc9, 0, 1, 1, 2, 3, 4, (uint8_t)(e << 7), 0, 0, 1};
    uint8_t tag[SHA_DIGEST_LENGTH];
    mt_srtp_window w = {0};
    size_t len;
    cm_tag(&b->tx_rtcp, packet, 12, NULL, 0, tag);
    memcpy(packet + 12, tag, CM_TAG);
    CHECK(mt_srtcp_unprotect(a, &w, packet, sizeof packet, &len) == (e ? MT_SRTP_OK : MT_SRTP_BAD_AUTH));
  }
  mt_srtp_free(a);
  mt_srtp_free(b);
}

static const char header_hex[] = "90e01234 01020304 aabbccdd bede0001 10ff0000"; /* with an extension */

static bytes make_rtp(mt_srtp *s, uint64_t index, const void *payload, size_t n) {
  bytes header = bytes_hex(header_hex);
  bytes out = {malloc(header.n + n + MT_SRTP_MAX_OVERHEAD), 0};
  if (!out.p) abort();
  memcpy(out.p, header.p, header.n);
  mt_store16(out.p + 2, (uint16_t)index);
  out.n = mt_srtp_protect(s, index, out.p, header.n, 0, payload, n);
  CHECK(out.n == header.n + n + s->tag_len);
  bytes exact = bytes_copy(out.p, out.n);
  free(out.p);
  free(header.p);
  return exact;
}

static mt_srtp_status feed(mt_srtp *tx, mt_srtp *rx, mt_srtp_window *w, uint64_t index) {
  bytes packet = make_rtp(tx, index, "x", 1);
  size_t len;
  uint64_t got = UINT64_MAX;
  mt_srtp_status status = mt_srtp_unprotect(rx, w, packet.p, packet.n, 20, &len, &got);
  if (status == MT_SRTP_OK) CHECK(got == index && len == 21 && packet.p[20] == 'x');
  free(packet.p);
  return status;
}

static void test_both_directions(mt_srtp_profile profile) {
  mt_srtp *a = session(profile, false), *b = session(profile, true);
  for (size_t n = 0; n < 70; n++) {
    uint8_t payload[70];
    memset(payload, (int)n + 1, sizeof payload);
    mt_srtp_window w = {0};
    bytes packet = make_rtp(b, 7, payload, n);
    size_t len;
    uint64_t index;
    CHECK(mt_srtp_unprotect(a, &w, packet.p, packet.n, 20, &len, &index) == MT_SRTP_OK);
    CHECK(len == 20 + n && memcmp(packet.p + 20, payload, n) == 0);
    free(packet.p);
  }
  mt_srtp_window w = {0};
  bytes own = make_rtp(a, 1, "abc", 3); /* a side's own packet, reflected, is not authentic */
  size_t len;
  uint64_t index;
  CHECK(mt_srtp_unprotect(a, &w, own.p, own.n, 20, &len, &index) == MT_SRTP_BAD_AUTH && !w.started);
  free(own.p);
  mt_srtp_free(a);
  mt_srtp_free(b);
}

/* Every truncation and every flipped bit of a packet is refused and does not move the window. */
static void test_truncated_and_altered(mt_srtp_profile profile) {
  mt_srtp *a = session(profile, false), *b = session(profile, true);
  bytes good = make_rtp(b, 5, "payload", 7);
  mt_srtp_window w = {0};
  size_t len;
  uint64_t index;
  for (size_t n = 0; n < good.n; n++) {
    bytes cut = bytes_copy(good.p, n);
    CHECK(mt_srtp_unprotect(a, &w, cut.p, cut.n, 20, &len, &index) == (n < 20 + a->tag_len ? MT_SRTP_TOO_SHORT : MT_SRTP_BAD_AUTH));
    free(cut.p);
  }
  for (size_t bit = 0; bit < 8 * good.n; bit++) {
    bytes bad = bytes_copy(good.p, good.n);
    bad.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    CHECK(mt_srtp_unprotect(a, &w, bad.p, bad.n, 20, &len, &index) == MT_SRTP_BAD_AUTH);
    free(bad.p);
  }
  CHECK(!w.started);
  CHECK(mt_srtp_unprotect(a, &w, good.p, good.n, 20, &len, &index) == MT_SRTP_OK);
  free(good.p);

  uint8_t buffer[64] = {0x80, 0xc9, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8};
  size_t n = mt_srtcp_protect(b, 9, buffer, 20, sizeof buffer);
  CHECK(n == 24 + b->tag_len);
  w = (mt_srtp_window){0};
  for (size_t i = 0; i < n; i++) {
    bytes cut = bytes_copy(buffer, i);
    CHECK(mt_srtcp_unprotect(a, &w, cut.p, cut.n, &len) == (i < 12 + a->tag_len ? MT_SRTP_TOO_SHORT : MT_SRTP_BAD_AUTH));
    free(cut.p);
  }
  for (size_t bit = 0; bit < 8 * n; bit++) {
    bytes bad = bytes_copy(buffer, n);
    bad.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    CHECK(mt_srtcp_unprotect(a, &w, bad.p, bad.n, &len) == MT_SRTP_BAD_AUTH);
    free(bad.p);
  }
  CHECK(!w.started);
  bytes copy = bytes_copy(buffer, n);
  CHECK(mt_srtcp_unprotect(a, &w, copy.p, copy.n, &len) == MT_SRTP_OK && len == 20 && copy.p[8] == 5);
  free(copy.p);
  copy = bytes_copy(buffer, n);
  CHECK(mt_srtcp_unprotect(a, &w, copy.p, copy.n, &len) == MT_SRTP_REPLAYED);
  free(copy.p);
  mt_srtp_free(a);
  mt_srtp_free(b);
}

static void test_replay_and_rollover(mt_srtp_profile profile) {
  mt_srtp *a = session(profile, false), *b = session(profile, true);
  mt_srtp_window w = {0};
  CHECK(feed(b, a, &w, 40000) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, 40000) == MT_SRTP_REPLAYED);
  CHECK(feed(b, a, &w, 40002) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, 40001) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, 40001) == MT_SRTP_REPLAYED);
  CHECK(feed(b, a, &w, 39990) == MT_SRTP_OK); /* older than the first one */
  CHECK(feed(b, a, &w, 40002 - MT_SRTP_WINDOW_BITS) == MT_SRTP_REPLAYED);
  CHECK(feed(b, a, &w, 40003 - MT_SRTP_WINDOW_BITS) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, 40900) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, 41900) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, 40900) == MT_SRTP_REPLAYED);
  CHECK(feed(b, a, &w, 40002 + MT_SRTP_WINDOW_BITS) == MT_SRTP_OK); /* not seen yet, though 40002 used the same bit */
  CHECK(feed(b, a, &w, 44000) == MT_SRTP_OK);                       /* a jump of more than the window */
  CHECK(feed(b, a, &w, 41900) == MT_SRTP_REPLAYED);
  CHECK(feed(b, a, &w, 41900 + MT_SRTP_WINDOW_BITS * 2) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, 65535) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, 65536 + 3) == MT_SRTP_OK); /* over the roll-over, with a gap */
  CHECK(feed(b, a, &w, 65534) == MT_SRTP_OK);     /* and a packet from before it */
  CHECK(feed(b, a, &w, 65535) == MT_SRTP_REPLAYED);
  CHECK(feed(b, a, &w, 65536) == MT_SRTP_OK);
  CHECK(w.highest == 65536 + 3);
  for (uint64_t index = 65536 + 1000; index < 4 * 65536; index += 20000) CHECK(feed(b, a, &w, index) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, w.highest + 40000) != MT_SRTP_OK); /* too far ahead for the guess */
  w = (mt_srtp_window){0};
  CHECK(feed(b, a, &w, 5) == MT_SRTP_OK);
  CHECK(feed(b, a, &w, 40000) == MT_SRTP_OK); /* there is no roll-over count before 0 */
  mt_srtp_free(a);
  mt_srtp_free(b);
}

static void test_last_index(void) {
  const uint64_t last = (UINT64_C(1) << 48) - 1;
  mt_srtp *a = session(MT_SRTP_AEAD_AES_128_GCM, false), *b = session(MT_SRTP_AEAD_AES_128_GCM, true);
  mt_srtp_window w = {.started = true, .highest = last - 1};
  CHECK(feed(b, a, &w, last) == MT_SRTP_OK);
  uint64_t index;
  CHECK(!guess_index(&w, 0, &index)); /* 2^48 packets: the key is used up */
  uint8_t packet[64] = {0x80, 0, 0, 0};
  CHECK(mt_srtp_protect(a, last + 1, packet, 12, 0, NULL, 0) == 0);
  CHECK(mt_srtp_protect(a, 1, packet, 12, 0, NULL, 0) == 0); /* another sequence number than the header's */
  CHECK(mt_srtp_protect(a, 0x10000, packet, 12, 0, NULL, 0) == 12 + GCM_TAG);
  CHECK(mt_srtcp_protect(a, UINT32_C(1) << 31, packet, 8, sizeof packet) == 0);
  CHECK(mt_srtcp_protect(a, 1, packet, 8, 8 + 19) == 0); /* does not fit */
  CHECK(mt_srtcp_protect(a, 1, packet, 7, sizeof packet) == 0);
  CHECK(mt_srtcp_protect(a, 1, packet, 8, 8 + 20) == 28);
  mt_srtp_free(a);
  mt_srtp_free(b);
}

/* Plain RTP: packets stay unchanged; of SRTP only the replay window and the index remain. */
static void test_null(void) {
  uint8_t packet[64] = {0x80, 96, 0xff, 0xff, [11] = 7}, rest[4] = {1, 2, 3, 4}, before[64];
  mt_srtp *s = mt_srtp_new_null();
  mt_srtp_window w = {0};
  size_t len;
  uint64_t index;
  CHECK(s != NULL);
  memcpy(packet + 12, "ab", 2);
  CHECK(mt_srtp_protect(s, 0xffff, packet, 12, 2, rest, 4) == 18);
  CHECK(memcmp(packet + 12, "ab\1\2\3\4", 6) == 0);
  CHECK(mt_srtp_protect(s, 0xfffe, packet, 12, 0, NULL, 0) == 0); /* another sequence number than the header's */
  CHECK(mt_srtp_protect(s, 0xffff, packet, 12, 0, NULL, 0) == 12);
  memcpy(before, packet, sizeof before);
  CHECK(mt_srtp_unprotect(s, &w, packet, 18, 12, &len, &index) == MT_SRTP_OK && len == 18 && index == 0xffff);
  CHECK(mt_srtp_unprotect(s, &w, packet, 18, 12, &len, &index) == MT_SRTP_REPLAYED);
  CHECK(memcmp(before, packet, sizeof before) == 0);
  mt_store16(packet + 2, 1);
  CHECK(mt_srtp_unprotect(s, &w, packet, 12, 12, &len, &index) == MT_SRTP_OK && len == 12 && index == 0x10001);
  CHECK(mt_srtp_unprotect(s, &w, packet, 11, 12, &len, &index) == MT_SRTP_TOO_SHORT);
  CHECK(mt_srtcp_protect(s, 5, packet, 16, 16) == 16 && mt_srtcp_protect(s, 5, packet, 17, 16) == 0);
  CHECK(mt_srtcp_protect(s, 5, packet, 7, 64) == 0);
  for (unsigned i = 0; i < 2; i++) CHECK(mt_srtcp_unprotect(s, &w, packet, 16, &len) == MT_SRTP_OK && len == 16);
  CHECK(mt_srtcp_unprotect(s, &w, packet, 7, &len) == MT_SRTP_TOO_SHORT);
  mt_srtp_free(s);
}

int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) {
    library = MT_AEAD_IPSEC_MB;
    if (!mt_ipsec_mb_open()->usable) {
      puts(mt_ipsec_mb_open()->text);
      return 77;
    }
  }
  CHECK(mt_srtp_keying_length(MT_SRTP_AES128_CM_SHA1_80) == 30);
  CHECK(mt_srtp_keying_length(MT_SRTP_AEAD_AES_128_GCM) == 28);
  CHECK(mt_srtp_keying_length(MT_SRTP_AEAD_AES_256_GCM) == 44);
  CHECK(mt_srtp_keying_length((mt_srtp_profile)2) == 0);
  uint8_t keying[MT_SRTP_MAX_KEYING] = {0};
  CHECK(mt_srtp_new((mt_srtp_profile)2, library, keying, keying) == NULL);
  mt_srtp_free(NULL);
  test_key_derivation();
  test_counter_mode();
  test_hmac_sha1();
  test_gcm_vectors();
  test_cm_in_clear();
  for (unsigned i = 0; i < 3; i++) {
    test_both_directions(profiles[i]);
    test_truncated_and_altered(profiles[i]);
    test_replay_and_rollover(profiles[i]);
  }
  test_last_index();
  test_null();
  return check_result();
}
