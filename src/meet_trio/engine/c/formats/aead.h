/* AES-GCM with tags of 16 bytes (NIST SP 800-38D), by one of two libraries.
 *
 * libcrypto is always there. libipsec-mb does the same for a quarter of the time or less, on machines that have it
 * (formats/ipsec_mb.h). A key belongs to one library, is good for both directions, and is used by one thread at a time. Sealing and
 * opening do not allocate.
 */
#ifndef MT_FORMATS_AEAD_H
#define MT_FORMATS_AEAD_H

#include "formats/ipsec_mb.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  MT_AEAD_LIBCRYPTO,
  MT_AEAD_IPSEC_MB,
} mt_aead_library;

enum { MT_AEAD_IV = 12, MT_AEAD_TAG = 16 }; /* bytes */

typedef struct { /* zeros: no key. One of the two is set. */
  EVP_CIPHER_CTX *evp;
  mt_ipsec_mb_key ipsec_mb;
} mt_aead;

/* The fastest library that can be used here. */
mt_aead_library mt_aead_fastest(void);

/* `len`: 16 or 32 bytes. False: no memory, or the library cannot be used or refuses. */
bool mt_aead_init(mt_aead *k, mt_aead_library library, const uint8_t *key, size_t len);
void mt_aead_end(mt_aead *k);         /* wipes the key; without a key it does nothing */
void mt_aead_fetch(const mt_aead *k); /* a packet is about to be sealed */

/* Encrypts `data` in place and writes the tag. An IV must not be used twice. False: failure. */
bool mt_aead_seal(const mt_aead *k, const uint8_t iv[MT_AEAD_IV], const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
                  uint8_t tag[MT_AEAD_TAG]);
/* Decrypts `data` in place. False: the tag is wrong, and `data` is zeros. */
bool mt_aead_open(const mt_aead *k, const uint8_t iv[MT_AEAD_IV], const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
                  const uint8_t tag[MT_AEAD_TAG]);

#endif
