/* STUN: the vectors of RFC 5769, answers checked by the parser and against the vectors, every
 * truncation, every flipped bit, and attributes that must be ignored because they are not authenticated. */
#include "formats/stun.c"

#include "check.h"

#include <arpa/inet.h>

static const char password[] = "VOkJxbRl1RmTxUk/WvJxBt";

/* RFC 5769 sections 2.1, 2.2, 2.3 */
static const char request_hex[] =
    "00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74 00240004 6e0001ff"
    "80290008 932ff9b151263b36 00060009 6576746a3a68367659 202020 00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004 e57a3bcf";
static const char response4_hex[] =
    "0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220 00200008 0001a147e112a643"
    "00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96";
static const char response6_hex[] =
    "01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220"
    "00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9 00080014 a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004 c8fb0b4c";

static bool integrity(bytes b, const mt_stun *m, const char *key) {
  return mt_stun_check_integrity(b.p, b.n, m, (const uint8_t *)key, strlen(key));
}

static void test_vectors(void) {
  mt_stun m;
  bytes b = bytes_hex(request_hex);
  CHECK(mt_stun_parse_untrusted(b.p, b.n, &m));
  CHECK(m.type == 1 && memcmp(m.transaction, b.p + 8, 12) == 0);
  CHECK(m.username_len == 9 && memcmp(m.username, "evtj:h6vY", 9) == 0 && m.local_ufrag_len == 4);
  CHECK(m.has_priority && m.priority == 0x6e0001ff && m.has_fingerprint && !m.use_candidate);
  CHECK(m.ice_controlled && !m.ice_controlling && m.tie_breaker == UINT64_C(0x932ff9b151263b36));
  CHECK(m.unknown_required == 0);
  CHECK(integrity(b, &m, password));
  CHECK(!integrity(b, &m, "VOkJxbRl1RmTxUk/WvJxBu"));
  CHECK(!integrity(b, &m, ""));
  CHECK(!mt_stun_check_integrity(b.p, m.integrity_offset + 23, &m, (const uint8_t *)password, strlen(password)));
  free(b.p);

  const char *responses[] = {response4_hex, response6_hex};
  for (unsigned i = 0; i < 2; i++) {
    b = bytes_hex(responses[i]);
    CHECK(mt_stun_parse_untrusted(b.p, b.n, &m) && m.type == 0x0101 && m.has_fingerprint && integrity(b, &m, password));
    free(b.p);
  }
}

static void test_crc(void) { CHECK(crc32_of((const uint8_t *)"123456789", 9) == 0xcbf43926); }

static void test_truncated_and_altered(void) {
  bytes good = bytes_hex(request_hex);
  mt_stun m;
  for (size_t n = 0; n < good.n; n++) {
    bytes cut = bytes_copy(good.p, n);
    CHECK(!mt_stun_parse_untrusted(cut.p, cut.n, &m));
    free(cut.p);
    if (n < HEADER || n % 4) continue;
    cut = bytes_copy(good.p, n); /* with a correct length field: attributes may be cut */
    mt_store16(cut.p + 2, (uint16_t)(n - HEADER));
    if (mt_stun_parse_untrusted(cut.p, cut.n, &m)) CHECK(n == good.n - 8 || !integrity(cut, &m, password));
    free(cut.p);
  }
  for (size_t bit = 0; bit < 8 * good.n; bit++) { /* FINGERPRINT detects every single flipped bit, or the length does */
    bytes bad = bytes_copy(good.p, good.n);
    bad.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    bool parsed = mt_stun_parse_untrusted(bad.p, bad.n, &m);
    CHECK(!parsed || !m.has_fingerprint);
    if (bit < 8 * (good.n - 8)) CHECK(!parsed || !integrity(bad, &m, password));
    free(bad.p);
  }
  free(good.p);
}

static bytes message(const char *attributes) {
  char hex[2048];
  bytes body = bytes_hex(attributes);
  snprintf(hex, sizeof hex, "0001%04zx 2112a442 000102030405060708090a0b %s", body.n, attributes);
  free(body.p);
  return bytes_hex(hex);
}

static bool parses(const char *attributes, mt_stun *m) {
  bytes b = message(attributes);
  bool ok = mt_stun_parse_untrusted(b.p, b.n, m);
  m->username = NULL; /* it pointed into b */
  free(b.p);
  return ok;
}

#define INTEGRITY "00080014 0000000000000000000000000000000000000000"

static void test_attributes(void) {
  mt_stun m;
  CHECK(parses("", &m) && m.type == 1 && !m.integrity_offset);
  CHECK(parses("00060000", &m) && m.username_len == 0 && m.local_ufrag_len == 0);
  CHECK(parses("00060003 616263 00", &m) && m.username_len == 3 && m.local_ufrag_len == 0);
  CHECK(parses("00060001 3a 000000", &m) && m.username_len == 1 && m.local_ufrag_len == 0);
  CHECK(parses("00250000", &m) && m.use_candidate);
  CHECK(parses("802a0008 0000000000000001", &m) && m.ice_controlling && m.tie_breaker == 1);
  CHECK(parses("00240004 00000001 00240004 00000002", &m) && m.priority == 1); /* the first one counts */
  CHECK(parses("c0570004 00000000", &m) && !m.unknown_required);               /* optional: network cost */
  CHECK(parses("00030004 00000000 00420000", &m) && m.unknown_required == 0x0003);
  CHECK(parses("00140004 61616161 00150004 62626262 001c0004 00000000", &m) && !m.unknown_required);
  /* sizes that are wrong */
  CHECK(!parses("00240003 000000 00", &m));
  CHECK(!parses("00250004 00000000", &m));
  CHECK(!parses("802a0004 00000000", &m));
  CHECK(!parses("80290009 000000000000000000 000000", &m));
  CHECK(!parses("00080010 00000000000000000000000000000000", &m));
  CHECK(!parses("00060005 61616161", &m)); /* longer than the message */
  CHECK(!parses("0006ffff", &m));
  CHECK(!parses("80280008 0000000000000000", &m));
  CHECK(!parses("80280004 00000000", &m));
  /* After MESSAGE-INTEGRITY nothing is authenticated, so all of it is ignored, even a wrong size. */
  CHECK(parses(INTEGRITY "00250000 00240004 00000001 7fff0000", &m) && m.integrity_offset == 20 && !m.use_candidate &&
        !m.has_priority && !m.unknown_required);
  CHECK(parses(INTEGRITY "00250004 00000000" INTEGRITY, &m) && m.integrity_offset == 20);
}

