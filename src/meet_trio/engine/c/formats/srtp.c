/* See srtp.h.
 *
 * Each direction has a key set for RTP and one for RTCP: an AEAD key or, for the CM profile, a cipher context and an HMAC state. The
 * cipher contexts are OpenSSL's EVP and keep their expanded keys. EVP_CipherInit_ex2 with an IV alone does not allocate.
 *
 * A payload is copied into its packet before it is encrypted: the ciphers take more time for two pieces than copying does.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* for hmac_sha1.h */
#include "formats/srtp.h"

#include "base/bytes.h"
#include "base/lines.h"
#include "formats/hmac_sha1.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* Lengths in bytes */
enum {
  AES_BLOCK = 16,
  AES_128_KEY = 16,
  AES_256_KEY = 32,
  CM_SALT = 14,
  GCM_SALT = MT_AEAD_IV,
  GCM_TAG = MT_AEAD_TAG,
  CM_AUTH_KEY = 20,
  CM_TAG = 10, /* 80 bits, for RTP and RTCP alike */
  RTP_MIN_HEADER = 12,
  RTCP_MIN_HEADER = 8, /* the header and the sender's SSRC, which SRTCP leaves in clear */
  RTCP_INDEX_WORD = 4,
  RTCP_AAD = RTCP_MIN_HEADER + RTCP_INDEX_WORD,
};

enum {
  RTP_INDEX_BITS = 48,
  RTCP_INDEX_BITS = 31,
  RTCP_INDEX_MASK = 0x7fffffff,
  E_BIT = 0x80, /* in the first byte of the index word: the packet is encrypted */
};

/* Key derivation labels (RFC 3711 section 4.3.1); the RTCP labels follow in the same order. */
enum { LABEL_RTP = 0, LABEL_RTCP = 3, LABEL_ENCRYPTION = 0, LABEL_AUTH = 1, LABEL_SALT = 2 };
enum { LABEL_AT = 7 /* byte of the salt that the label is XORed with */ };

typedef struct {
  mt_aead aead;            /* of the GCM profiles */
  uint8_t salt[CM_SALT];   /* GCM uses GCM_SALT bytes of it */
  EVP_CIPHER_CTX *counter; /* of the CM profile, with `auth` */
  mt_hmac_sha1_key auth;
} keyset;

struct mt_srtp {
  /* What a packet to be sent needs is in the first line, with GCM. */
  bool null; /* plain RTP: no keys, no tags */
  bool gcm;
  mt_aead_library library; /* of the GCM profiles */
  size_t tag_len;
  keyset tx_rtp, tx_rtcp, rx_rtp, rx_rtcp;
};

_Static_assert(offsetof(mt_srtp, tx_rtp.counter) <= MT_CACHE_LINE, "a packet to be sent touches one line");

typedef struct {
  size_t key, salt; /* bytes */
  const char *kdf_cipher;
} profile_info;

static bool profile_lookup(mt_srtp_profile profile, profile_info *out) {
  switch (profile) {
  case MT_SRTP_AES128_CM_SHA1_80: *out = (profile_info){AES_128_KEY, CM_SALT, "AES-128-CTR"}; return true;
  case MT_SRTP_AEAD_AES_128_GCM: *out = (profile_info){AES_128_KEY, GCM_SALT, "AES-128-CTR"}; return true;
  case MT_SRTP_AEAD_AES_256_GCM: *out = (profile_info){AES_256_KEY, GCM_SALT, "AES-256-CTR"}; return true;
  }
  return false;
}

size_t mt_srtp_keying_length(mt_srtp_profile profile) {
  profile_info info;
  return profile_lookup(profile, &info) ? info.key + info.salt : 0;
}

/* ---- keys ---- */

/* Derives a session key of `len` bytes (RFC 3711 section 4.3.3) with a key derivation rate of 0. A 96-bit salt is padded with zeros
 * (RFC 7714 section 11). */
static bool derive(EVP_CIPHER *aes_ctr, const profile_info *info, const uint8_t *keying, uint8_t label, uint8_t *out, size_t len) {
  static const uint8_t zeros[AES_256_KEY];
  uint8_t x[AES_BLOCK] = {0};
  int n = 0;
  bool ok = false;
  memcpy(x, keying + info->key, info->salt);
  x[LABEL_AT] ^= label;
  EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
  if (c && len <= sizeof zeros && EVP_EncryptInit_ex2(c, aes_ctr, keying, x, NULL))
    ok = EVP_EncryptUpdate(c, out, &n, zeros, (int)len) == 1 && n == (int)len;
  EVP_CIPHER_CTX_free(c);
  OPENSSL_cleanse(x, sizeof x);
  return ok;
}

