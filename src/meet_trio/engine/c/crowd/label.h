/* The label in the payload of each packet that a crowd sends: when it left, of which feed it is, and its number there.
 *
 * The receiver is a crowd too, of the same process or of the same machine. So the time is that of a monotonic clock. A label stands
 * behind what a server reads or rewrites of a payload: VP8's descriptor and the header of a key frame.
 */
#ifndef MT_CROWD_LABEL_H
#define MT_CROWD_LABEL_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MT_LABEL_BYTES = 20,
  MT_LABEL_VIDEO_AT = 16, /* bytes of payload before it: a descriptor of 6 and a header of 10 */
  MT_LABEL_AUDIO_AT = 1,  /* opus: the TOC byte */
  MT_LABEL_MARK = 0x6d746277,
};

typedef struct {
  int64_t sent;    /* us */
  uint32_t feed;   /* which one: the caller's number */
  uint32_t number; /* of the packet: each of a feed is one above the one before */
} mt_label;

static inline void mt_label_write(uint8_t out[MT_LABEL_BYTES], const mt_label *s) {
  mt_store32(out, MT_LABEL_MARK);
  mt_store32(out + 4, (uint32_t)((uint64_t)s->sent >> 32));
  mt_store32(out + 8, (uint32_t)s->sent);
  mt_store32(out + 12, s->feed);
  mt_store32(out + 16, s->number);
}

/* `p`: the payload, `n`: its bytes. False: it has no label. */
static inline bool mt_label_read_untrusted(const uint8_t *p, size_t n, bool video, mt_label *out) {
  size_t at = video ? MT_LABEL_VIDEO_AT : MT_LABEL_AUDIO_AT;
  if (n < at + MT_LABEL_BYTES || mt_load32(p + at) != MT_LABEL_MARK) return false;
  out->sent = (int64_t)((uint64_t)mt_load32(p + at + 4) << 32 | mt_load32(p + at + 8));
  out->feed = mt_load32(p + at + 12);
  out->number = mt_load32(p + at + 16);
  return true;
}

#endif
