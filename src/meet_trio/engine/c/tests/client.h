/* The messages of a client before media, for test programs that are clients of the core or of an engine. */
#ifndef MT_TEST_CLIENT_H
#define MT_TEST_CLIENT_H

#include "base/bytes.h"
#include "core/core.h"
#include "formats/rtcp.h"
#include "formats/rtp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

static inline void put_text(mt_text *t, const char *text) {
  t->len = (uint8_t)strlen(text);
  memcpy(t->text, text, t->len);
}

/* A connectivity check; `m` has room for 128 bytes. */
static inline size_t write_check(uint8_t *m, const char *ufrag, const char *password, const uint8_t transaction[12],
                                 bool nominate) {
  static const uint8_t head[8] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
  char name[48];
  size_t n = 20, name_len = (size_t)snprintf(name, sizeof name, "%s:x", ufrag);
  memset(m, 0, 128);
  memcpy(m, head, sizeof head);
  memcpy(m + 8, transaction, 12);
  mt_store16(m + n, 0x0006); /* USERNAME */
  mt_store16(m + n + 2, (uint16_t)name_len);
  memcpy(m + n + 4, name, name_len);
  n += 4 + (name_len + 3) / 4 * 4;
  if (nominate) {
    mt_store16(m + n, 0x0025); /* USE-CANDIDATE */
    n += 4;
  }
  mt_store16(m + 2, (uint16_t)(n + 24 - 20));
  unsigned digest_len = 20;
  mt_store16(m + n, 0x0008); /* MESSAGE-INTEGRITY */
  mt_store16(m + n + 2, 20);
  HMAC(EVP_sha1(), password, (int)strlen(password), m, n, m + n + 4, &digest_len);
  return n + 24;
}

#endif
