/* Reports, about once a second for each transport.
 *
 * To publishers: receiver reports for every stream that runs, and REMB. REMB carries the limit that was set; where the client
 * does not do transport-cc it is also all it knows about the network, so there the bitrate is lowered on
 * loss and raised again after.
 *
 * To viewers: sender reports. They hand on the publisher's own clock: its last report, moved on by the time since, with the
 * timestamp rewritten as those of the packets are. Audio and video of one publisher stay on one clock that way,
 * which is what lip sync needs.
 */
#ifndef MT_PERIODIC_REPORTS_H
#define MT_PERIODIC_REPORTS_H

#include "state/core_state.h"

void mt_transport_report(mt_core *core, mt_transport *t, int64_t now);

#endif