static bool keyset_init_gcm(keyset *k, mt_aead_library library, const uint8_t *key, size_t len, const uint8_t salt[GCM_SALT]) {
  memcpy(k->salt, salt, GCM_SALT);
  return mt_aead_init(&k->aead, library, key, len);
}

static bool keyset_init_cm(keyset *k, EVP_CIPHER *aes_ctr, const uint8_t *key, const uint8_t salt[CM_SALT],
                           const uint8_t auth[CM_AUTH_KEY]) {
  memcpy(k->salt, salt, CM_SALT);
  mt_hmac_sha1_prepare(&k->auth, auth, CM_AUTH_KEY);
  k->counter = EVP_CIPHER_CTX_new();
  /* counter mode decrypts by encrypting */
  return k->counter && EVP_EncryptInit_ex2(k->counter, aes_ctr, key, NULL, NULL) == 1;
}

static bool keyset_derive(keyset *k, const mt_srtp *s, const profile_info *info, EVP_CIPHER *aes_ctr, const uint8_t *keying,
                          uint8_t labels) {
  uint8_t key[AES_256_KEY], salt[CM_SALT], auth[CM_AUTH_KEY];
  bool ok = derive(aes_ctr, info, keying, (uint8_t)(labels + LABEL_ENCRYPTION), key, info->key) &&
            derive(aes_ctr, info, keying, (uint8_t)(labels + LABEL_SALT), salt, info->salt);
  if (ok && s->gcm) ok = keyset_init_gcm(k, s->library, key, info->key, salt);
  else if (ok)
    ok = derive(aes_ctr, info, keying, (uint8_t)(labels + LABEL_AUTH), auth, sizeof auth) &&
         keyset_init_cm(k, aes_ctr, key, salt, auth);
  OPENSSL_cleanse(key, sizeof key);
  OPENSSL_cleanse(salt, sizeof salt);
  OPENSSL_cleanse(auth, sizeof auth);
  return ok;
}

static void keyset_end(keyset *k) {
  mt_aead_end(&k->aead);
  EVP_CIPHER_CTX_free(k->counter);
}

mt_srtp *mt_srtp_new(mt_srtp_profile profile, mt_aead_library library, const uint8_t *tx, const uint8_t *rx) {
  profile_info info;
  if (!profile_lookup(profile, &info)) return NULL;
  mt_srtp *s = mt_new_in_lines(sizeof *s);
  if (!s) return NULL;
  s->gcm = profile != MT_SRTP_AES128_CM_SHA1_80;
  s->library = library;
  s->tag_len = s->gcm ? GCM_TAG : CM_TAG;
  EVP_CIPHER *aes_ctr = EVP_CIPHER_fetch(NULL, info.kdf_cipher, NULL); /* contexts hold references of their own */
  bool ok = aes_ctr && keyset_derive(&s->tx_rtp, s, &info, aes_ctr, tx, LABEL_RTP) &&
            keyset_derive(&s->tx_rtcp, s, &info, aes_ctr, tx, LABEL_RTCP) &&
            keyset_derive(&s->rx_rtp, s, &info, aes_ctr, rx, LABEL_RTP) &&
            keyset_derive(&s->rx_rtcp, s, &info, aes_ctr, rx, LABEL_RTCP);
  EVP_CIPHER_free(aes_ctr);
  if (ok) return s;
  mt_srtp_free(s);
  return NULL;
}

mt_srtp *mt_srtp_new_null(void) {
  mt_srtp *s = mt_new_in_lines(sizeof *s);
  if (s) s->null = true;
  return s;
}

void mt_srtp_free(mt_srtp *s) {
  if (!s) return;
  keyset_end(&s->tx_rtp);
  keyset_end(&s->tx_rtcp);
  keyset_end(&s->rx_rtp);
  keyset_end(&s->rx_rtcp);
  OPENSSL_cleanse(s, sizeof *s);
  free(s);
}

/* ---- packet index: replay window and guess ---- */

/* True: no packet of this index was accepted, and the window still covers it. The window is a ring of bits: bit `index %
 * MT_SRTP_WINDOW_BITS` is valid for indices in (highest - MT_SRTP_WINDOW_BITS, highest]. */
