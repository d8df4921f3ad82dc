/* One stream of a producer (an encoding, with its retransmissions): order, statistics, history.
 *
 * Sequence numbers are extended to 64 bits by the SRTP index, so they only rise. A packet is new (above the
 * highest), awaited (in the list of missing ones), or a duplicate; there is nothing else, and so no packet is
 * ever forwarded twice, whether it was late, retransmitted or both.
 */
#ifndef MT_INGRESS_STREAM_H
#define MT_INGRESS_STREAM_H

#include "formats/rtcp.h"
#include "formats/rtp.h"
#include "state/core_state.h"

bool mt_stream_init(mt_core *core, mt_stream *s, mt_producer *p, uint8_t index); /* false: no memory */
void mt_stream_free(mt_core *core, mt_stream *s);                                /* never begun is allowed */
void mt_stream_reset(mt_core *core, mt_stream *s, int64_t now);                  /* another SSRC begins, or this one has ended */
void mt_stream_cut(mt_stream *s); /* what comes does not go on from what went before: viewers begin anew */
/* One packet, decrypted, `from` its datagram. `recovered`: unwrapped from RTX. */
void mt_stream_receive(mt_core *core, mt_stream *s, const mt_rtp *h, const uint8_t *from, const uint8_t *payload,
                       size_t payload_len, uint64_t sequence, bool recovered, int64_t now);
void mt_stream_report(mt_stream *s, mt_rtcp_report *out, int64_t now);                                /* RFC 3550 section 6.4.1 */
void mt_stream_mirror(mt_core *core, mt_stream *s, const mt_packet *from, bool arrived, int64_t now); /* a packet of the link */
void mt_stream_mirror_alive(mt_core *core, mt_stream *s, bool marker, int64_t now); /* a mirror's encoding arrives */

#endif
