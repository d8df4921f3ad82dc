/* Proves that the oracles of the core's fuzzer work: this program breaks one rule, in place of the core, and an oracle ends it.
 *
 * Usage: oracles none|rtp|rtcp|null|work|session
 */
#include "base/bytes.h"
#include "../../fuzz/core/oracles.h"
#include "base/bytes.h"

#include <string.h>

static mt_srtp *session(uint8_t key) {
  uint8_t tx[MT_SRTP_MAX_KEYING] = {key}, rx[MT_SRTP_MAX_KEYING] = {0};
  mt_srtp *s = key ? mt_srtp_new(MT_SRTP_AEAD_AES_128_GCM, MT_AEAD_LIBCRYPTO, tx, rx) : mt_srtp_new_null();
  if (!s) exit(2);
  return s;
}

static void rtp(mt_srtp *s, uint32_t ssrc, uint64_t index, const char *text) {
  uint8_t p[64] = {0x80, 96};
  mt_store16(p + 2, (uint16_t)index);
  mt_store32(p + 8, ssrc);
  if (!mt_srtp_protect(s, index, p, 12, 0, (const uint8_t *)text, strlen(text))) exit(2);
}

static void rtcp(mt_srtp *s, uint32_t index, uint8_t what) {
  uint8_t p[64] = {0x80, 201, 0, 2, 0, 0, 0, 1, what};
  if (!mt_srtcp_protect(s, index, p, 12, sizeof p)) exit(2);
}

static void allowed(mt_srtp *one, mt_srtp *other, mt_srtp *null) {
  rtp(one, 1, 7, "text");
  rtp(one, 1, 7, "text");      /* the same again */
  rtp(one, 2, 7, "other");     /* another SSRC */
  rtp(other, 1, 7, "other");   /* another session */
  rtp(one, 1, 65543, "other"); /* a roll-over later */
  rtcp(one, 7, 1);
  rtcp(one, 8, 2);
  rtp(null, 1, 7, "text");
  if (fuzz_protected != 6 || fuzz_firsts[0] != 1 || fuzz_firsts[1] != 4) exit(2);
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "none";
  volatile unsigned turns = 0;
  fuzz_oracles_begin();
  mt_srtp *one = session(1), *other = session(2), *null = session(0);
  allowed(one, other, null);
  if (strcmp(how, "rtp") == 0) rtp(one, 1, 7, "texT");
  if (strcmp(how, "rtcp") == 0) rtcp(one, 7, 3);
  if (strcmp(how, "null") == 0) rtp(null, 1, 7, "texT");
  fuzz_work = 0;
  fuzz_allowance = 1000;
  while (turns < (strcmp(how, "work") == 0 ? 2000 : 100)) turns++;
  fuzz_allowance = UINT64_MAX;
  if (fuzz_work < 50) exit(2); /* the work is not counted */
  mt_srtp_free(one);
  mt_srtp_free(other);
  if (strcmp(how, "session") != 0) mt_srtp_free(null);
  fuzz_oracles_begin();
  mt_srtp_free(null = session(0));
  return 0;
}
