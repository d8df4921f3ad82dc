/* Which frames of a stream with several layers a consumer leaves out (VP9, AV1; every mode of W3C's webrtc-svc).
 *
 * A consumer forwards a target: a spatial and a temporal layer. A frame that is no part of the target is left out whole. What is
 * part of a target, and where one may go up, says mt_layering.
 *
 *  - Down to a lower temporal layer: with the next frame.
 *  - Up to a higher temporal layer: at a frame after which nothing refers to what was left out.
 *  - Down to a lower spatial layer: with the next picture, if the client has been sent the frames of that layer. In k-SVC it has
 *    not, because there a frame needs the layers below it only in key pictures. Then it waits for a key picture.
 *  - Up to a higher spatial layer: in a key picture, layer by layer.
 *
 * A decoder shows a picture when it has got its last packet, which has RTP's marker. The publisher has set it on the last packet of
 * the highest layer, so the last packet of the highest layer that is forwarded gets it too.
 */
#ifndef MT_EGRESS_SVC_H
#define MT_EGRESS_SVC_H

#include "formats/layering.h"
#include "state/svc.h"

/* A packet that is newer than all before it. `spatial`, `temporal`: the highest layers that are wanted. True: it is left out. */
bool mt_svc_leaves_out(mt_svc *v, const mt_layering *l, uint32_t timestamp, uint8_t spatial, uint8_t temporal);
/* True: the packet is the last one of its picture that is forwarded. `spatial`: as above. */
bool mt_svc_ends_picture(const mt_svc *v, const mt_layering *l, uint32_t timestamp, uint8_t spatial);
/* True: only a key picture leads to this spatial layer, which the publisher sends. */
bool mt_svc_needs_keyframe(const mt_svc *v, uint8_t spatial);

#endif
