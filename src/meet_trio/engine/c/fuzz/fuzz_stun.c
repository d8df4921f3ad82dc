/* STUN: parsed fields lie inside the message; the answer to an authentic message is authentic to the parser. */
#include "formats/stun.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74 00240004 6e0001ff"
    "80290008 932ff9b151263b36 00060009 6576746a3a68367659 202020 00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004 e57a3bcf",
    "00010028 2112a442 000102030405060708090a0b 00250000 802a0008 0000000000000001 00080014"
    "0000000000000000000000000000000000000000",
    "00010008 2112a442 000102030405060708090a0b 7abc0000 00060000",
    NULL,
};

static const uint8_t password[] = "VOkJxbRl1RmTxUk/WvJxBt";

/* Most mutations only break the length or FINGERPRINT: both are mended, so that the code behind them is reached. */
static void mend(uint8_t *p, size_t n) {
  if (n < HEADER) return;
  mt_store16(p + 2, (uint16_t)(n - HEADER));
  if (n >= HEADER + 8 && mt_load32(p + n - 8) == 0x80280004) mt_store32(p + n - 4, fingerprint_of(p, n - 8));
}

static void look(const uint8_t *p, size_t n) {
  mt_stun m, again;
  uint8_t out[MT_STUN_MAX_RESPONSE];
  const struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = 1};
  if (!mt_stun_parse_untrusted(p, n, &m)) return;
  if (m.username) MUST(m.username >= p + HEADER && m.username + m.username_len <= p + n);
  MUST(m.local_ufrag_len <= m.username_len && (size_t)m.integrity_offset + (m.integrity_offset ? 24 : 0) <= n);
  (void)mt_stun_check_integrity(p, n, &m, password, sizeof password - 1);
  size_t len = mt_stun_write_success(out, &m, (const struct sockaddr *)&address, password, sizeof password - 1);
  MUST(len <= sizeof out && mt_stun_parse_untrusted(out, len, &again));
  MUST(mt_stun_check_integrity(out, len, &again, password, sizeof password - 1));
  len = mt_stun_write_error(out, &m, 420, password, sizeof password - 1);
  MUST(len <= sizeof out && mt_stun_parse_untrusted(out, len, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *p = fuzz_exact(data, size);
  look(p, size);
  mend(p, size);
  look(p, size);
  free(p);
  return 0;
}
