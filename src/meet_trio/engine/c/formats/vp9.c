/* See vp9.h. */
#include "formats/vp9.h"

#include "base/bytes.h"

#include <string.h>

enum {
  VP9_I = 0x80, /* first byte: I P L F B E V Z */
  VP9_P = 0x40,
  VP9_L = 0x20,
  VP9_F = 0x10,
  VP9_B = 0x08,
  VP9_E = 0x04,
  VP9_V = 0x02,
  VP9_Z = 0x01,
  VP9_M = 0x80, /* first byte of the picture id: it has 15 bits */
  VP9_U = 0x10, /* layer byte: TID U SID D */
  VP9_D = 0x01,
  VP9_LAYER = 0x07,        /* three bits of a layer */
  VP9_MAX_REFERENCES = 3,  /* of a frame in flexible mode */
  VP9_MORE_REFERENCES = 1, /* N: another P_DIFF follows */
  VP9_SS_Y = 0x10,         /* first byte of the scalability structure: N_S Y G */
  VP9_SS_G = 0x08,
  VP9_SS_SIZE = 4,         /* bytes: width and height of a layer */
  VP9_SS_PICTURE_REFS = 3, /* bits, R of the byte T U R */
};

typedef struct { /* what is left to read; `failed` if more was asked for */
  const uint8_t *at;
  size_t left;
  bool failed;
} reader;

static const uint8_t *take(reader *r, size_t n) {
  static const uint8_t nothing[VP9_SS_SIZE];
  if (r->failed || r->left < n) {
    r->failed = true;
    return nothing;
  }
  const uint8_t *taken = r->at;
  r->at += n;
  r->left -= n;
  return taken;
}

static void read_picture_id(reader *r, mt_vp9 *out) {
  uint8_t first = *take(r, 1);
  out->long_picture_id = first & VP9_M;
  out->picture_id = out->long_picture_id ? (uint16_t)((first & ~VP9_M) << 8 | *take(r, 1)) : first;
}

static void read_layers(reader *r, mt_vp9 *out) {
  uint8_t layers = *take(r, 1);
  out->temporal = layers >> 5;
  out->switch_up = layers & VP9_U;
  out->spatial = layers >> 1 & VP9_LAYER;
  out->inter_layer = layers & VP9_D;
  out->has_tl0picidx = !out->flexible;
  if (out->has_tl0picidx) out->tl0picidx = *take(r, 1);
}

static void read_references(reader *r) {
  for (unsigned i = 0; i < VP9_MAX_REFERENCES; i++)
    if (!(*take(r, 1) & VP9_MORE_REFERENCES)) return;
  r->failed = true; /* RFC 9628 allows three */
}

static void read_structure(reader *r, mt_vp9 *out) {
  uint8_t first = *take(r, 1);
  out->spatial_layers = (uint8_t)((first >> 5) + 1);
  for (unsigned i = 0; first & VP9_SS_Y && i < out->spatial_layers; i++) {
    const uint8_t *size = take(r, VP9_SS_SIZE);
    out->width = mt_load16(size);
    out->height = mt_load16(size + 2);
  }
  if (!(first & VP9_SS_G)) return;
  uint8_t pictures = *take(r, 1);
  for (unsigned i = 0; i < pictures && !r->failed; i++) {
    unsigned references = *take(r, 1) >> 2 & VP9_SS_PICTURE_REFS;
    for (unsigned k = 0; k < references; k++) take(r, 1);
  }
}

bool mt_vp9_parse_untrusted(const uint8_t *payload, size_t n, mt_vp9 *out) {
  memset(out, 0, sizeof *out);
  reader r = {payload, n, false};
  uint8_t flags = *take(&r, 1);
  out->has_picture_id = flags & VP9_I;
  out->inter_picture = flags & VP9_P;
  out->has_layers = flags & VP9_L;
  out->flexible = flags & VP9_F;
  out->begins = flags & VP9_B;
  out->ends = flags & VP9_E;
  out->has_structure = flags & VP9_V;
  out->not_for_upper = flags & VP9_Z;
  if (out->flexible && !out->has_picture_id) return false; /* references are differences of picture ids */
  if (out->has_picture_id) read_picture_id(&r, out);
  if (out->has_layers) read_layers(&r, out);
  if (out->flexible && out->inter_picture) read_references(&r);
  if (out->has_structure) read_structure(&r, out);
  if (r.failed || r.left == 0) return false;
  out->descriptor_len = (uint16_t)(n - r.left);
  out->keyframe = out->begins && !out->inter_picture && out->spatial == 0 && !out->inter_layer;
  return true;
}

void mt_vp9_rewrite(uint8_t *payload, const mt_vp9 *d, uint16_t picture_id, uint8_t tl0picidx) {
  uint8_t *field = payload + 1;
  if (d->has_picture_id) {
    if (d->long_picture_id) {
      mt_store16(field, 0x8000 | picture_id);
      field += 2;
    } else {
      *field++ = picture_id & 0x7f;
    }
  }
  if (d->has_tl0picidx) field[1] = tl0picidx; /* behind the layer byte */
}