static bool window_fresh(const mt_srtp_window *w, uint64_t index) {
  if (!w->started || index > w->highest) return true;
  if (w->highest - index >= MT_SRTP_WINDOW_BITS) return false;
  return !(w->bits[index % MT_SRTP_WINDOW_BITS / 64] >> (index % 64) & 1);
}

static void window_accept(mt_srtp_window *w, uint64_t index) {
  if (!w->started || (index > w->highest && index - w->highest >= MT_SRTP_WINDOW_BITS)) {
    memset(w->bits, 0, sizeof w->bits);
    w->highest = index;
    w->started = true;
  }
  while (w->highest < index) { /* at most MT_SRTP_WINDOW_BITS times, and for authentic packets only */
    w->highest++;
    w->bits[w->highest % MT_SRTP_WINDOW_BITS / 64] &= ~(UINT64_C(1) << (w->highest % 64));
  }
  w->bits[index % MT_SRTP_WINDOW_BITS / 64] |= UINT64_C(1) << (index % 64);
}

/* Guesses the index nearest to the highest one seen (RFC 3711 section 3.3.1). Before the first wrap there is no earlier roll-over
 * count, so the guess is the sequence number itself. False: the index is beyond the last one of a key. */
static bool guess_index(const mt_srtp_window *w, uint16_t sequence, uint64_t *index) {
  if (!w->started) {
    *index = sequence;
    return true;
  }
  uint64_t roc = w->highest >> 16;
  int32_t ahead = (int32_t)sequence - (int32_t)(w->highest & 0xffff);
  if (ahead < -0x8000) roc++;
  else if (ahead > 0x8000 && roc > 0) roc--;
  *index = roc << 16 | sequence;
  return roc <= UINT32_MAX;
}

/* ---- ciphers ---- */

/* The IV is 00 00, SSRC, 6 bytes of index (RTP: ROC and SEQ; RTCP: 00 00 and index), XORed with the salt (RFC 7714 sections 8.1 and
 * 9.1). */
static void gcm_iv(const keyset *k, const uint8_t *ssrc, uint64_t index, uint8_t iv[GCM_SALT]) {
  uint64_t first, salt;
  uint32_t last, more;
  iv[0] = iv[1] = 0;
  memcpy(iv + 2, ssrc, 4);
  mt_store16(iv + 6, (uint16_t)(index >> 32));
  mt_store32(iv + 8, (uint32_t)index);
  memcpy(&first, iv, sizeof first), memcpy(&last, iv + sizeof first, sizeof last);
  memcpy(&salt, k->salt, sizeof salt), memcpy(&more, k->salt + sizeof salt, sizeof more);
  first ^= salt, last ^= more;
  memcpy(iv, &first, sizeof first), memcpy(iv + sizeof first, &last, sizeof last);
}

/* The IV of RFC 3711 section 4.1.1. Its last two bytes count the blocks. */
static void cm_iv(const keyset *k, const uint8_t *ssrc, uint64_t index, uint8_t iv[AES_BLOCK]) {
  memcpy(iv, k->salt, CM_SALT);
  iv[14] = iv[15] = 0;
  for (unsigned i = 0; i < 4; i++) iv[4 + i] ^= ssrc[i];
  for (unsigned i = 0; i < 6; i++) iv[8 + i] ^= (uint8_t)(index >> (40 - 8 * i));
}

static bool gcm_seal(const keyset *k, const uint8_t *ssrc, uint64_t index, const uint8_t *aad, size_t aad_len, uint8_t *data,
                     size_t len, uint8_t tag[GCM_TAG]) {
  uint8_t iv[GCM_SALT];
  gcm_iv(k, ssrc, index, iv);
  return mt_aead_seal(&k->aead, iv, aad, aad_len, data, len, tag);
}

/* False: the tag is wrong. */
static bool gcm_open(const keyset *k, const uint8_t *ssrc, uint64_t index, const uint8_t *aad, size_t aad_len, uint8_t *data,
                     size_t len, const uint8_t tag[GCM_TAG]) {
  uint8_t iv[GCM_SALT];
  gcm_iv(k, ssrc, index, iv);
  return mt_aead_open(&k->aead, iv, aad, aad_len, data, len, tag);
}

