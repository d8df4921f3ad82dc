/* The layers of a packet's frame and who needs it, in one form for all codecs.
 *
 * A picture is what is shown at one time. It has one frame for each spatial layer. A target is a pair of layers (spatial,
 * temporal) that a viewer may be sent. `targets` says of each target whether the frame is part of it. In VP8 and VP9 that follows
 * from the frame's own layers, in AV1 from the decode targets of the Dependency Descriptor.
 *
 * A viewer goes down to a target at once, at the beginning of a picture, if it has been sent the frames of the target so far. It
 * goes up where a frame refers to nothing that it was not sent:
 *
 *  - to the spatial layer of a frame with `up_spatial`, if it gets the frame of the layer below or the frame does not need it
 *    (`inter_layer`);
 *  - to the temporal layers up to `up_to`, if it has been sent those up to `up_from`.
 */
#ifndef MT_FORMATS_LAYERING_H
#define MT_FORMATS_LAYERING_H

#include "formats/dependency.h"
#include "formats/vp8.h"
#include "formats/vp9.h"

enum { MT_ALL_TARGETS = (1 << MT_MAX_SPATIAL * MT_MAX_TEMPORAL) - 1 };

typedef struct {
  bool known; /* false: all that follows has the value that sends the packet to everybody */
  uint8_t spatial, temporal;
  bool begins, ends;                 /* the first, the last packet of the frame */
  bool picture_begins, picture_ends; /* and of the whole picture, as the publisher sent it */
  bool inter_layer;                  /* the frame refers to the spatial layer below, in the same picture */
  bool up_spatial;                   /* it refers to no earlier picture */
  uint8_t up_from, up_to;            /* see above; up_to 0: no temporal layer can be begun here */
  bool discardable;                  /* no other frame refers to it */
  uint16_t targets;                  /* bit mt_target(spatial, temporal): the frame is part of the target */
} mt_layering;

static inline bool mt_layering_is_for(const mt_layering *l, unsigned spatial, unsigned temporal) {
  return l->targets >> mt_target(spatial, temporal) & 1;
}

mt_layering mt_layering_unknown(void);
/* `marker`: of the RTP header. `picture_begins`: no frame of the same picture came before. */
mt_layering mt_layering_of_vp8(const mt_vp8 *d, bool marker);
mt_layering mt_layering_of_vp9(const mt_vp9 *d, bool marker, bool picture_begins);
/* `d` is known, and `s` has its template. `before`: frames of the same picture that came before, in frame numbers. */
mt_layering mt_layering_of_dd(const mt_dd *d, const mt_dd_structure *s, bool marker, uint16_t before);

#endif
