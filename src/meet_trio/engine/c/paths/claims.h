/* Claims: addresses that a client's media comes from before a check has come from there.
 *
 * A NAT that forgets a mapping gives the client another address. The client does not notice, and its next check may be 2.5 seconds
 * away. Its media and feedback come from the new address at once. An authentic packet with a higher index than any before of its
 * SSRC makes that address a claimed route of the transport (ingress/rebinding.h finds the transport). Packets that come by it are
 * accepted from then on, because each is authenticated anyway. Packets to the client follow when nothing has come by the selected
 * route for a moment, so a copy that overtakes its original moves nothing.
 *
 * A claim proves less than a check: the source of a copied packet can be forged. So it is bounded as QUIC bounds a path that is not
 * validated (RFC 9000 sections 8 and 9): in bytes, in time, and one at a time with a pause after one that was not confirmed. A
 * check by the claimed route confirms it. A newer packet or a check by another route takes the media back.
 */
#ifndef MT_PATHS_CLAIMS_H
#define MT_PATHS_CLAIMS_H

#include "state/core_state.h"

/* True: a claim could be made now. The transport sends by a UDP route, and has no claim and no pause. */
bool mt_claim_possible(const mt_transport *t, int64_t now);
/* Makes `path` the transport's claimed route; mt_claim_possible holds and the path is no route. NULL: there is no place, because
 * the client's other routes all work. */
mt_route *mt_claim_make(mt_core *core, mt_transport *t, const mt_path *path, int64_t now);
/* Notes a datagram of media by the route. `advanced`: it was authentic, with a higher index than any before of its SSRC. */
void mt_claim_route_heard(mt_core *core, mt_route *r, bool advanced, int64_t now);
/* Notes a check by the route, which confirms the claim of this route, or ends that of another. */
void mt_claim_checked(mt_core *core, mt_route *r, int64_t now);
/* The transport has a claim. False: the datagram of `len` bytes is not to be sent, because too many went to an address that no check has confirmed. That is
 * counted. */
bool mt_claim_allows(mt_core *core, mt_transport *t, const mt_path *to, size_t len);
/* Moves media to claimed routes and ends claims that were not confirmed. Returns the time of the next call. */
int64_t mt_claims_tick(mt_core *core, int64_t now);

#endif
