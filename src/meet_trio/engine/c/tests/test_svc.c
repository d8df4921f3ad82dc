/* Layers of one stream in all modes of VP9: whatever is wanted, everything that is forwarded can be decoded, each picture ends with
 * one marker, and what is wanted is reached as soon as the mode allows it. */
#include "egress/svc.c"
#include "formats/layering.c"

#include "check.h"
#include "publisher.h"

static uint32_t random_state = 1;

static unsigned random_below(unsigned n) {
  random_state = random_state * 1664525 + 1013904223;
  return (random_state >> 16) % n;
}

typedef struct {
  publisher from;
  mt_svc svc;
  viewer to;
  unsigned sent;             /* frames of the newest picture */
  uint8_t highest, temporal; /* spatial layer of the last of them; its temporal layer, also if none was sent */
} call;

static call *new_call(unsigned spatial_layers, unsigned temporal_layers, bool key_only) {
  call *c = calloc(1, sizeof *c);
  if (!c) abort();
  c->from = (publisher){.spatial_layers = spatial_layers, .temporal_layers = temporal_layers, .key_only = key_only, .picture = -1};
  return c;
}

/* One picture, from the publisher to the viewer. */
static void step(call *c, bool key, uint8_t spatial, uint8_t temporal) {
  frame frames[MT_MAX_SPATIAL];
  unsigned markers = 0, behind_marker = 0;
  publish(&c->from, key, frames);
  c->sent = 0;
  c->temporal = frames[0].temporal;
  for (unsigned s = 0; s < c->from.spatial_layers; s++) {
    const mt_layering *l = &frames[s].layering;
    uint32_t timestamp = 0xfffff000u + (uint32_t)frames[s].picture * 4500; /* wraps */
    if (mt_svc_leaves_out(&c->svc, l, timestamp, spatial, temporal)) continue;
    CHECK(view(&c->to, &frames[s]));
    CHECK(l->temporal <= temporal);
    behind_marker += markers;
    markers += l->picture_ends || mt_svc_ends_picture(&c->svc, l, timestamp, spatial);
    c->sent++;
    c->highest = (uint8_t)s;
  }
  CHECK(behind_marker == 0 && markers == (c->sent > 0));
}

static void steps(call *c, unsigned pictures, uint8_t spatial, uint8_t temporal) {
  for (unsigned i = 0; i < pictures; i++) step(c, false, spatial, temporal);
}

static void test_random(unsigned spatial_layers, unsigned temporal_layers, bool key_only) {
  call *c = new_call(spatial_layers, temporal_layers, key_only);
  uint8_t spatial = 2, temporal = 2;
  step(c, true, spatial, temporal);
  for (unsigned i = 1; i < PICTURES; i++) {
    if (random_below(7) == 0) spatial = (uint8_t)random_below(MT_MAX_SPATIAL);
    if (random_below(7) == 0) temporal = (uint8_t)random_below(3);
    bool key = random_below(20) == 0;
    step(c, key, spatial, temporal);
    if (!key) continue;
    uint8_t top = spatial < spatial_layers ? spatial : (uint8_t)(spatial_layers - 1);
    CHECK(c->highest == top && c->svc.spatial == top && c->svc.temporal == temporal);
    CHECK(c->sent == top + 1u && !mt_svc_needs_keyframe(&c->svc, top)); /* a key picture leads anywhere */
  }
  free(c);
}

static void test_down(void) {
  call *c = new_call(3, 3, false);
  step(c, true, 2, 2);
  step(c, false, 1, 2); /* at once */
  CHECK(c->sent == 2 && c->highest == 1);
  step(c, false, 0, 2);
  CHECK(c->sent == 1 && c->highest == 0);
  step(c, false, 2, 2); /* up only with a key picture */
  CHECK(c->sent == 1 && mt_svc_needs_keyframe(&c->svc, 2));
  step(c, true, 2, 2);
  CHECK(c->sent == 3 && !mt_svc_needs_keyframe(&c->svc, 2));
  free(c);
}

