/* The life of a transport's downlink (state/downlink.h), and the client's feedback about it. */
#ifndef MT_EGRESS_DOWNLINK_H
#define MT_EGRESS_DOWNLINK_H

#include "formats/rtcp.h"
#include "state/core_state.h"

/* The transport has a downlink from now on. Nothing happens if it has one. Without memory it goes on without. */
void mt_downlink_begin(mt_core *core, mt_transport *t, int64_t now);
void mt_downlink_end(mt_core *core, mt_transport *t);
void mt_downlink_feedback(mt_core *core, mt_transport *t, const mt_rtcp_packet *p, int64_t now); /* a transport-cc report */
void mt_downlink_remb(mt_core *core, mt_transport *t, uint64_t bitrate, int64_t now);            /* bit/s */
/* The estimate is never above `most` bit/s; 0: no limit. */
void mt_downlink_limit(mt_core *core, mt_transport *t, uint64_t most);
void mt_downlink_round(mt_core *core, mt_transport *t, int64_t now); /* ten times a second: a new estimate, a new allocation */
void mt_allocations_tick(mt_core *core, int64_t now);                /* the allocations that were marked */

#endif
