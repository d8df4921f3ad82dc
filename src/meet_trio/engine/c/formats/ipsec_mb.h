/* AES-GCM of Intel's Multi-Buffer Crypto library, libipsec-mb (NIST SP 800-38D; tags of 16 bytes, IVs of 12).
 *
 * The library is opened at run time, so a program that was built with its header also runs on a machine without it. A build
 * without the header, with MT_WITHOUT_IPSEC_MB, or for another processor than x86-64, never uses it.
 *
 * It is used only where the processor has AES, PCLMULQDQ and AVX2, and the kernel keeps their registers. The library does not ask
 * about the kernel by itself. Its self-test runs when it is opened, and must pass.
 */
#ifndef MT_FORMATS_IPSEC_MB_H
#define MT_FORMATS_IPSEC_MB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  bool usable;
  char text[160]; /* usable: name, version and processor extensions. Otherwise: why it is not */
} mt_ipsec_mb_state;

/* Opens the library at the first call in the process; any thread may call. It stays open. The first call takes milliseconds. */
const mt_ipsec_mb_state *mt_ipsec_mb_open(void);

typedef struct mt_ipsec_mb_functions mt_ipsec_mb_functions;

typedef struct {  /* zeros: no key */
  void *expanded; /* round keys and the hash key's powers, 1 KB of which a packet reads some; it begins with a cache line */
  const mt_ipsec_mb_functions *functions;
} mt_ipsec_mb_key;

/* `len`: 16 or 32 bytes. False: another length, no memory, or the library cannot be used. Then there is no key. */
bool mt_ipsec_mb_key_init(mt_ipsec_mb_key *k, const uint8_t *key, size_t len);
void mt_ipsec_mb_key_end(mt_ipsec_mb_key *k); /* wipes it; without a key it does nothing */
/* A packet is about to be encrypted. Without a key it does nothing. */
void mt_ipsec_mb_fetch(const mt_ipsec_mb_key *k);

/* Both work in place and write the right tag. The caller compares it with the received one. */
void mt_ipsec_mb_encrypt(const mt_ipsec_mb_key *k, const uint8_t iv[12], const uint8_t *aad, size_t aad_len, uint8_t *data,
                         size_t len, uint8_t tag[16]);
void mt_ipsec_mb_decrypt(const mt_ipsec_mb_key *k, const uint8_t iv[12], const uint8_t *aad, size_t aad_len, uint8_t *data,
                         size_t len, uint8_t tag[16]);

#endif
