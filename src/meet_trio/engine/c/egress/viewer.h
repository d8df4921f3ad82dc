/* What is known about a viewer's network: how many of the packets to it are lost, and how long a round trip takes.
 *
 * This is the one place where loss and round trip towards a client come from. All that adapts to them (egress/redundancy.h,
 * egress/playout.h) asks here.
 *
 * The loss comes from receiver reports. What the publisher's stream lost is not the viewer's loss: those numbers were not sent,
 * and are subtracted. Consumers with RTX count: for these the client reports a packet as lost even if a retransmission replaces
 * it. Without RTX a retransmission counts as received, so these reports are too low. They are used only if there are no others.
 */
#ifndef MT_EGRESS_VIEWER_H
#define MT_EGRESS_VIEWER_H

#include "estimate/estimator.h"
#include "state/core_state.h"

/* A receiver report about `c` has come. `total_lost`: packets (RFC 3550 section 6.4.1). */
void mt_viewer_reported(mt_core *core, mt_consumer *c, int32_t total_lost, int64_t now);
uint8_t mt_viewer_loss_level(const mt_transport *t); /* see base/loss_level.h */
int64_t mt_viewer_rtt_us(const mt_transport *t);     /* 0: unknown */
int64_t mt_viewer_reorder_us(const mt_transport *t); /* how late reordered packets come; 0: order is kept, or it is not known */
mt_fate mt_viewer_fate(const mt_consumer *c, const mt_sent *sent); /* what feedback has said of the packet so far */
void mt_viewer_round(mt_transport *t, int64_t now);                /* once a round: the level follows the loss */
/* The estimate of the link has fallen lately: losses may be those of a full queue. */
bool mt_viewer_congested(const mt_transport *t, int64_t now);
/* What is sent now waits in front of the link, for longer than one frame makes. */
bool mt_viewer_queue_is_long(const mt_transport *t);

#endif