/* Encrypts or decrypts in place. */
static bool cm_crypt(const keyset *k, const uint8_t *ssrc, uint64_t index, uint8_t *data, size_t len) {
  uint8_t iv[AES_BLOCK];
  int n;
  cm_iv(k, ssrc, index, iv);
  return EVP_EncryptInit_ex2(k->counter, NULL, NULL, iv, NULL) == 1 &&
         (len == 0 || EVP_EncryptUpdate(k->counter, data, &n, data, (int)len) == 1);
}

/* The HMAC of `data` and `more`; a packet carries its first CM_TAG bytes. */
static void cm_tag(const keyset *k, const uint8_t *data, size_t len, const uint8_t *more, size_t more_len,
                   uint8_t tag[SHA_DIGEST_LENGTH]) {
  SHA_CTX c = k->auth.inner;
  SHA1_Update(&c, data, len);
  SHA1_Update(&c, more, more_len);
  mt_hmac_sha1_finish(&k->auth, &c, tag);
}

/* ---- RTP ---- */

void mt_srtp_fetch(const mt_srtp *s) { mt_fetch(s, 1); }

void mt_srtp_fetch_keys(const mt_srtp *s) { mt_aead_fetch(&s->tx_rtp.aead); }

size_t mt_srtp_protect(mt_srtp *s, uint64_t index, uint8_t *out, size_t header_len, size_t prefix_len, const uint8_t *rest,
                       size_t rest_len) {
  const keyset *k = &s->tx_rtp;
  uint8_t *payload = out + header_len;
  size_t len = header_len + prefix_len + rest_len;
  if (header_len < RTP_MIN_HEADER || len > INT_MAX || index >> RTP_INDEX_BITS || (index & 0xffff) != mt_load16(out + 2)) return 0;
  if (rest_len) memcpy(payload + prefix_len, rest, rest_len);
  if (s->null) return len;
  if (s->gcm) return gcm_seal(k, out + 8, index, out, header_len, payload, prefix_len + rest_len, out + len) ? len + GCM_TAG : 0;
  if (!cm_crypt(k, out + 8, index, payload, prefix_len + rest_len)) return 0;
  uint8_t roc[4], tag[SHA_DIGEST_LENGTH];
  mt_store32(roc, (uint32_t)(index >> 16));
  cm_tag(k, out, len, roc, sizeof roc, tag);
  memcpy(out + len, tag, CM_TAG);
  return len + CM_TAG;
}

mt_srtp_status mt_srtp_unprotect(mt_srtp *s, mt_srtp_window *w, uint8_t *packet, size_t len, size_t header_len, size_t *out_len,
                                 uint64_t *out_index) {
  const keyset *k = &s->rx_rtp;
  if (header_len < RTP_MIN_HEADER || len > INT_MAX || len < header_len + s->tag_len) return MT_SRTP_TOO_SHORT;
  uint8_t *payload = packet + header_len, *tag = packet + len - s->tag_len;
  size_t payload_len = (size_t)(tag - payload);
  uint64_t index;
  if (!guess_index(w, mt_load16(packet + 2), &index)) return MT_SRTP_ERROR;
  if (!window_fresh(w, index)) return MT_SRTP_REPLAYED;
  if (s->gcm) {
    if (!gcm_open(k, packet + 8, index, packet, header_len, payload, payload_len, tag)) return MT_SRTP_BAD_AUTH;
  } else if (!s->null) {
    uint8_t roc[4], right[SHA_DIGEST_LENGTH];
    mt_store32(roc, (uint32_t)(index >> 16));
    cm_tag(k, packet, len - CM_TAG, roc, sizeof roc, right);
    if (CRYPTO_memcmp(right, tag, CM_TAG) != 0) return MT_SRTP_BAD_AUTH;
    if (!cm_crypt(k, packet + 8, index, payload, payload_len)) return MT_SRTP_ERROR;
  }
  window_accept(w, index);
  *out_len = len - s->tag_len;
  *out_index = index;
  return MT_SRTP_OK;
}

/* ---- RTCP: the index word stands before the tag with CM (RFC 3711 section 3.4), after it with GCM (RFC 7714 section 9.2) ---- */

/* What GCM authenticates without encrypting it (RFC 7714 section 9.2). */
static void rtcp_aad(const uint8_t *packet, const uint8_t *word, uint8_t aad[RTCP_AAD]) {
  memcpy(aad, packet, RTCP_MIN_HEADER);
  memcpy(aad + RTCP_MIN_HEADER, word, RTCP_INDEX_WORD);
}

