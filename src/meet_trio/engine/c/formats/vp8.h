/* Video payloads: VP8's payload descriptor (RFC 7741 section 4.2), and the first packets of key frames of VP8 and H.264.
 *
 * The functions keep no state and allocate nothing. The VP8 descriptor is not end-to-end encrypted and keeps its layout from client
 * to client, so an SFU overwrites the fields that it renumbers after a layer switch (picture id, TL0PICIDX) in place. The
 * descriptor's fields have a fixed order: first byte, X byte, picture id, TL0PICIDX, TID/Y/KEYIDX. So mt_vp8 needs no offsets. Of
 * H.264 only key frames are recognised.
 */
#ifndef MT_FORMATS_VP8_H
#define MT_FORMATS_VP8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint8_t descriptor_len;  /* bytes */
  bool start_of_partition; /* S */
  uint8_t partition;       /* PID */
  bool non_reference;      /* N */
  bool keyframe;           /* the first packet of a key frame: S = 1, PID = 0, P of the payload header = 0 */
  bool has_picture_id, long_picture_id, has_tl0picidx, has_tid, has_keyidx, layer_sync /* Y */;
  uint16_t picture_id; /* 7 or 15 bits */
  uint8_t tl0picidx, tid, keyidx;
  uint16_t width, height; /* pixels, from the header of a key frame; 0: the packet has none */
} mt_vp8;

/* `n`: bytes of payload. False: the descriptor is malformed, or no byte follows it. */
bool mt_vp8_parse_untrusted(const uint8_t *payload, size_t n, mt_vp8 *out);

/* Overwrites the picture id and TL0PICIDX, as far as the descriptor `d` of this payload has them. A 7-bit picture id is written
 * modulo 128. */
void mt_vp8_rewrite(uint8_t *payload, const mt_vp8 *d, uint16_t picture_id, uint8_t tl0picidx);

/* True: this is the first packet of a key frame: an SPS or an IDR slice, alone, in a STAP-A, or at the start of an FU-A (RFC 6184).
 * False: it is another one or malformed. `n`: bytes of payload. */
bool mt_h264_is_keyframe_untrusted(const uint8_t *payload, size_t n);

#endif
