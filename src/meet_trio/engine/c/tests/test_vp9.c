/* VP9 descriptors in all layouts, rewritten and cut short, and key frame detection. */
#include "formats/vp9.c"

#include "check.h"

static bool parse_hex(const char *hex, mt_vp9 *d) {
  bytes b = bytes_hex(hex);
  bool ok = mt_vp9_parse_untrusted(b.p, b.n, d);
  free(b.p);
  return ok;
}

static void test_fields(void) {
  mt_vp9 d;
  CHECK(parse_hex("0c 00", &d) && d.descriptor_len == 1 && d.begins && d.ends && !d.has_picture_id && !d.has_layers);
  CHECK(parse_hex("88 05 00", &d) && d.has_picture_id && !d.long_picture_id && d.picture_id == 5);
  CHECK(parse_hex("a9 9234 59 56 00", &d) && d.long_picture_id && d.picture_id == 0x1234 && d.descriptor_len == 5);
  CHECK(d.temporal == 2 && d.switch_up && d.spatial == 4 && d.inter_layer && d.tl0picidx == 0x56 && d.not_for_upper);
  /* flexible: no TL0PICIDX, and references instead */
  CHECK(parse_hex("f4 8001 22 03 05 04 00", &d) && d.flexible && !d.has_tl0picidx && d.inter_picture && d.descriptor_len == 7);
  CHECK(d.temporal == 1 && d.spatial == 1 && !d.begins && d.ends);
}

static void test_refused(void) {
  mt_vp9 d;
  CHECK(!parse_hex("", &d));
  CHECK(!parse_hex("08", &d));                  /* no payload */
  CHECK(!parse_hex("18 00", &d));               /* flexible without picture id */
  CHECK(!parse_hex("d8 8001 03 05 07 00", &d)); /* four references */
  CHECK(!parse_hex("8a 05 18 0140 00b4", &d));  /* a structure without its group of pictures */
}

static void test_structure(void) {
  mt_vp9 d;
  /* three layers with sizes, a group of four pictures with 0, 1, 1 and 2 references */
  CHECK(parse_hex("aa 8005 00 07 58 0140 00b4 0280 0168 0500 02d0 04 00 54 01 34 02 58 0102 ff", &d));
  CHECK(d.has_structure && d.spatial_layers == 3 && d.width == 1280 && d.height == 720 && d.keyframe);
  CHECK(d.descriptor_len == 27);
  CHECK(parse_hex("8a 05 20 ff", &d) && d.spatial_layers == 2 && d.width == 0 && d.descriptor_len == 3);
}

static void test_layouts(void) {
  for (unsigned flags = 0; flags < 64; flags++) {
    uint8_t p[32] = {(uint8_t)(0x08 | (flags & 1 ? 0x80 : 0) | (flags & 2 ? 0x40 : 0) | (flags & 4 ? 0x20 : 0) |
                               (flags & 8 ? 0x10 : 0) | (flags & 16 ? 0x02 : 0))};
    size_t n = 1;
    bool wide = flags & 32;
    if (p[0] & VP9_F && !(p[0] & VP9_I)) continue;
    if (p[0] & VP9_I) {
      p[n++] = wide ? 0xaa : 0x2a;
      if (wide) p[n++] = 0xbb;
    }
    if (p[0] & VP9_L) {
      p[n++] = 0x32;
      if (!(p[0] & VP9_F)) p[n++] = 0xcc;
    }
    if (p[0] & VP9_F && p[0] & VP9_P) {
      p[n++] = 0x03;
      p[n++] = 0x04;
    }
    if (p[0] & VP9_V) {
      p[n++] = 0x08;
      p[n++] = 0x01;
      p[n++] = 0x04;
      p[n++] = 0x01;
    }
    p[n] = 1;
    mt_vp9 d, again;
    for (size_t cut = 0; cut <= n; cut++) { /* n bytes are a descriptor without payload */
      bytes b = bytes_copy(p, cut);
      CHECK(!mt_vp9_parse_untrusted(b.p, b.n, &d));
      free(b.p);
    }
    bytes b = bytes_copy(p, n + 1);
    CHECK(mt_vp9_parse_untrusted(b.p, b.n, &d) && d.descriptor_len == n);
    mt_vp9_rewrite(b.p, &d, 0x5678, 0x9a);
    CHECK(mt_vp9_parse_untrusted(b.p, b.n, &again) && again.descriptor_len == n);
    if (d.has_picture_id) CHECK(again.picture_id == (wide ? 0x5678 : 0x78) && again.long_picture_id == wide);
    if (d.has_tl0picidx) CHECK(again.tl0picidx == 0x9a);
    CHECK(again.temporal == d.temporal && again.spatial == d.spatial && again.switch_up == d.switch_up);
    mt_vp9_rewrite(b.p, &d, d.picture_id, d.tl0picidx);
    CHECK(memcmp(b.p, p, n + 1) == 0);
    free(b.p);
  }
}

static void check_keyframe(const char *hex, bool want) {
  mt_vp9 d;
  CHECK(parse_hex(hex, &d) && d.keyframe == want);
}

static void test_keyframes(void) {
  check_keyframe("08 00", true);             /* B only */
  check_keyframe("88 05 00", true);          /* short picture id */
  check_keyframe("88 8005 00", true);        /* long one */
  check_keyframe("a8 8005 00 07 00", true);  /* with layers: 0, 0 */
  check_keyframe("a8 8005 02 07 00", false); /* spatial layer 1 */
  check_keyframe("a8 8005 01 07 00", false); /* predicted from the layer below */
  check_keyframe("a8 8005 e0 07 00", true);  /* temporal layer does not matter */
  check_keyframe("c8 8005 00", false);       /* P */
  check_keyframe("80 8005 00", false);       /* not the beginning of a frame */
}

int main(void) {
  test_fields();
  test_refused();
  test_structure();
  test_layouts();
  test_keyframes();
  return check_result();
}
