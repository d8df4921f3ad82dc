/* Dependency Descriptors: the structures of the specification's examples, single values in place of a template's, all cuts. */
#include "formats/dependency.c"

#include "check.h"

/* Sections A.10.2.1 (frame 1, template 0) and A.10.2.2 with resolutions, as tests/support/wire/dependency.py writes them. */
static const char L1T3[] = "c00001800214eaaa44104d1410208426";
static const char L3T3[] =
    "c0000180081485214eaaaafffabcf24c30430c10aaa03fa80f24030400c1002a000a800240004000100006d549241b82b04a094106e0ac12"
    "82503fea0001974ca864330e222222eca8655304224230eca87753013f00b3027f016704ff02cf";

static bool parse_hex(const char *hex, mt_dd_structure *s, mt_dd *d) {
  bytes b = bytes_hex(hex);
  mt_dd_structure brought;
  bool ok = mt_dd_parse_untrusted(b.p, b.n, s, d, &brought);
  if (ok && d->has_structure) *s = brought;
  free(b.p);
  return ok;
}

static void test_structure(void) {
  mt_dd_structure s = {0};
  mt_dd d;
  CHECK(parse_hex(L1T3, &s, &d) && d.begins && d.ends && d.frame == 1 && d.template_id == 0);
  CHECK(d.has_structure && d.known && d.spatial == 0 && d.temporal == 0 && d.reach == 0);
  CHECK(s.template_count == 5 && s.target_count == 3 && s.chain_count == 1 && s.width == 0);
  CHECK(mt_dd_use(d.dtis, 0) == MT_DTI_SWITCH && mt_dd_use(d.dtis, 2) == MT_DTI_SWITCH);
  CHECK(s.templates[3].temporal == 2 && s.templates[3].reach == 1 && s.templates[1].reach == 4);
  CHECK(mt_dd_use(s.templates[2].dtis, 1) == MT_DTI_DISCARDABLE && mt_dd_use(s.templates[2].dtis, 2) == MT_DTI_NOT_PRESENT);
  CHECK(s.target_for[mt_target(0, 0)] == 2 && s.target_for[mt_target(0, 1)] == 1 && s.target_for[mt_target(0, 2)] == 0);
  CHECK(s.target_for[mt_target(2, 3)] == 0);

  CHECK(parse_hex(L3T3, &s, &d) && d.has_structure && s.template_count == 15 && s.target_count == 9 && s.chain_count == 3);
  CHECK(s.width == 1280 && s.height == 720 && s.templates[14].spatial == 2 && s.templates[14].temporal == 2);
  CHECK(s.templates[1].reach == 12 && s.templates[5].reach == 1 && mt_dd_use(s.templates[1].dtis, 0) == MT_DTI_REQUIRED);
  CHECK(s.target_for[mt_target(0, 0)] == 8 && s.target_for[mt_target(1, 1)] == 4 && s.target_for[mt_target(2, 2)] == 0);
  CHECK(s.target_for[mt_target(0, 3)] == 6 && s.target_for[mt_target(2, 0)] == 2);
}

static void test_frames(void) {
  mt_dd_structure s = {0};
  mt_dd d;
  CHECK(parse_hex("c00001", &s, &d) && !d.known && d.frame == 1); /* no structure has come */
  CHECK(parse_hex(L1T3, &s, &d));
  CHECK(parse_hex("83fffe", &s, &d) && d.begins && !d.ends && d.known && d.frame == 0xfffe && d.temporal == 2 && d.reach == 1);
  CHECK(parse_hex("050001", &s, &d) && !d.begins && !d.known); /* a template that the structure does not have */
}

static void test_own_values(void) {
  mt_dd_structure s = {0};
  mt_dd d;
  CHECK(parse_hex(L1T3, &s, &d));
  CHECK(parse_hex("c1000210", &s, &d) && d.known && d.reach == 0); /* no references in place of 4 */
  CHECK(parse_hex("c100021320", &s, &d) && d.reach == 10);
  CHECK(!parse_hex("c1000213", &s, &d)); /* cut in the difference */
  CHECK(parse_hex("c1000217ffe0", &s, &d) && d.reach == 4096);
  CHECK(parse_hex("c1000213284200", &s, &d) && d.reach == 17);
  CHECK(parse_hex("c1000236497ffe00", &s, &d) && d.reach == 4096 && mt_dd_use(d.dtis, 0) == MT_DTI_REQUIRED);
  CHECK(mt_dd_use(d.dtis, 1) == MT_DTI_NOT_PRESENT && mt_dd_use(d.dtis, 2) == MT_DTI_SWITCH);
  CHECK(parse_hex("c1000265c8", &s, &d) && mt_dd_use(d.dtis, 0) == MT_DTI_REQUIRED && d.reach == 4); /* behind active targets */
}

static void test_cuts(void) {
  mt_dd_structure s = {0}, brought;
  mt_dd d;
  bytes whole = bytes_hex(L3T3);
  for (size_t n = 0; n < whole.n; n++) {
    bytes cut = bytes_copy(whole.p, n);
    bool ok = mt_dd_parse_untrusted(cut.p, cut.n, &s, &d, &brought);
    CHECK(ok == (n == 3)); /* three bytes are a whole descriptor */
    free(cut.p);
  }
  free(whole.p);
}

static void test_refused(void) {
  mt_dd_structure s = {0};
  mt_dd d;
  CHECK(!parse_hex("c5000180 0214eaaa44104d1410208426", &s, &d)); /* its own frame has a template that it does not have */
  CHECK(!parse_hex("c0000180 00 0000000000000000000000000000000000000000000000", &s, &d)); /* more than 64 templates */
  /* nine spatial layers */
  CHECK(!parse_hex("c0000180 00 2aaaaaffffffffffffffffffffffffffffffffff", &s, &d));
}

static void test_aggregation_header(void) {
  CHECK(mt_av1_is_keyframe_untrusted((const uint8_t *)"\x18\x0a", 2));
  CHECK(!mt_av1_is_keyframe_untrusted((const uint8_t *)"\x10\x0a", 2));
  CHECK(!mt_av1_is_keyframe_untrusted((const uint8_t *)"\x18", 1) && !mt_av1_is_keyframe_untrusted(NULL, 0));
}

int main(void) {
  test_structure();
  test_frames();
  test_own_values();
  test_cuts();
  test_refused();
  test_aggregation_header();
  return check_result();
}
