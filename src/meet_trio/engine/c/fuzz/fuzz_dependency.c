/* Dependency Descriptors: an input is a descriptor with a structure and, behind a length byte, one that refers to it. */
#include "formats/dependency.c"
#include "formats/layering.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    /* L1T3 of the specification's section A.10.2.1, then a frame of template 2 with values of its own */
    "10 c00001800214eaaa44104d1410208426 c1000236497ffe00",
    "40 fc00648788161617aaaa8002a000900010aaa000a80024000400a8002a0009000100006d54906d54906d548ffa8000640b139aa088a62d35899108dbe28"
    "b1218 45007a",
    "03 c10001 810203",
    "04 c0ffff 40 8107",
    NULL,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const mt_dd_structure none;
  if (size < 1) return 0;
  size_t first = data[0] < size - 1 ? data[0] : size - 1;
  mt_dd_structure kept = none, brought;
  for (unsigned i = 0; i < 2; i++) {
    size_t n = i ? size - 1 - first : first;
    uint8_t *p = fuzz_exact(data + 1 + (i ? first : 0), n);
    mt_dd d;
    if (mt_dd_parse_untrusted(p, n, &kept, &d, &brought)) {
      MUST(n >= 3 && d.template_id < MT_DD_TEMPLATES && d.reach <= 4096);
      if (d.has_structure) {
        MUST(d.known && brought.template_count >= 1 && brought.template_count <= MT_DD_TEMPLATES);
        MUST(brought.target_count >= 1 && brought.target_count <= MT_DD_TARGETS && brought.chain_count <= brought.target_count);
        kept = brought;
      }
      if (d.known) {
        MUST(kept.template_count && d.spatial < 8 && d.temporal < 8);
        mt_layering l = mt_layering_of_dd(&d, &kept, false, 1);
        MUST(l.known && l.spatial < MT_MAX_SPATIAL && l.temporal < MT_MAX_TEMPORAL && l.up_to < MT_MAX_TEMPORAL);
      }
    }
    (void)mt_av1_is_keyframe_untrusted(p, n);
    free(p);
  }
  return 0;
}
