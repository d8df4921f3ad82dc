/* See aead.h. An EVP context keeps its expanded key: EVP_CipherInit_ex2 with an IV and a direction does not allocate. */
#include "formats/aead.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

enum { KEY_128 = 16, KEY_256 = 32 }; /* bytes */

mt_aead_library mt_aead_fastest(void) { return mt_ipsec_mb_open()->usable ? MT_AEAD_IPSEC_MB : MT_AEAD_LIBCRYPTO; }

/* ---- libcrypto ---- */

static EVP_CIPHER_CTX *evp_new(const uint8_t *key, size_t len) {
  if (len != KEY_128 && len != KEY_256) return NULL;
  EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, len == KEY_128 ? "AES-128-GCM" : "AES-256-GCM", NULL);
  EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
  bool ok = cipher && c && EVP_CipherInit_ex2(c, cipher, key, NULL, 1, NULL) == 1;
  EVP_CIPHER_free(cipher); /* the context has a reference of its own */
  if (ok) return c;
  EVP_CIPHER_CTX_free(c);
  return NULL;
}

/* Without bytes nothing is to be done. With `out` NULL they are authenticated as additional data. */
static bool evp_update(EVP_CIPHER_CTX *c, uint8_t *out, const uint8_t *in, size_t len) {
  int n;
  return len == 0 || EVP_CipherUpdate(c, out, &n, in, (int)len) == 1;
}

static bool evp_crypt(EVP_CIPHER_CTX *c, bool encrypt, const uint8_t *iv, const uint8_t *aad, size_t aad_len, uint8_t *data,
                      size_t len) {
  return EVP_CipherInit_ex2(c, NULL, NULL, iv, encrypt, NULL) == 1 && evp_update(c, NULL, aad, aad_len) &&
         evp_update(c, data, data, len);
}

static bool evp_final(EVP_CIPHER_CTX *c) {
  uint8_t none[16];
  int n;
  return EVP_CipherFinal_ex(c, none, &n) == 1;
}

static OSSL_PARAM evp_tag(uint8_t *tag) { return OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, MT_AEAD_TAG); }

static bool evp_seal(EVP_CIPHER_CTX *c, const uint8_t *iv, const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
                     uint8_t *tag) {
  OSSL_PARAM get[] = {evp_tag(tag), OSSL_PARAM_construct_end()};
  return evp_crypt(c, true, iv, aad, aad_len, data, len) && evp_final(c) && EVP_CIPHER_CTX_get_params(c, get) == 1;
}

static bool evp_open(EVP_CIPHER_CTX *c, const uint8_t *iv, const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
                     const uint8_t *tag) {
  OSSL_PARAM set[] = {evp_tag((uint8_t *)tag), OSSL_PARAM_construct_end()}; /* it is only read */
  return evp_crypt(c, false, iv, aad, aad_len, data, len) && EVP_CIPHER_CTX_set_params(c, set) == 1 && evp_final(c);
}

/* ---- either ---- */

bool mt_aead_init(mt_aead *k, mt_aead_library library, const uint8_t *key, size_t len) {
  *k = (mt_aead){0};
  if (library == MT_AEAD_IPSEC_MB) return mt_ipsec_mb_key_init(&k->ipsec_mb, key, len);
  k->evp = evp_new(key, len);
  return k->evp;
}

void mt_aead_end(mt_aead *k) {
  mt_ipsec_mb_key_end(&k->ipsec_mb);
  EVP_CIPHER_CTX_free(k->evp);
  *k = (mt_aead){0};
}

void mt_aead_fetch(const mt_aead *k) { mt_ipsec_mb_fetch(&k->ipsec_mb); }

bool mt_aead_seal(const mt_aead *k, const uint8_t iv[MT_AEAD_IV], const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
                  uint8_t tag[MT_AEAD_TAG]) {
  if (k->evp) return evp_seal(k->evp, iv, aad, aad_len, data, len, tag);
  mt_ipsec_mb_encrypt(&k->ipsec_mb, iv, aad, aad_len, data, len, tag);
  return true;
}

bool mt_aead_open(const mt_aead *k, const uint8_t iv[MT_AEAD_IV], const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
                  const uint8_t tag[MT_AEAD_TAG]) {
  bool authentic;
  if (!k->evp) {
    uint8_t right[MT_AEAD_TAG];
    for (unsigned i = 0; i < MT_AEAD_TAG; i++) right[i] = (uint8_t)~tag[i]; /* wrong, should the library write nothing */
    mt_ipsec_mb_decrypt(&k->ipsec_mb, iv, aad, aad_len, data, len, right);
    authentic = CRYPTO_memcmp(right, tag, MT_AEAD_TAG) == 0;
  } else {
    authentic = evp_open(k->evp, iv, aad, aad_len, data, len, tag);
  }
  if (!authentic && len) memset(data, 0, len);
  return authentic;
}
