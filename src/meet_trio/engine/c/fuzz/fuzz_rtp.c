/* RTP headers: offsets stay inside, and a parsed header that is written again parses the same. */
#include "formats/rtp.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "80e01234 01020304 aabbccdd 0102030405",
    "92e01234 01020304 aabbccdd 00000001 00000002 bede0003 10aa0000 22bbccdd 31eeff00 0102",
    "90601234 01020304 aabbccdd 10000006 0100 00 c811 0102030405060708090a0b0c0d0e0f1011 0000",
    "b0601234 01020304 aabbccdd bede0002 10aaf0ff 20bb0000 0a0b02",
    NULL,
};

static void rewrite(const uint8_t *p, const mt_rtp *h) {
  mt_rtp_ext_out ext[MT_RTP_MAX_EXT];
  uint16_t offsets[MT_RTP_MAX_EXT];
  uint8_t out[12 + 4 + MT_RTP_MAX_EXT * 260];
  mt_rtp again;
  for (unsigned i = 0; i < h->ext_count; i++) ext[i] = (mt_rtp_ext_out){h->ext[i].id, h->ext[i].len, p + h->ext[i].offset};
  size_t n = mt_rtp_write_header(out, sizeof out, h->payload_type, h->marker, h->sequence, h->timestamp, h->ssrc, ext, h->ext_count,
                                 offsets);
  MUST(n && mt_rtp_parse_untrusted(out, n, &again) && again.header_len == n && again.ext_count == h->ext_count);
  MUST(again.sequence == h->sequence && again.timestamp == h->timestamp && again.ssrc == h->ssrc);
  MUST(again.payload_type == h->payload_type && again.marker == h->marker);
  for (unsigned i = 0; i < h->ext_count; i++) {
    MUST(again.ext[i].id == h->ext[i].id && again.ext[i].len == h->ext[i].len && again.ext[i].offset == offsets[i]);
    MUST(memcmp(out + offsets[i], p + h->ext[i].offset, h->ext[i].len) == 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *p = fuzz_exact(data, size);
  mt_rtp h;
  size_t len;
  (void)mt_is_rtp_or_rtcp(p, size);
  (void)mt_is_rtcp(p, size);
  if (mt_rtp_parse_untrusted(p, size, &h)) {
    MUST(h.header_len >= 12 && h.header_len <= size && h.ext_count <= MT_RTP_MAX_EXT);
    for (unsigned i = 0; i < h.ext_count; i++) MUST(h.ext[i].id != 0 && h.ext[i].offset + h.ext[i].len <= h.header_len);
    if (mt_rtp_payload_untrusted(p, size, &h, &len)) MUST(len <= size - h.header_len);
    rewrite(p, &h);
  }
  free(p);
  return 0;
}
