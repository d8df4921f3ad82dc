/* RTCP reports, about once a second for each transport. The bitrates of the last second are taken at the same time.
 *
 * A publisher gets receiver reports for every stream that has started, and REMB. REMB carries the limit that was set. For a
 * client without transport-cc it is also the only estimate of the network, so the bitrate in it is lowered after loss and raised
 * when the loss ends.
 *
 * A viewer gets sender reports. They carry the publisher's own clock: the NTP timestamp of the publisher's last report plus the
 * time since then, with an RTP timestamp that is rewritten as those of the packets are. So a publisher's audio and video stay on
 * one clock, which lip sync needs.
 */
#ifndef MT_PERIODIC_REPORTS_H
#define MT_PERIODIC_REPORTS_H

#include "state/core_state.h"

void mt_transport_report(mt_core *core, mt_transport *t, int64_t now); /* also sets the time of the next reports */

#endif