size_t mt_srtcp_protect(mt_srtp *s, uint32_t index, uint8_t *packet, size_t len, size_t cap) {
  const keyset *k = &s->tx_rtcp;
  if (s->null) return len < RTCP_MIN_HEADER || len > cap ? 0 : len;
  size_t total = len + RTCP_INDEX_WORD + s->tag_len;
  if (len < RTCP_MIN_HEADER || len > INT_MAX || total > cap || index >> RTCP_INDEX_BITS) return 0;
  uint8_t *body = packet + RTCP_MIN_HEADER, word[RTCP_INDEX_WORD];
  size_t body_len = len - RTCP_MIN_HEADER;
  mt_store32(word, (uint32_t)E_BIT << 24 | index);
  if (s->gcm) {
    uint8_t aad[RTCP_AAD];
    rtcp_aad(packet, word, aad);
    if (!gcm_seal(k, packet + 4, index, aad, sizeof aad, body, body_len, packet + len)) return 0;
    memcpy(packet + len + GCM_TAG, word, sizeof word);
    return total;
  }
  if (!cm_crypt(k, packet + 4, index, body, body_len)) return 0;
  uint8_t tag[SHA_DIGEST_LENGTH];
  cm_tag(k, packet, len, word, sizeof word, tag);
  memcpy(packet + len, word, sizeof word);
  memcpy(packet + len + sizeof word, tag, CM_TAG);
  return total;
}

mt_srtp_status mt_srtcp_unprotect(mt_srtp *s, mt_srtp_window *w, uint8_t *packet, size_t len, size_t *out_len) {
  const keyset *k = &s->rx_rtcp;
  if (s->null) {
    *out_len = len;
    return len < RTCP_MIN_HEADER ? MT_SRTP_TOO_SHORT : MT_SRTP_OK;
  }
  if (len > INT_MAX || len < RTCP_MIN_HEADER + RTCP_INDEX_WORD + s->tag_len) return MT_SRTP_TOO_SHORT;
  size_t plain_len = len - RTCP_INDEX_WORD - s->tag_len;
  uint8_t *word = packet + (s->gcm ? len - RTCP_INDEX_WORD : plain_len);
  uint8_t *tag = packet + len - s->tag_len - (s->gcm ? RTCP_INDEX_WORD : 0);
  uint8_t *body = packet + RTCP_MIN_HEADER;
  uint32_t index = mt_load32(word) & RTCP_INDEX_MASK;
  /* Without the E bit a packet is authenticated but not encrypted. WebRTC always encrypts RTCP, so such packets are refused. */
  if (!(word[0] & E_BIT)) return MT_SRTP_BAD_AUTH;
  if (!window_fresh(w, index)) return MT_SRTP_REPLAYED;
  if (s->gcm) {
    uint8_t aad[RTCP_AAD];
    rtcp_aad(packet, word, aad);
    if (!gcm_open(k, packet + 4, index, aad, sizeof aad, body, plain_len - RTCP_MIN_HEADER, tag)) return MT_SRTP_BAD_AUTH;
  } else {
    uint8_t right[SHA_DIGEST_LENGTH];
    cm_tag(k, packet, plain_len + RTCP_INDEX_WORD, NULL, 0, right);
    if (CRYPTO_memcmp(right, tag, CM_TAG) != 0) return MT_SRTP_BAD_AUTH;
    if (!cm_crypt(k, packet + 4, index, body, plain_len - RTCP_MIN_HEADER)) return MT_SRTP_ERROR;
  }
  window_accept(w, index);
  *out_len = plain_len;
  return MT_SRTP_OK;
}

unsigned mt_srtcp_indices_untrusted(const uint8_t *packet, size_t len, uint32_t out[MT_SRTCP_LAYOUTS]) {
  static const size_t tags[MT_SRTCP_LAYOUTS][2] = {{GCM_TAG, 0}, {0, CM_TAG}}; /* bytes of tag before and after the index word */
  unsigned count = 0;
  for (unsigned i = 0; i < MT_SRTCP_LAYOUTS; i++) {
    if (len < RTCP_MIN_HEADER + tags[i][0] + RTCP_INDEX_WORD + tags[i][1]) continue;
    const uint8_t *word = packet + len - tags[i][1] - RTCP_INDEX_WORD;
    if (word[0] & E_BIT) out[count++] = mt_load32(word) & RTCP_INDEX_MASK;
  }
  return count;
}
