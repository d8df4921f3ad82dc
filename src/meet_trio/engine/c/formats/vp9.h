/* VP9's payload descriptor (RFC 9628 section 4.2), of flexible and non-flexible mode.
 *
 * The functions keep no state and allocate nothing. A packet has data of one layer frame only: one spatial layer of one picture.
 * The descriptor is not end-to-end encrypted and keeps its layout, so an SFU overwrites picture id and TL0PICIDX in place.
 *
 * A receiver finds the references of a frame by differences of picture ids, so gaps between them must stay: an SFU adds the same
 * number to all of them, also where it drops pictures.
 */
#ifndef MT_FORMATS_VP9_H
#define MT_FORMATS_VP9_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MT_VP9_MAX_DESCRIPTOR = 8 + 33 + 1 + 255 * 4 /* bytes: fields, sizes of 8 layers, a group of 255 pictures */ };

typedef struct {
  uint16_t descriptor_len; /* bytes */
  bool begins, ends;       /* B, E: the first, the last packet of the layer frame */
  bool inter_picture;      /* P: the frame is predicted from earlier pictures */
  bool inter_layer;        /* D: and from the spatial layer below, of the same picture */
  bool not_for_upper;      /* Z: no frame of a higher spatial layer is predicted from it */
  bool flexible;           /* F */
  bool has_layers;         /* L: spatial, temporal, switch_up and inter_layer were there; else they are 0 */
  bool switch_up;          /* U: see mt_layering */
  uint8_t spatial, temporal;
  bool has_picture_id, long_picture_id;
  uint16_t picture_id; /* 7 or 15 bits */
  bool has_tl0picidx;
  uint8_t tl0picidx;
  bool keyframe;          /* the first packet of a key picture */
  bool has_structure;     /* V: a scalability structure was there */
  uint8_t spatial_layers; /* of the structure; 0: there was none */
  uint16_t width, height; /* pixels, of the highest spatial layer; 0: not told */
} mt_vp9;

/* `n`: bytes of payload. False: the descriptor is malformed, or no byte follows it. */
bool mt_vp9_parse_untrusted(const uint8_t *payload, size_t n, mt_vp9 *out);

/* Overwrites the picture id and TL0PICIDX, as far as the descriptor `d` of this payload has them. A 7-bit picture id is written
 * modulo 128. Only the first MT_VP9_REWRITTEN bytes of the payload are touched. */
void mt_vp9_rewrite(uint8_t *payload, const mt_vp9 *d, uint16_t picture_id, uint8_t tl0picidx);
enum { MT_VP9_REWRITTEN = 5 /* bytes: first byte, picture id, layers, TL0PICIDX */ };

#endif
