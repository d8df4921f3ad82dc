/* Layers of frames and the targets that need them: VP8, VP9 (full and k-SVC), and structures of the Dependency Descriptor. */
#include "formats/dependency.c"
#include "formats/layering.c"

#include "check.h"

static uint16_t bit(unsigned spatial, unsigned temporal) { return (uint16_t)(1u << mt_target(spatial, temporal)); }

static void test_vp8(void) {
  mt_layering l = mt_layering_of_vp8(&(mt_vp8){.start_of_partition = true, .tid = 1, .layer_sync = true}, false);
  CHECK(l.known && l.begins && l.picture_begins && !l.ends && l.temporal == 1 && l.up_from == 0 && l.up_to == 1 && !l.up_spatial);
  CHECK(!mt_layering_is_for(&l, 0, 0) && mt_layering_is_for(&l, 0, 1) && mt_layering_is_for(&l, 2, 3));
  l = mt_layering_of_vp8(&(mt_vp8){.tid = 2, .non_reference = true}, true);
  CHECK(!l.begins && l.ends && l.picture_ends && l.discardable && l.up_to == 0);
  l = mt_layering_of_vp8(&(mt_vp8){.start_of_partition = true, .keyframe = true}, false);
  CHECK(l.up_spatial && l.up_to == 3 && l.targets == MT_ALL_TARGETS);
  l = mt_layering_of_vp8(&(mt_vp8){.start_of_partition = true, .partition = 1}, false);
  CHECK(!l.begins);
}

static void test_vp9(void) {
  mt_vp9 d = {.begins = true, .has_layers = true, .spatial = 1, .temporal = 1, .inter_picture = true, .inter_layer = true};
  mt_layering l = mt_layering_of_vp9(&d, false, false);
  CHECK(l.begins && !l.picture_begins && !l.up_spatial && l.inter_layer && l.up_to == 0);
  CHECK(l.targets == (bit(1, 1) | bit(1, 2) | bit(1, 3) | bit(2, 1) | bit(2, 2) | bit(2, 3)));
  d.not_for_upper = true; /* as in the pictures of k-SVC that are no key pictures */
  l = mt_layering_of_vp9(&d, true, true);
  CHECK(l.targets == (bit(1, 1) | bit(1, 2) | bit(1, 3)) && l.picture_begins && l.picture_ends);
  d.switch_up = true;
  l = mt_layering_of_vp9(&d, false, false);
  CHECK(l.up_from == 1 && l.up_to == 3);
  d = (mt_vp9){.begins = true, .has_layers = true, .spatial = 2, .inter_layer = true};
  l = mt_layering_of_vp9(&d, false, false);
  CHECK(l.up_spatial && l.up_to == 3 && l.spatial == 2);
  d = (mt_vp9){.has_layers = true, .spatial = 7, .temporal = 7, .not_for_upper = true};
  l = mt_layering_of_vp9(&d, false, true);
  CHECK(l.spatial == 2 && l.temporal == 3 && l.targets == bit(2, 3) && !l.picture_begins);
  d = (mt_vp9){.has_layers = true, .spatial = 3, .not_for_upper = true}; /* counted to layer 2 as those above it are */
  l = mt_layering_of_vp9(&d, false, true);
  CHECK(mt_layering_is_for(&l, 2, 0) && !mt_layering_is_for(&l, 1, 3));
}

/* L2T2 with k-SVC: targets 3 to 0 are (0,0), (0,1), (1,0), (1,1). */
static const mt_dd_structure KSVC = {
    .template_count = 1,
    .target_count = 4,
    .target_for = {3, 2, 2, 2, 1, 0, 0, 0, 1, 0, 0, 0},
};

static uint64_t dtis(mt_dti zero, mt_dti one, mt_dti two, mt_dti three) {
  return (uint64_t)zero | (uint64_t)one << 2 | (uint64_t)two << 4 | (uint64_t)three << 6;
}

static void test_dd(void) {
  const mt_dti N = MT_DTI_NOT_PRESENT, D = MT_DTI_DISCARDABLE, S = MT_DTI_SWITCH, R = MT_DTI_REQUIRED;
  mt_dd d = {.known = true, .begins = true, .dtis = dtis(S, S, S, S)};
  mt_layering l = mt_layering_of_dd(&d, &KSVC, false, 0);
  CHECK(l.known && l.picture_begins && l.up_spatial && !l.inter_layer && !l.discardable && l.targets == MT_ALL_TARGETS);
  CHECK(l.up_from == 0 && l.up_to == 3);

  d = (mt_dd){.known = true, .ends = true, .spatial = 1, .reach = 1, .dtis = dtis(S, S, N, N)};
  l = mt_layering_of_dd(&d, &KSVC, true, 1); /* the key picture's upper frame */
  CHECK(l.up_spatial && l.inter_layer && !l.picture_begins && l.picture_ends && l.ends && l.spatial == 1);
  CHECK(!mt_layering_is_for(&l, 0, 3) && mt_layering_is_for(&l, 1, 0) && mt_layering_is_for(&l, 2, 0));
  l = mt_layering_of_dd(&d, &KSVC, true, 0); /* the reference is in an earlier picture */
  CHECK(!l.up_spatial);

  d = (mt_dd){.known = true, .begins = true, .reach = 2, .dtis = dtis(N, N, S, S)}; /* lower layer, no key picture */
  l = mt_layering_of_dd(&d, &KSVC, false, 0);
  CHECK(l.targets == (bit(0, 0) | bit(0, 1) | bit(0, 2) | bit(0, 3)) && !l.up_spatial);

  d = (mt_dd){.known = true, .begins = true, .temporal = 1, .reach = 2, .dtis = dtis(N, N, D, N)};
  l = mt_layering_of_dd(&d, &KSVC, false, 0);
  CHECK(l.targets == (bit(0, 1) | bit(0, 2) | bit(0, 3)) && l.discardable && l.up_to == 0);
  d.dtis = dtis(N, N, R, N);
  CHECK(!mt_layering_of_dd(&d, &KSVC, false, 0).discardable);
}

int main(void) {
  CHECK(mt_layering_unknown().targets == MT_ALL_TARGETS && !mt_layering_unknown().known);
  test_vp8();
  test_vp9();
  test_dd();
  return check_result();
}
