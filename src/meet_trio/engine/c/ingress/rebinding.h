/* Finds the transport of media that comes from an unknown address, because a NAT has given its client another one.
 *
 * What a packet shows in clear names a few candidates: the sources with its SSRC and, for RTCP, with an SRTCP index just below its
 * own. The index is needed because all viewers of one browser send RTCP under SSRC 1. The packet is authenticated against the
 * candidates, on a copy. If one of them knows it, its address becomes a claimed route of that transport (paths/claims.h). The
 * packet then takes the way of any other.
 *
 * Anybody can send such packets. So the candidates of a packet are bounded, and so are the authentications in a second, for each
 * transport and for the core.
 */
#ifndef MT_INGRESS_REBINDING_H
#define MT_INGRESS_REBINDING_H

#include "state/core_state.h"

/* The datagram is one that mt_is_rtp_or_rtcp accepts, and stays unchanged. `from` is no route. NULL: it is not the newest packet of
 * any candidate. */
mt_route *mt_rebinding_try(mt_core *core, const mt_path *from, const uint8_t *data, size_t len, int64_t now);

/* After an authentic packet: the source can be found by the next ones. */
void mt_rebinding_note_rtp(mt_core *core, mt_source *source);
bool mt_rebinding_note_rtcp(mt_core *core, mt_source *source); /* true: the index was higher than any before */
void mt_rebinding_forget(mt_core *core, mt_source *source);    /* before the source is freed */

#endif
