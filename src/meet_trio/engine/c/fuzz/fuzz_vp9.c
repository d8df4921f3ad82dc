/* VP9 payload descriptors: fields stay in their ranges, and a descriptor keeps its layout when rewritten. */
#include "formats/vp9.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "0c 00",
    "a9 9234 59 56 00",
    "f4 8001 22 03 05 04 00",
    "aa 8005 00 07 58 0140 00b4 0280 0168 0500 02d0 04 00 54 01 34 02 58 0102 ff",
    "8a 05 20 ff",
    NULL,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *p = fuzz_exact(data, size);
  mt_vp9 d, again;
  if (mt_vp9_parse_untrusted(p, size, &d)) {
    MUST(d.descriptor_len >= 1 && d.descriptor_len < size && d.descriptor_len <= MT_VP9_MAX_DESCRIPTOR);
    MUST(d.picture_id <= 0x7fff && d.temporal < 8 && d.spatial < 8 && d.spatial_layers <= 8);
    MUST(!d.keyframe || (d.begins && d.spatial == 0));
    mt_vp9_rewrite(p, &d, d.picture_id, d.tl0picidx);
    MUST(memcmp(p, data, size) == 0);
    mt_vp9_rewrite(p, &d, (uint16_t)((d.picture_id + 77) & 0x7fff), (uint8_t)(d.tl0picidx + 7));
    MUST(mt_vp9_parse_untrusted(p, size, &again) && again.descriptor_len == d.descriptor_len);
    for (size_t i = MT_VP9_REWRITTEN; i < size; i++) MUST(p[i] == data[i]);
  }
  free(p);
  return 0;
}
