/* Redundancy: packets that are sent twice to viewers who lose many.
 *
 * A client notices the loss of a frame's last packet only with the next frame, and a lost retransmission only after a timeout. So
 * these packets are sent twice at once, as RTX, in the order of what they save: the last packet of each frame, retransmissions,
 * small frames as a whole, frames of the lowest temporal layer as a whole. The level of the viewer's loss (egress/viewer.h)
 * decides how much of it. Audio has no RTX: its packets are sent again one packet later, byte for byte, and the client drops the
 * copies as replays.
 *
 * Each transport has a budget of bytes for copies of video, `mt_transport.spare`. Video that is sent fills it with a share of its
 * bytes, but with no more than the room that the link has beside the layers. On a congested link nothing is sent twice.
 */
#ifndef MT_EGRESS_REDUNDANCY_H
#define MT_EGRESS_REDUNDANCY_H

#include "state/core_state.h"

/* Packet `p` was sent with the number `sequence`, for the first time, in `len` bytes. */
void mt_redundancy_sent(mt_core *core, mt_consumer *c, const mt_packet *p, uint64_t sequence, size_t len, int64_t now);
/* The packet with the number `sequence` was sent again because the client had asked for it. */
void mt_redundancy_resent(mt_core *core, mt_consumer *c, uint64_t sequence, int64_t now);

#endif
