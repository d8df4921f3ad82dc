/* HMAC-SHA1 (RFC 2104) with the key's two pad blocks hashed in advance, for SRTP and STUN.
 *
 * The functions use OpenSSL's low-level SHA1 and not EVP_MAC, because a SHA_CTX is a plain value that can be copied. Every reset of
 * an EVP_MAC context allocates and frees (OpenSSL 3.0) and costs 0.2 us more a packet. STUN hashes with a different key each time,
 * so EVP_MAC would also fetch and build a context for each request. The low-level functions are deprecated but run the same
 * assembly.
 *
 * A file that includes this one defines OPENSSL_SUPPRESS_DEPRECATED before its first OpenSSL header. Nothing here compares tags or
 * shortens them: that is the caller's part.
 */
#ifndef MT_FORMATS_HMAC_SHA1_H
#define MT_FORMATS_HMAC_SHA1_H

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stddef.h>
#include <stdint.h>

enum { MT_HMAC_INNER_PAD = 0x36, MT_HMAC_OUTER_PAD = 0x5c }; /* RFC 2104 section 2 */

typedef struct {
  SHA_CTX inner, outer; /* states after the pad blocks */
} mt_hmac_sha1_key;

/* `len`: bytes of `key`, any number. A key longer than SHA-1's block is replaced by its hash (RFC 2104 section 2). */
static inline void mt_hmac_sha1_prepare(mt_hmac_sha1_key *k, const uint8_t *key, size_t len) {
  uint8_t block[SHA_CBLOCK] = {0};
  if (len > sizeof block) {
    SHA_CTX c;
    SHA1_Init(&c);
    SHA1_Update(&c, key, len);
    SHA1_Final(block, &c);
  } else {
    for (size_t i = 0; i < len; i++) block[i] = key[i];
  }
  for (size_t i = 0; i < sizeof block; i++) block[i] ^= MT_HMAC_INNER_PAD;
  SHA1_Init(&k->inner);
  SHA1_Update(&k->inner, block, sizeof block);
  for (size_t i = 0; i < sizeof block; i++) block[i] ^= MT_HMAC_INNER_PAD ^ MT_HMAC_OUTER_PAD;
  SHA1_Init(&k->outer);
  SHA1_Update(&k->outer, block, sizeof block);
  OPENSSL_cleanse(block, sizeof block);
}

/* The caller adds the message to a copy of k->inner with SHA1_Update and passes that copy as `running`, which is used up. */
static inline void mt_hmac_sha1_finish(const mt_hmac_sha1_key *k, SHA_CTX *running, uint8_t tag[SHA_DIGEST_LENGTH]) {
  uint8_t digest[SHA_DIGEST_LENGTH];
  SHA1_Final(digest, running);
  *running = k->outer;
  SHA1_Update(running, digest, sizeof digest);
  SHA1_Final(tag, running);
}

#endif
