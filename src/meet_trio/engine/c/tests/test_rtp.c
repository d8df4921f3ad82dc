/* RTP: headers written and read back, both extension forms, padding, and every truncation. */
#include "formats/rtp.c"

#include "check.h"

static bool parse(bytes b, mt_rtp *h) { return mt_rtp_parse_untrusted(b.p, b.n, h); }

static bool parse_hex(const char *hex, mt_rtp *h) {
  bytes b = bytes_hex(hex);
  bool ok = parse(b, h);
  free(b.p);
  return ok;
}

static void test_fixed_header(void) {
  mt_rtp h;
  CHECK(parse_hex("80e01234 01020304 aabbccdd", &h));
  CHECK(h.marker && h.payload_type == 96 && h.sequence == 0x1234 && h.timestamp == 0x01020304 && h.ssrc == 0xaabbccdd);
  CHECK(h.header_len == 12 && h.ext_count == 0);
  CHECK(parse_hex("806f1234 01020304 aabbccdd ff", &h) && !h.marker && h.payload_type == 111 && h.header_len == 12);
  CHECK(parse_hex("82601234 01020304 aabbccdd 00000001 00000002", &h) && h.header_len == 20);
  CHECK(!parse_hex("83601234 01020304 aabbccdd 00000001 00000002", &h)); /* a CSRC is missing */
  CHECK(!parse_hex("40601234 01020304 aabbccdd", &h));                   /* version 1 */
}

static void test_extensions(void) {
  mt_rtp h;
  /* one-byte form: id 1 of 1 byte, padding, id 2 of 3 bytes; a CSRC comes before them */
  CHECK(parse_hex("91601234 01020304 aabbccdd 00000001 bede0002 10aa00 22bbccdd 00 ff", &h));
  CHECK(h.ext_count == 2 && h.header_len == 28);
  CHECK(h.ext[0].id == 1 && h.ext[0].len == 1 && h.ext[0].offset == 21);
  CHECK(h.ext[1].id == 2 && h.ext[1].len == 3 && h.ext[1].offset == 24);
  CHECK(mt_rtp_find_ext(&h, 2) == &h.ext[1] && mt_rtp_find_ext(&h, 3) == NULL);
  /* ids 15, and 0 with a length, end the list */
  CHECK(parse_hex("90601234 01020304 aabbccdd bede0002 10aaf0ff 20bb0000", &h) && h.ext_count == 1 && h.header_len == 24);
  CHECK(parse_hex("90601234 01020304 aabbccdd bede0002 10aa05ff 20bb0000", &h) && h.ext_count == 1);
  /* two byte form: an empty value, padding, 17 bytes, id above 14 */
  CHECK(parse_hex("90601234 01020304 aabbccdd 10000006 0100 00 c811 0102030405060708090a0b0c0d0e0f1011 0000", &h));
  CHECK(h.ext_count == 2 && h.ext[0].id == 1 && h.ext[0].len == 0 && h.ext[1].id == 200 && h.ext[1].len == 17);
  CHECK(h.ext[1].offset == 21);
  CHECK(parse_hex("90601234 01020304 aabbccdd 100f0001 01020304", &h) && h.ext_count == 1); /* appbits */
  /* another profile's extension is skipped */
  CHECK(parse_hex("90601234 01020304 aabbccdd abac0001 ffffffff", &h) && h.ext_count == 0 && h.header_len == 20);
  CHECK(parse_hex("90601234 01020304 aabbccdd bede0000", &h) && h.ext_count == 0 && h.header_len == 16);
  /* values that exceed the extension, an extension that exceeds the packet */
  CHECK(!parse_hex("90601234 01020304 aabbccdd bede0001 14aabbcc", &h));
  CHECK(!parse_hex("90601234 01020304 aabbccdd 10000001 0103aabb", &h));
  CHECK(!parse_hex("90601234 01020304 aabbccdd 10000001 00000001", &h)); /* an id without a length */
  CHECK(!parse_hex("90601234 01020304 aabbccdd bede0002 10aa0000", &h));
  CHECK(!parse_hex("90601234 01020304 aabbccdd bede", &h));
  /* more than the maximum: the first sixteen are kept */
  CHECK(parse_hex("90601234 01020304 aabbccdd 10000009"
                  "0100 0200 0300 0400 0500 0600 0700 0800 0900 0a00 0b00 0c00 0d00 0e00 0f00 1000 1100 1200",
                  &h));
  CHECK(h.ext_count == MT_RTP_MAX_EXT && h.ext[15].id == 16);
}

static void test_truncated(void) {
  bytes good = bytes_hex("92e01234 01020304 aabbccdd 00000001 00000002 bede0003 10aa0000 22bbccdd 31eeff00");
  mt_rtp h;
  CHECK(parse(good, &h) && h.ext_count == 3 && h.header_len == good.n);
  for (size_t n = 0; n < good.n; n++) {
    bytes cut = bytes_copy(good.p, n);
    CHECK(!parse(cut, &h));
    (void)mt_is_rtp_or_rtcp(cut.p, cut.n);
    (void)mt_is_rtcp(cut.p, cut.n);
    free(cut.p);
  }
  free(good.p);
  bytes big = {calloc(1, 70000), 70000};
  big.p[0] = 0x80;
  CHECK(!parse(big, &h)); /* no datagram is this long */
  free(big.p);
}

