/* Which frames of a stream a consumer leaves out, by their temporal layer; egress/svc.h has the rule for VP9 and AV1.
 *
 * A frame of a temporal layer refers only to frames of the same and of lower layers. So the frames above a layer can be left out at
 * once, beginning with any frame. They can be taken up again at a frame that refers to lower layers only (a switching point: VP8's
 * Y bit), or at a key frame. A frame is left out whole or sent whole.
 */
#ifndef MT_EGRESS_TEMPORAL_H
#define MT_EGRESS_TEMPORAL_H

#include "state/core_state.h"

/* `p` is newer than all packets of the open epoch. */
bool mt_consumer_leaves_out(mt_consumer *c, const mt_packet *p);
/* The highest temporal layer that its client gets now; 0 if nothing is forwarded. */
uint8_t mt_consumer_temporal(const mt_consumer *c);
/* `p` is the last packet of its picture that the consumer forwards. The publisher's marker may be on a packet that is left out. */
bool mt_consumer_ends_picture(const mt_consumer *c, const mt_packet *p);
/* The highest spatial layer of one stream that is to be forwarded. */
uint8_t mt_consumer_wanted_spatial(const mt_consumer *c);

#endif
