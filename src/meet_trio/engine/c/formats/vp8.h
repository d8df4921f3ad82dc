/* VP8 RTP payload descriptor (RFC 7741 §4.2): read it, rewrite picture id and TL0PICIDX in place. Pure; no allocation. */
#ifndef MT_FORMATS_VP8_H
#define MT_FORMATS_VP8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint8_t descriptor_len;
  bool start_of_partition; /* S */
  uint8_t partition;       /* PID */
  bool non_reference;      /* N */
  bool keyframe;           /* first packet of a key frame: S = 1, PID = 0, payload header P = 0 */
  bool has_picture_id, long_picture_id, has_tl0picidx, has_tid, has_keyidx, layer_sync /* Y */;
  uint16_t picture_id; /* 7 or 15 bits */
  uint8_t tl0picidx, tid, keyidx;
  uint16_t width, height; /* of a key frame's header, else 0 */
} mt_vp8;

/* False if malformed, or if nothing follows the descriptor. */
bool mt_vp8_parse_untrusted(const uint8_t *payload, size_t n, mt_vp8 *out);

/* Overwrite in `payload` (same layout as parsed into `d`; a 7-bit picture id is written modulo 128). */
void mt_vp8_rewrite(uint8_t *payload, const mt_vp8 *d, uint16_t picture_id, uint8_t tl0picidx);

/* Is this the first packet of a key frame? The same question for the codecs forwarded as simple streams. */
bool mt_vp9_is_keyframe_untrusted(const uint8_t *payload, size_t n);  /* RFC 9628 */
bool mt_h264_is_keyframe_untrusted(const uint8_t *payload, size_t n); /* RFC 6184: SPS or IDR, also inside STAP-A, FU-A start */

#endif