static void test_key_only(void) {
  call *c = new_call(3, 3, true);
  step(c, true, 2, 2);
  CHECK(c->sent == 3);
  step(c, false, 2, 2);
  CHECK(c->sent == 1 && c->highest == 2); /* the layers below are not needed */
  step(c, false, 0, 2);
  CHECK(c->sent == 1 && c->highest == 2 && mt_svc_needs_keyframe(&c->svc, 0)); /* they were not sent: it goes on as before */
  step(c, true, 0, 2);
  CHECK(c->sent == 1 && c->highest == 0);
  step(c, false, 0, 2);
  CHECK(c->sent == 1 && c->highest == 0);
  free(c);
}

static void test_temporal(void) {
  call *c = new_call(1, 3, false);
  step(c, true, 2, 2);
  step(c, false, 2, 0); /* temporal layer 2 */
  CHECK(c->sent == 0);
  steps(c, 2, 2, 0); /* 1, 2 */
  CHECK(c->sent == 0);
  step(c, false, 2, 2); /* 0: up from here */
  CHECK(c->sent == 1);
  for (unsigned i = 0; i < 8; i++) {
    step(c, false, 2, 2);
    CHECK(c->sent == 1);
  }
  for (unsigned i = 0; i < 8; i++) {
    step(c, false, 2, 1);
    CHECK(c->sent == (c->temporal <= 1));
  }
  free(c);
}

static void test_unknown(void) {
  mt_svc v = {0};
  mt_layering l = mt_layering_unknown();
  CHECK(!mt_svc_leaves_out(&v, &l, 1, 0, 0) && !v.started && !mt_svc_ends_picture(&v, &l, 1, 0) && !mt_svc_needs_keyframe(&v, 2));
}

/* All packets of a frame share its fate, also those without the frame's beginning. */
static void test_packets_of_a_frame(void) {
  mt_svc v = {0};
  mt_vp9 key = {.begins = true, .has_layers = true},
         upper = {.begins = true, .has_layers = true, .spatial = 1, .inter_layer = true};
  mt_layering first = mt_layering_of_vp9(&key, false, true), second = mt_layering_of_vp9(&upper, false, false);
  CHECK(!mt_svc_leaves_out(&v, &first, 10, 0, 0) && mt_svc_leaves_out(&v, &second, 10, 0, 0));
  CHECK(mt_svc_leaves_out(&v, &second, 10, 1, 0)); /* what is wanted has changed meanwhile */
  CHECK(!mt_svc_leaves_out(&v, &first, 10, 1, 0));
  CHECK(!mt_svc_leaves_out(&v, &second, 9, 1, 0)); /* of an earlier picture */
}

static mt_layering layer(uint8_t spatial, bool inter_picture, bool inter_layer) {
  mt_vp9 d = {.begins = true, .has_layers = true, .spatial = spatial, .inter_picture = inter_picture, .inter_layer = inter_layer};
  return mt_layering_of_vp9(&d, false, true);
}

/* A publisher takes a layer up again without a key picture: the marker was sent before it was known. */
static void test_layer_that_comes_back(void) {
  mt_svc v = {0};
  mt_layering key = layer(0, false, false), lowest = layer(0, true, false), upper = layer(1, false, true);
  CHECK(!mt_svc_leaves_out(&v, &key, 10, 2, 0));
  CHECK(!mt_svc_leaves_out(&v, &lowest, 20, 2, 0) && mt_svc_leaves_out(&v, &upper, 20, 2, 0));
  CHECK(mt_svc_needs_keyframe(&v, 1));
}

/* A key picture without the lowest layer: what was sent of it before is of no use. */
static void test_layer_that_ends(void) {
  mt_svc v = {0};
  mt_layering key = layer(0, false, false), alone = layer(1, false, false), next = layer(1, true, false);
  CHECK(!mt_svc_leaves_out(&v, &key, 10, 2, 0));
  CHECK(!mt_svc_leaves_out(&v, &alone, 20, 2, 0));
  CHECK(!mt_svc_leaves_out(&v, &next, 30, 0, 0) && mt_svc_needs_keyframe(&v, 0));
}

int main(void) {
  for (unsigned spatial = 1; spatial <= 3; spatial++)
    for (unsigned temporal = 1; temporal <= 3; temporal++)
      for (unsigned key_only = 0; key_only <= (spatial > 1); key_only++) test_random(spatial, temporal, key_only);
  test_down();
  test_key_only();
  test_temporal();
  test_unknown();
  test_packets_of_a_frame();
  test_layer_that_comes_back();
  test_layer_that_ends();
  return check_result();
}
