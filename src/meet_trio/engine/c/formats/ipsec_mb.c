/* See ipsec_mb.h.
 *
 * The library's functions for one buffer are used, not its queues of jobs. Its manager (IMB_MGR) is needed only to find those that
 * suit the processor: it is made, read and freed when the library is opened.
 */
#include "formats/ipsec_mb.h"

#include <pthread.h>
#include <stdio.h>

static mt_ipsec_mb_state state; /* written once, by `load` */

#define EXPLAIN(...) snprintf(state.text, sizeof state.text, __VA_ARGS__)

#if defined(__x86_64__) && !defined(MT_WITHOUT_IPSEC_MB) && __has_include(<intel-ipsec-mb.h>)

#define LINUX /* its key data are aligned, as in the library itself */
#define NO_COMPAT_IMB_API_053
#include "base/lines.h"

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_LEN = 16 }; /* bytes */

struct mt_ipsec_mb_functions {
  aes_gcm_pre_t expand;
  aes_gcm_enc_dec_t encrypt, decrypt;
  unsigned touched; /* cache lines of an expanded key, from its beginning, that a packet of media reads */
};

static mt_ipsec_mb_functions gcm_128, gcm_256; /* written once, by `load` */

/* The compiler's function also asks whether the kernel keeps the registers. */
static bool has_avx2(void) {
  return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("avx2");
}

static bool has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* `function` is the address of a pointer to a function. */
static bool find(void *library, const char *name, void *function) {
  void *found = dlsym(library, name);
  memcpy(function, &found, sizeof found);
  return found != NULL;
}

/* Takes the functions that suit the processor, if the self-test passes. */
static void take_functions(void *library) {
  bool avx512 = has_avx512();
  const char *(*version)(void);
  IMB_MGR *(*new_manager)(uint64_t);
  void (*free_manager)(IMB_MGR *), (*choose)(IMB_MGR *);
  if (!find(library, "imb_get_version_str", &version) || !find(library, "alloc_mb_mgr", &new_manager) ||
      !find(library, "free_mb_mgr", &free_manager) || !find(library, avx512 ? "init_mb_mgr_avx512" : "init_mb_mgr_avx2", &choose)) {
    EXPLAIN("libipsec-mb lacks a function");
    return;
  }
  IMB_MGR *m = new_manager(0);
  if (!m) {
    EXPLAIN("no memory for libipsec-mb");
    return;
  }
  choose(m); /* and test */
  if (m->features & IMB_FEATURE_SELF_TEST_PASS) {
    bool vaes = m->features & IMB_FEATURE_VAES && m->features & IMB_FEATURE_VPCLMULQDQ;
    const struct gcm_key_data *k = NULL;
    size_t powers = avx512 && vaes ? sizeof k->ghash_keys.vaes_avx512 : sizeof k->ghash_keys.avx2_avx512;
    unsigned touched = mt_lines(offsetof(struct gcm_key_data, ghash_keys) + powers);
    gcm_128 = (mt_ipsec_mb_functions){m->gcm128_pre, m->gcm128_enc, m->gcm128_dec, touched};
    gcm_256 = (mt_ipsec_mb_functions){m->gcm256_pre, m->gcm256_enc, m->gcm256_dec, touched};
    state.usable = true;
    EXPLAIN("libipsec-mb %s, %s", version(), !avx512 ? "AVX2" : vaes ? "AVX-512 with VAES" : "AVX-512");
  } else {
    EXPLAIN("the self-test of libipsec-mb %s has failed", version());
  }
  free_manager(m);
}

static void load(void) {
  if (!has_avx2()) {
    EXPLAIN("this processor lacks AES instructions or AVX2");
    return;
  }
  char file[32];
  snprintf(file, sizeof file, "libIPSec_MB.so.%u", (unsigned)IMB_VERSION_NUM >> 16); /* the version that the header describes */
  void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library) take_functions(library);
  else EXPLAIN("%s", dlerror());
}

bool mt_ipsec_mb_key_init(mt_ipsec_mb_key *k, const uint8_t *key, size_t len) {
  *k = (mt_ipsec_mb_key){0};
  if (!mt_ipsec_mb_open()->usable || (len != IMB_GCM_128_KEY_LEN && len != IMB_GCM_256_KEY_LEN)) return false;
  k->expanded = mt_new_in_lines(sizeof(struct gcm_key_data));
  if (!k->expanded) return false;
  k->functions = len == IMB_GCM_128_KEY_LEN ? &gcm_128 : &gcm_256;
  k->functions->expand(key, k->expanded);
  return true;
}

void mt_ipsec_mb_key_end(mt_ipsec_mb_key *k) {
  if (k->expanded) OPENSSL_cleanse(k->expanded, sizeof(struct gcm_key_data));
  free(k->expanded);
  *k = (mt_ipsec_mb_key){0};
}

void mt_ipsec_mb_fetch(const mt_ipsec_mb_key *k) {
  if (k->expanded) mt_fetch(k->expanded, k->functions->touched);
}

void mt_ipsec_mb_encrypt(const mt_ipsec_mb_key *k, const uint8_t iv[12], const uint8_t *aad, size_t aad_len, uint8_t *data,
                         size_t len, uint8_t tag[16]) {
  struct gcm_context_data context;
  k->functions->encrypt(k->expanded, &context, data, data, len, iv, aad, aad_len, tag, TAG_LEN);
}

void mt_ipsec_mb_decrypt(const mt_ipsec_mb_key *k, const uint8_t iv[12], const uint8_t *aad, size_t aad_len, uint8_t *data,
                         size_t len, uint8_t tag[16]) {
  struct gcm_context_data context;
  k->functions->decrypt(k->expanded, &context, data, data, len, iv, aad, aad_len, tag, TAG_LEN);
}

#else

static void load(void) { EXPLAIN("this build was made without libipsec-mb"); }

bool mt_ipsec_mb_key_init(mt_ipsec_mb_key *k, const uint8_t *key, size_t len) {
  (void)key, (void)len;
  *k = (mt_ipsec_mb_key){0};
  return false;
}

/* Nobody has a key. */
void mt_ipsec_mb_key_end(mt_ipsec_mb_key *k) { (void)k; }

void mt_ipsec_mb_fetch(const mt_ipsec_mb_key *k) { (void)k; }

void mt_ipsec_mb_encrypt(const mt_ipsec_mb_key *k, const uint8_t iv[12], const uint8_t *aad, size_t aad_len, uint8_t *data,
                         size_t len, uint8_t tag[16]) {
  (void)k, (void)iv, (void)aad, (void)aad_len, (void)data, (void)len, (void)tag;
}

void mt_ipsec_mb_decrypt(const mt_ipsec_mb_key *k, const uint8_t iv[12], const uint8_t *aad, size_t aad_len, uint8_t *data,
                         size_t len, uint8_t tag[16]) {
  (void)k, (void)iv, (void)aad, (void)aad_len, (void)data, (void)len, (void)tag;
}

#endif

const mt_ipsec_mb_state *mt_ipsec_mb_open(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return &state;
}