static void test_kind(void) {
  CHECK(mt_is_rtp_or_rtcp((const uint8_t *)"\x80\x60", 2) && mt_is_rtp_or_rtcp((const uint8_t *)"\xbf\x60", 2));
  CHECK(!mt_is_rtp_or_rtcp((const uint8_t *)"\x7f\x60", 2) && !mt_is_rtp_or_rtcp((const uint8_t *)"\xc0\x60", 2));
  CHECK(!mt_is_rtp_or_rtcp((const uint8_t *)"\x80", 1) && !mt_is_rtp_or_rtcp(NULL, 0));
  for (unsigned type = 0; type < 256; type++) {
    uint8_t p[2] = {0x80, (uint8_t)type};
    CHECK(mt_is_rtcp(p, 2) == ((type & 0x7f) >= 64 && (type & 0x7f) <= 95));
  }
  CHECK(mt_is_rtcp((const uint8_t *)"\x80\xc8", 2) && !mt_is_rtcp((const uint8_t *)"\x80", 1));
}

static void test_padding(void) {
  static const struct {
    const char *tail;
    bool ok;
    size_t len;
  } cases[] = {
      {"010203", true, 0}, {"0a0b01", true, 2}, {"0a0b02", true, 1}, {"0a0b00", false, 0}, {"0a0b04", false, 0}, {"", false, 0},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    char hex[64];
    mt_rtp h;
    size_t len = 99;
    snprintf(hex, sizeof hex, "a0601234 01020304 aabbccdd %s", cases[i].tail);
    bytes b = bytes_hex(hex);
    CHECK(parse(b, &h));
    CHECK(mt_rtp_payload_untrusted(b.p, b.n, &h, &len) == cases[i].ok);
    if (cases[i].ok) CHECK(len == cases[i].len);
    b.p[0] = 0x80;
    CHECK(mt_rtp_payload_untrusted(b.p, b.n, &h, &len) && len == b.n - 12);
    CHECK(!mt_rtp_payload_untrusted(b.p, 11, &h, &len));
    free(b.p);
  }
}

static void test_write(void) {
  uint8_t out[MT_RTP_MAX_HEADER];
  uint16_t offsets[3] = {9, 9, 9};
  static const uint8_t value[20] = "abcdefghijklmnopqrs";
  CHECK(mt_rtp_write_header(out, 12, 96, true, 0x1234, 0x01020304, 0xaabbccdd, NULL, 0, NULL) == 12);
  CHECK(memory_equals(out, 12, "80e01234 01020304 aabbccdd"));
  CHECK(mt_rtp_write_header(out, 11, 96, true, 0, 0, 0, NULL, 0, NULL) == 0);

  mt_rtp_ext_out ext[3] = {{1, 1, value}, {0, 3, value}, {14, 2, value}};
  size_t n = mt_rtp_write_header(out, sizeof out, 111, false, 0x1234, 0x01020304, 0xaabbccdd, ext, 3, offsets);
  CHECK(memory_equals(out, n, "906f1234 01020304 aabbccdd bede0002 1061 e16162 000000"));
  CHECK(offsets[0] == 17 && offsets[1] == 0 && offsets[2] == 19);

  for (size_t cap = 0; cap < n; cap++) {
    bytes b = bytes_copy(out, cap);
    CHECK(mt_rtp_write_header(b.p, cap, 111, false, 1, 2, 3, ext, 3, offsets) == 0);
    free(b.p);
  }

  ext[0].id = 0; /* only skipped entries: no extension at all */
  ext[2].id = 0;
  CHECK(mt_rtp_write_header(out, sizeof out, 111, false, 1, 2, 3, ext, 3, offsets) == 12 && out[0] == 0x80);
  CHECK(offsets[0] == 0 && offsets[2] == 0);

  ext[0] = (mt_rtp_ext_out){15, 1, value}; /* each of these requires the two-byte form */
  ext[1] = (mt_rtp_ext_out){2, 17, value};
  ext[2] = (mt_rtp_ext_out){3, 0, NULL};
  for (unsigned i = 0; i < 3; i++) {
    mt_rtp h;
    n = mt_rtp_write_header(out, sizeof out, 96, false, 1, 2, 3, ext + i, 1, offsets);
    CHECK(mt_load16(out + 12) == PROFILE_TWO_BYTE && n % 4 == 0);
    CHECK(mt_rtp_parse_untrusted(out, n, &h) && h.ext_count == 1 && h.header_len == n);
    CHECK(h.ext[0].id == ext[i].id && h.ext[0].len == ext[i].len && h.ext[0].offset == offsets[0]);
    CHECK(memcmp(out + offsets[0], value, ext[i].len) == 0);
  }

  /* Sixteen of the longest one-byte values fit MT_RTP_MAX_HEADER. A smaller buffer is refused and not written past its end. */
  mt_rtp_ext_out many[16];
  for (unsigned i = 0; i < 16; i++) many[i] = (mt_rtp_ext_out){(uint8_t)(i + 1), 16, value};
  n = mt_rtp_write_header(out, sizeof out, 96, false, 1, 2, 3, many, 16, NULL);
  CHECK(n == MT_RTP_MAX_HEADER);
  for (size_t cap = 0; cap < n; cap++) {
    bytes b = bytes_copy(out, cap);
    CHECK(mt_rtp_write_header(b.p, cap, 96, false, 1, 2, 3, many, 16, NULL) == 0);
    free(b.p);
  }
}

int main(void) {
  test_fixed_header();
  test_extensions();
  test_truncated();
  test_kind();
  test_padding();
  test_write();
  return check_result();
}
