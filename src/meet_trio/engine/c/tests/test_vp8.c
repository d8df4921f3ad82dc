/* VP8 descriptors in all 32 layouts, rewritten and cut short; key frame detection for VP8 and H.264. */
#include "formats/vp8.c"

#include "check.h"

static bool parse_hex(const char *hex, mt_vp8 *d) {
  bytes b = bytes_hex(hex);
  bool ok = mt_vp8_parse_untrusted(b.p, b.n, d);
  free(b.p);
  return ok;
}

static void test_descriptor(void) {
  mt_vp8 d;
  CHECK(parse_hex("10 01", &d) && d.descriptor_len == 1 && d.start_of_partition && !d.keyframe && !d.has_picture_id);
  CHECK(parse_hex("90 80 05 01", &d) && d.descriptor_len == 3 && d.has_picture_id && !d.long_picture_id && d.picture_id == 5);
  CHECK(parse_hex("90 e0 9234 56 a0 01", &d) && d.descriptor_len == 6 && d.long_picture_id && d.picture_id == 0x1234);
  CHECK(d.has_tl0picidx && d.tl0picidx == 0x56 && d.has_tid && d.tid == 2 && d.layer_sync && !d.has_keyidx);
  CHECK(parse_hex("b0 10 1f 01", &d) && d.has_keyidx && d.keyidx == 31 && !d.has_tid && d.non_reference);
  CHECK(parse_hex("00 01", &d) && !d.start_of_partition && !d.non_reference);
  CHECK(parse_hex("13 00", &d) && d.partition == 3 && !d.keyframe);
}

static void test_keyframe(void) {
  mt_vp8 d;
  CHECK(parse_hex("10 500100 9d012a 8042 6841 ff", &d) && d.keyframe && d.width == 0x280 && d.height == 0x168);
  CHECK(parse_hex("90 80 01 500100 9d012a 8002 6801", &d) && d.keyframe && d.width == 640 && d.height == 360);
  CHECK(parse_hex("10 500100 9d012a 8002 68", &d) && d.keyframe && d.width == 0);   /* cut */
  CHECK(parse_hex("10 500100 9d012b 8002 6801", &d) && d.keyframe && d.width == 0); /* no start code */
  CHECK(parse_hex("10 510100 9d012a 8002 6801", &d) && !d.keyframe && d.width == 0);
  CHECK(parse_hex("00 500100 9d012a 8002 6801", &d) && !d.keyframe);
  CHECK(parse_hex("11 500100 9d012a 8002 6801", &d) && !d.keyframe);
}

static void test_layouts(void) {
  for (unsigned flags = 0; flags < 32; flags++) {
    uint8_t p[16] = {0x90, (uint8_t)((flags & 15) << 4)};
    size_t n = 2;
    bool wide = flags & 16;
    if (p[1] & 0x80) {
      p[n++] = wide ? 0xaa : 0x2a;
      if (wide) p[n++] = 0xbb;
    }
    if (p[1] & 0x40) p[n++] = 0xcc;
    if (p[1] & 0x30) p[n++] = 0x7d;
    p[n] = 1;
    mt_vp8 d, again;
    for (size_t cut = 0; cut <= n; cut++) { /* n bytes are a descriptor without payload */
      bytes b = bytes_copy(p, cut);
      CHECK(!mt_vp8_parse_untrusted(b.p, b.n, &d));
      free(b.p);
    }
    bytes b = bytes_copy(p, n + 1);
    CHECK(mt_vp8_parse_untrusted(b.p, b.n, &d) && d.descriptor_len == n);
    mt_vp8_rewrite(b.p, &d, 0x5678, 0x9a);
    CHECK(mt_vp8_parse_untrusted(b.p, b.n, &again) && again.descriptor_len == n);
    if (d.has_picture_id) CHECK(again.picture_id == (wide ? 0x5678 : 0x78) && again.long_picture_id == wide);
    if (d.has_tl0picidx) CHECK(again.tl0picidx == 0x9a);
    CHECK(again.tid == d.tid && again.keyidx == d.keyidx && again.layer_sync == d.layer_sync);
    CHECK(b.p[n] == 1 && b.p[0] == p[0] && b.p[1] == p[1]);
    mt_vp8_rewrite(b.p, &d, d.picture_id, d.tl0picidx);
    CHECK(memcmp(b.p, p, n + 1) == 0);
    free(b.p);
  }
}

typedef bool keyframe_fn(const uint8_t *payload, size_t n);

static void check_keyframe(keyframe_fn *is_keyframe, const char *hex, bool want) {
  bytes b = bytes_hex(hex);
  bool got = is_keyframe(b.p, b.n);
  CHECK(got == want);
  if (got != want) fprintf(stderr, "  %s\n", hex);
  for (size_t n = 0; n < b.n; n++) {
    bytes cut = bytes_copy(b.p, n);
    if (is_keyframe(cut.p, cut.n)) CHECK(want); /* a cut may hide a key frame, but never invent one */
    free(cut.p);
  }
  free(b.p);
}

static void test_h264(void) {
  check_keyframe(mt_h264_is_keyframe_untrusted, "65 88", true);
  check_keyframe(mt_h264_is_keyframe_untrusted, "67 42", true);
  check_keyframe(mt_h264_is_keyframe_untrusted, "68 ce", false);
  check_keyframe(mt_h264_is_keyframe_untrusted, "41 9a", false);
  check_keyframe(mt_h264_is_keyframe_untrusted, "78 0002 67aa 0002 68bb", true);
  check_keyframe(mt_h264_is_keyframe_untrusted, "78 0002 09aa 0002 65bb", true);
  check_keyframe(mt_h264_is_keyframe_untrusted, "78 0002 09aa 0002 41bb", false);
  check_keyframe(mt_h264_is_keyframe_untrusted, "78 0000 67aa", false);
  check_keyframe(mt_h264_is_keyframe_untrusted, "78 0009 67aa", false);
  check_keyframe(mt_h264_is_keyframe_untrusted, "7c 85", true);
  check_keyframe(mt_h264_is_keyframe_untrusted, "7c 05", false);
  check_keyframe(mt_h264_is_keyframe_untrusted, "7c 81", false);
}

int main(void) {
  test_descriptor();
  test_keyframe();
  test_layouts();
  test_h264();
  return check_result();
}
