/* Layers of any VP8 or VP9 payload: a frame is part of the target of its own layers, and of none below them. */
#include "formats/layering.c"
#include "formats/vp8.c"
#include "formats/vp9.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "90f0 9234 56 bf 500100 9d012a 8002 6801 ff",
    "a9 9234 59 56 00",
    "f4 8001 22 03 05 04 00",
    "aa 8005 00 07 58 0140 00b4 0280 0168 0500 02d0 04 00 54 01 34 02 58 0102 ff",
    NULL,
};

static void check(const mt_layering *l) {
  MUST(l->known && l->spatial < MT_MAX_SPATIAL && l->temporal < MT_MAX_TEMPORAL);
  MUST(l->up_from < MT_MAX_TEMPORAL && l->up_to < MT_MAX_TEMPORAL && (l->begins || !l->picture_begins));
  MUST(mt_layering_is_for(l, l->spatial, l->temporal) && mt_layering_is_for(l, l->spatial, MT_MAX_TEMPORAL - 1));
  for (unsigned s = 0; s < MT_MAX_SPATIAL; s++)
    for (unsigned t = 0; t < MT_MAX_TEMPORAL; t++)
      if (s < l->spatial || t < l->temporal) MUST(!mt_layering_is_for(l, s, t));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *p = fuzz_exact(data, size);
  mt_vp8 vp8;
  mt_vp9 vp9;
  mt_layering l;
  if (mt_vp8_parse_untrusted(p, size, &vp8)) {
    l = mt_layering_of_vp8(&vp8, size & 1);
    check(&l);
  }
  if (mt_vp9_parse_untrusted(p, size, &vp9)) {
    l = mt_layering_of_vp9(&vp9, size & 1, size & 2);
    check(&l);
  }
  free(p);
  return 0;
}
