/* Sources: the SSRCs that a client sends, each with the replay windows by which no packet of it is taken twice.
 *
 * A source that feeds a stream has whole replay windows. So have the MT_MAX_IDLE_SOURCES newest sources without a stream. When a
 * client has more, the source that has been without a stream for the longest ends: only the next indices of its windows are kept
 * (16 bytes in a ledger). Every packet below them then counts as a replay, whether or not it ever came. A source that sends again
 * continues from there.
 *
 * No authentic packet is forgotten while the keys live. When the ledger is full (12,288 SSRCs), further SSRCs of this client are
 * not taken, and the client needs a new transport.
 *
 * Plain RTP has no keys, no packet is authentic, and a sender may be restarted. So nothing is kept of its sources that have ended.
 */
#ifndef MT_INGRESS_SOURCES_H
#define MT_INGRESS_SOURCES_H

#include "state/core_state.h"

mt_source *mt_source_find(mt_transport *t, uint32_t ssrc); /* NULL: no source with whole windows has this SSRC */
/* The windows that the next packet of an SSRC without source must pass: what is kept of a source that has ended, or new ones.
 * `rtp` and `rtcp` may be NULL. */
void mt_source_recall(const mt_core *core, const mt_transport *t, uint32_t ssrc, mt_srtp_window *rtp, mt_srtp_window *rtcp);
/* A source without stream, with the windows that mt_source_recall gives. NULL: the ledger is full, or there is no memory
 * (counted). */
mt_source *mt_source_add(mt_core *core, mt_transport *t, uint32_t ssrc);
void mt_source_attach(mt_source *source, mt_stream *s); /* it feeds `s` */
void mt_source_detach(mt_source *source);               /* it feeds no stream */
void mt_sources_free(mt_core *core, mt_transport *t);

#endif
