/* Any order of frames: four bytes are a packet and what is wanted. A frame is sent whole or not at all, the choice stays in its
 * ranges, and no packet that is left out ends a picture. */
#include "egress/svc.c"
#include "formats/layering.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "0000012a 0000222a 0010032a 0010422a 0020012a",
    "00000122 0010012a 00100900 00200908",
    NULL,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mt_svc v = {0};
  for (size_t i = 0; i + 4 <= size; i += 4) {
    const uint8_t *p = data + i;
    mt_vp9 d = {
        .begins = p[2] & 1,
        .ends = p[2] & 2,
        .has_layers = true,
        .spatial = p[2] >> 2 & 3,
        .temporal = p[2] >> 4 & 3,
        .inter_layer = p[2] & 0x40,
        .not_for_upper = p[2] & 0x80,
        .inter_picture = p[3] & 1,
        .switch_up = p[3] & 2,
    };
    mt_layering l = mt_layering_of_vp9(&d, p[3] & 0x40, p[3] & 0x80);
    uint32_t timestamp = (uint32_t)p[0] << 24 | p[1];
    uint8_t spatial = (p[3] >> 2 & 3) % MT_MAX_SPATIAL, temporal = p[3] >> 4 & 3;
    bool left_out = mt_svc_leaves_out(&v, &l, timestamp, spatial, temporal);
    MUST(v.spatial < MT_MAX_SPATIAL && v.temporal < MT_MAX_TEMPORAL && v.fed < 1 << MT_MAX_SPATIAL);
    MUST(mt_svc_leaves_out(&v, &l, timestamp, (uint8_t)(MT_MAX_SPATIAL - 1 - spatial), 3 - temporal) == left_out);
    if (timestamp == v.timestamp && left_out) MUST(!mt_svc_ends_picture(&v, &l, timestamp, spatial) || l.spatial == v.spatial);
    if (v.spatial == spatial) MUST(!mt_svc_needs_keyframe(&v, spatial));
  }
  return 0;
}
