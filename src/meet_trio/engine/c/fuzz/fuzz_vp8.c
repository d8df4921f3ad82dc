/* Payload descriptors: a VP8 descriptor keeps its layout when rewritten; key frame detection reads no byte outside. */
#include "formats/vp8.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "90f0 9234 56 bf 500100 9d012a 8002 6801 ff",
    "9080 05 01",
    "10 500100 9d012a 8002 6801",
    "78 0002 09aa 0002 65bb",
    "7c 85 01",
    NULL,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *p = fuzz_exact(data, size);
  mt_vp8 d, again;
  (void)mt_h264_is_keyframe_untrusted(p, size);
  if (mt_vp8_parse_untrusted(p, size, &d)) {
    MUST(d.descriptor_len >= 1 && d.descriptor_len < size && d.picture_id <= 0x7fff && d.tid < 4 && d.keyidx < 32);
    mt_vp8_rewrite(p, &d, d.picture_id, d.tl0picidx);
    MUST(memcmp(p, data, size) == 0);
    mt_vp8_rewrite(p, &d, (uint16_t)(d.picture_id + 77), (uint8_t)(d.tl0picidx + 7));
    MUST(mt_vp8_parse_untrusted(p, size, &again) && again.descriptor_len == d.descriptor_len);
    MUST(memcmp(p + d.descriptor_len, data + d.descriptor_len, size - d.descriptor_len) == 0);
  }
  free(p);
  return 0;
}
