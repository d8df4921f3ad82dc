/* SSRCs that a client sends, and what must be known of each so that no packet of it is taken twice.
 *
 * A source that feeds a stream, or has just begun or ended to, has whole replay windows. Of those without stream a client has
 * MT_MAX_IDLE_SOURCES; of more, the one that has been so for the longest ends: only the next indices of its windows are kept (16 bytes
 * in a ledger), and everything below them counts as a replay, whether or not it ever came. One that goes on after all goes on from there.
 * Nothing that was authentic is ever forgotten while the keys live. When the ledger is full, this client's further SSRCs are
 * not taken: that is 12,288 of them, and it takes a new transport.
 *
 * Plain RTP has no keys, nobody there is authentic, and a sender may begin anew: it keeps nothing of what has ended.
 */
#ifndef MT_INGRESS_SOURCES_H
#define MT_INGRESS_SOURCES_H

#include "state/core_state.h"

mt_source *mt_source_find(mt_transport *t, uint32_t ssrc); /* of those that have a whole window */
/* The windows that its next packet must pass: those of a source that has ended, or fresh ones. */
void mt_source_recall(const mt_core *core, const mt_transport *t, uint32_t ssrc, mt_srtp_window *rtp, mt_srtp_window *rtcp);
mt_source *mt_source_add(mt_core *core, mt_transport *t, uint32_t ssrc); /* with what is recalled; NULL: too many, or no memory */
void mt_source_attach(mt_source *source, mt_stream *s);
void mt_source_detach(mt_source *source);
void mt_sources_free(mt_transport *t);

#endif
