/* See vp8.h. */
#include "formats/vp8.h"

#include "base/bytes.h"

#include <string.h>

/* VP8's payload descriptor (RFC 7741 section 4.2) */
enum {
  VP8_X = 0x80, /* first byte */
  VP8_N = 0x20,
  VP8_S = 0x10,
  VP8_PID = 0x07,
  VP8_I = 0x80, /* X byte */
  VP8_L = 0x40,
  VP8_T = 0x20,
  VP8_K = 0x10,
  VP8_M = 0x80, /* first byte of the picture id: it has 15 bits */
  VP8_Y = 0x20, /* byte of TID, Y and KEYIDX */
  VP8_KEYIDX = 0x1f,
};

/* VP8's key frames (RFC 6386 section 9.1) */
enum {
  VP8_INTER_FRAME = 0x01,   /* bit of the frame tag */
  VP8_KEYFRAME_HEADER = 10, /* bytes: frame tag, start code, width, height */
  VP8_START_CODE = 0x9d012a,
};

/* H.264's NAL unit types (RFC 6184 section 5.2) and the FU header */
enum {
  NAL_TYPE = 0x1f,
  NAL_IDR_SLICE = 5,
  NAL_SPS = 7,
  NAL_STAP_A = 24,
  NAL_FU_A = 28,
  FU_START = 0x80,
};

bool mt_vp8_parse_untrusted(const uint8_t *payload, size_t n, mt_vp8 *out) {
  memset(out, 0, sizeof *out);
  if (n < 1) return false;
  size_t at = 1;
  out->non_reference = payload[0] & VP8_N;
  out->start_of_partition = payload[0] & VP8_S;
  out->partition = payload[0] & VP8_PID;
  if (payload[0] & VP8_X) {
    if (n - at < 1) return false;
    uint8_t x = payload[at++];
    out->has_picture_id = x & VP8_I;
    out->has_tl0picidx = x & VP8_L;
    out->has_tid = x & VP8_T;
    out->has_keyidx = x & VP8_K;
    if (out->has_picture_id) {
      if (n - at < 1) return false;
      out->long_picture_id = payload[at] & VP8_M;
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
        out->layer_sync = t & VP8_Y;
      }
      if (out->has_keyidx) out->keyidx = t & VP8_KEYIDX;
    }
  }
  if (n - at < 1) return false; /* no frame data follows */
  out->descriptor_len = (uint8_t)at;
  const uint8_t *frame = payload + at;
  out->keyframe = out->start_of_partition && out->partition == 0 && !(frame[0] & VP8_INTER_FRAME);
  if (out->keyframe && n - at >= VP8_KEYFRAME_HEADER && mt_load24(frame + 3) == VP8_START_CODE) {
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

static bool h264_opens_keyframe(uint8_t nal_header) {
  uint8_t type = nal_header & NAL_TYPE;
  return type == NAL_IDR_SLICE || type == NAL_SPS;
}

bool mt_h264_is_keyframe_untrusted(const uint8_t *payload, size_t n) {
  if (n < 2) return false;
  switch (payload[0] & NAL_TYPE) {
  case NAL_STAP_A:
    for (size_t at = 1; n - at >= 3;) {
      size_t len = mt_load16(payload + at);
      at += 2;
      if (len == 0 || len > n - at) return false;
      if (h264_opens_keyframe(payload[at])) return true;
      at += len;
    }
    return false;
  case NAL_FU_A: return payload[1] & FU_START && h264_opens_keyframe(payload[1]);
  default: return h264_opens_keyframe(payload[0]);
  }
}