static void test_header(void) {
  mt_stun m;
  bytes b = message("");
  CHECK(mt_stun_parse_untrusted(b.p, b.n, &m));
  b.p[0] = 0x40;
  CHECK(!mt_stun_parse_untrusted(b.p, b.n, &m));
  b.p[0] = 0;
  b.p[4] = 0;
  CHECK(!mt_stun_parse_untrusted(b.p, b.n, &m));
  b.p[4] = 0x21;
  b.p[3] = 4;
  CHECK(!mt_stun_parse_untrusted(b.p, b.n, &m));
  free(b.p);
  b = message("80280004 00000000 00250000"); /* FINGERPRINT is right, but not the last attribute */
  mt_store32(b.p + HEADER + 4, fingerprint_of(b.p, HEADER));
  CHECK(!mt_stun_parse_untrusted(b.p, b.n, &m));
  free(b.p);
  b = message("00060204"); /* USERNAME of 516 bytes: complete, but longer than ICE allows */
  uint8_t long_message[HEADER + 4 + 516] = {0};
  memcpy(long_message, b.p, b.n);
  free(b.p);
  mt_store16(long_message + 2, sizeof long_message - HEADER);
  CHECK(!mt_stun_parse_untrusted(long_message, sizeof long_message, &m));
  mt_store16(long_message + HEADER + 2, 513);
  CHECK(mt_stun_parse_untrusted(long_message, sizeof long_message, &m) && m.username_len == 513);
}

/* The parser accepts the writer's output, and its XOR-MAPPED-ADDRESS is that of RFC 5769. */
static void test_success(void) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(32853)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(32853)};
  struct sockaddr_in6 mapped = v6;
  CHECK(inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr) == 1);
  CHECK(inet_pton(AF_INET6, "2001:db8:1234:5678:11:2233:4455:6677", &v6.sin6_addr) == 1);
  CHECK(inet_pton(AF_INET6, "::ffff:192.0.2.1", &mapped.sin6_addr) == 1);
  bytes request = bytes_hex(request_hex);
  mt_stun q, a;
  CHECK(mt_stun_parse_untrusted(request.p, request.n, &q));
  const struct {
    const struct sockaddr *address;
    const char *attribute;
  } cases[] = {
      {(struct sockaddr *)&v4, "00200008 0001a147e112a643"},
      {(struct sockaddr *)&v6, "00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9"},
      {(struct sockaddr *)&mapped, "00200008 0001a147e112a643"},
  };
  for (unsigned i = 0; i < 3; i++) {
    uint8_t out[MT_STUN_MAX_RESPONSE];
    size_t n = mt_stun_write_success(out, &q, cases[i].address, (const uint8_t *)password, strlen(password));
    bytes b = bytes_copy(out, n);
    CHECK(mt_stun_parse_untrusted(b.p, b.n, &a) && a.type == 0x0101 && a.has_fingerprint);
    CHECK(memcmp(a.transaction, q.transaction, 12) == 0 && integrity(b, &a, password));
    CHECK(memory_equals(b.p + HEADER, a.integrity_offset - HEADER, cases[i].attribute));
    free(b.p);
  }
  free(request.p);
}

static void test_errors(void) {
  static const struct {
    uint16_t code;
    const char *attributes;
  } cases[] = {
      {400, "0009000f 00000400 426164205265717565737400"},
      {401, "00090013 00000401 556e61757468656e7469636174656400"},
      {420, "00090015 00000414 556e6b6e6f776e20417474726962757465000000 000a0002 7abc0000"},
      {487, "00090011 00000457 526f6c6520436f6e666c696374000000"},
  };
  mt_stun q, a;
  CHECK(parses("7abc0000", &q) && q.unknown_required == 0x7abc);
  for (unsigned i = 0; i < 4; i++) {
    for (unsigned with = 0; with < 2; with++) {
      uint8_t out[MT_STUN_MAX_RESPONSE];
      size_t n = mt_stun_write_error(out, &q, cases[i].code, with ? (const uint8_t *)password : NULL, strlen(password));
      bytes b = bytes_copy(out, n);
      CHECK(n <= sizeof out && mt_stun_parse_untrusted(b.p, b.n, &a) && a.type == 0x0111 && a.has_fingerprint);
      CHECK(with ? integrity(b, &a, password) : !a.integrity_offset);
      CHECK(memory_equals(b.p + HEADER, (with ? a.integrity_offset : n - 8) - HEADER, cases[i].attributes));
      free(b.p);
    }
  }
}

int main(void) {
  test_vectors();
  test_crc();
  test_truncated_and_altered();
  test_attributes();
  test_header();
  test_success();
  test_errors();
  return check_result();
}
