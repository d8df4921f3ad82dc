/* VP8's payload descriptor, and the one question about VP9 and H.264: does a key frame start here?
 *
 * The descriptor is never encrypted end to end and never changes its layout on the way, so what an SFU renumbers
 * after a layer switch (picture id, TL0PICIDX) is overwritten where it stands. Its fields come in a fixed order, so
 * `mt_vp8` needs no offsets: byte 0, the X byte, picture id, TL0PICIDX, TID/Y/KEYIDX.
 */
#include "formats/vp8.h"

#include "base/bytes.h"

#include <string.h>

enum { VP8_KEYFRAME_HEADER = 10 /* frame tag, start code, width, height (RFC 6386 section 9.1) */ };

bool mt_vp8_parse_untrusted(const uint8_t *payload, size_t n, mt_vp8 *out) {
  memset(out, 0, sizeof *out);
  if (n < 1) return false;
  size_t at = 1;
  out->non_reference = payload[0] & 0x20;
  out->start_of_partition = payload[0] & 0x10;
  out->partition = payload[0] & 0x07;
  if (payload[0] & 0x80) {
    if (n - at < 1) return false;
    uint8_t x = payload[at++];
    out->has_picture_id = x & 0x80;
    out->has_tl0picidx = x & 0x40;
    out->has_tid = x & 0x20;
    out->has_keyidx = x & 0x10;
    if (out->has_picture_id) {
      if (n - at < 1) return false;
      out->long_picture_id = payload[at] & 0x80;
      if (out->long_picture_id) {
        if (n - at < 2) return false;
        out->picture_id = mt_load16(payload + at) & 0x7fff;
        at += 2;
      } else {
        out->picture_id = payload[at++];
      }
    }
    if (out->has_tl0picidx) {
      if (n - at < 1) return false;
      out->tl0picidx = payload[at++];
    }
    if (out->has_tid || out->has_keyidx) {
      if (n - at < 1) return false;
      uint8_t t = payload[at++];
      if (out->has_tid) {
        out->tid = t >> 6;
        out->layer_sync = t & 0x20;
      }
      if (out->has_keyidx) out->keyidx = t & 0x1f;
    }
  }
  if (n - at < 1) return false; /* a descriptor of nothing */
  out->descriptor_len = (uint8_t)at;
  const uint8_t *frame = payload + at;
  out->keyframe = out->start_of_partition && out->partition == 0 && !(frame[0] & 1);
  if (out->keyframe && n - at >= VP8_KEYFRAME_HEADER && mt_load24(frame + 3) == 0x9d012a) {
    out->width = (uint16_t)((frame[7] & 0x3f) << 8 | frame[6]); /* the top two bits are a scaling hint */
    out->height = (uint16_t)((frame[9] & 0x3f) << 8 | frame[8]);
  }
  return true;
}

void mt_vp8_rewrite(uint8_t *payload, const mt_vp8 *d, uint16_t picture_id, uint8_t tl0picidx) {
  uint8_t *field = payload + 2;
  if (d->has_picture_id) {
    if (d->long_picture_id) {
      mt_store16(field, 0x8000 | picture_id);
      field += 2;
    } else {
      *field++ = picture_id & 0x7f;
    }
  }
  if (d->has_tl0picidx) *field = tl0picidx;
}

/* RFC 9628 section 4.2: I P L F B E V Z. A key frame starts at B with nothing predicted from other pictures (P = 0) or from
 * a lower spatial layer (SID = 0, D = 0). */
bool mt_vp9_is_keyframe_untrusted(const uint8_t *payload, size_t n) {
  if (n < 2 || payload[0] & 0x40 || !(payload[0] & 0x08)) return false;
  size_t at = 1;
  if (payload[0] & 0x80) at += payload[at] & 0x80 ? 2 : 1;
  if (!(payload[0] & 0x20)) return at < n;
  return at < n && !(payload[at] & 0x0f); /* TID U SID D */
}

static bool h264_opens_keyframe(uint8_t nal_header) {
  uint8_t type = nal_header & 0x1f;
  return type == 5 || type == 7; /* IDR slice, SPS */
}

bool mt_h264_is_keyframe_untrusted(const uint8_t *payload, size_t n) {
  enum { STAP_A = 24, FU_A = 28 };
  if (n < 2) return false;
  switch (payload[0] & 0x1f) {
  case STAP_A:
    for (size_t at = 1; n - at >= 3;) {
      size_t len = mt_load16(payload + at);
      at += 2;
      if (len == 0 || len > n - at) return false;
      if (h264_opens_keyframe(payload[at])) return true;
      at += len;
    }
    return false;
  case FU_A: return payload[1] & 0x80 && h264_opens_keyframe(payload[1]);
  default: return h264_opens_keyframe(payload[0]);
  }
}
