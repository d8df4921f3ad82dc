/* One stream of a producer (an encoding, with its retransmissions): order, statistics, history.
 *
 * Sequence numbers are extended to 64 bits by the SRTP index, so they only rise. A packet is new (above the highest), awaited (in
 * the list of missing ones), or a duplicate. There is no fourth case, so no packet is ever forwarded twice, whether it was late,
 * retransmitted or both.
 *
 * The link fills the stream of a mirror instead. The engine that has the client has dropped duplicates already.
 */
#ifndef MT_INGRESS_STREAM_H
#define MT_INGRESS_STREAM_H

#include "formats/rtcp.h"
#include "formats/rtp.h"
#include "state/core_state.h"

bool mt_stream_init(mt_core *core, mt_stream *s, mt_producer *p, uint8_t index); /* false: no memory */
void mt_stream_free(mt_core *core, mt_stream *s);                                /* zeros, without mt_stream_init, are allowed */
void mt_stream_reset(mt_core *core, mt_stream *s, int64_t now);                  /* another SSRC begins, or this one has ended */
/* The next packets do not continue the earlier ones: consumers close their epochs of this stream. */
void mt_stream_cut(mt_stream *s);
/* A decrypted packet. `from`: its datagram, `payload`: what is in it after the header, unwrapped from RTX if `recovered`.
 * `sequence`: extended. */
void mt_stream_receive(mt_core *core, mt_stream *s, const mt_rtp *h, const uint8_t *from, const uint8_t *payload,
                       size_t payload_len, uint64_t sequence, bool recovered, int64_t now);
/* The report block for the time since the last one (RFC 3550 section 6.4.1). */
void mt_stream_report(mt_core *core, mt_stream *s, mt_rtcp_report *out, int64_t now);
/* A mirror's packet has come through the link. `arrived`: it is new media, neither retransmitted nor padding. */
void mt_stream_mirror(mt_core *core, mt_stream *s, const mt_packet *from, bool arrived, int64_t now);
/* A mirror's encoding arrives at the source, but its packets do not cross. `marker`: a frame has ended. */
void mt_stream_mirror_alive(mt_core *core, mt_stream *s, bool marker, int64_t now);

#endif
