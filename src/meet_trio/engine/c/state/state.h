/* Declarations that have no header of their own yet. */
#ifndef MT_STATE_STATE_H
#define MT_STATE_STATE_H

#include "core/core.h"
#include "formats/rtcp.h"
#include "formats/rtp.h"
#include "links/link.h"
#include "state/core_state.h"

/* receive.c */
void mt_rtp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len);
bool mt_transport_takes(mt_core *core, mt_transport *t, int64_t now); /* media, at the rate that it comes */
void mt_transport_charge(mt_transport *t, size_t len); /* for an authentic datagram */

/* source.c */
mt_source *mt_source_find(mt_transport *t, uint32_t ssrc); /* of those that have a whole window */
/* The windows that its next packet must pass: those of a source that has ended, or fresh ones. */
void mt_source_recall(const mt_core *core, const mt_transport *t, uint32_t ssrc, mt_srtp_window *rtp, mt_srtp_window *rtcp);
mt_source *mt_source_add(mt_core *core, mt_transport *t, uint32_t ssrc); /* with what is recalled; NULL: too many, or no memory */
void mt_source_attach(mt_source *source, mt_stream *s);
void mt_source_detach(mt_source *source);
void mt_sources_free(mt_transport *t);

/* rtcp_in.c */
void mt_rtcp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len);

/* rtcp_out.c */
void mt_transport_report(mt_core *core, mt_transport *t, int64_t now);

/* twcc.c */
bool mt_twcc_start(mt_transport *t);
void mt_twcc_arrived(mt_core *core, mt_transport *t, uint16_t sequence, uint32_t ssrc, int64_t now);
int64_t mt_twcc_tick(mt_core *core, int64_t now); /* when to come again */
void mt_twcc_free(mt_transport *t);

/* stream.c */
bool mt_stream_init(mt_core *core, mt_stream *s, mt_producer *p, uint8_t index);
void mt_stream_free(mt_core *core, mt_stream *s);
void mt_stream_reset(mt_core *core, mt_stream *s, int64_t now); /* another SSRC begins, or this one has ended */
void mt_stream_cut(mt_stream *s); /* what comes does not go on from what went before: viewers begin anew */
/* One packet, decrypted, `from` its datagram. `recovered`: unwrapped from RTX. */
void mt_stream_receive(mt_core *core, mt_stream *s, const mt_rtp *h, const uint8_t *from, const uint8_t *payload,
                       size_t payload_len, uint64_t sequence, bool recovered, int64_t now);
void mt_stream_report(mt_stream *s, mt_rtcp_report *out, int64_t now);
uint64_t mt_stream_extend(const mt_stream *s, uint16_t sequence);
void mt_stream_mirror(mt_core *core, mt_stream *s, const mt_packet *from, bool arrived, int64_t now);
void mt_stream_note(mt_core *core, mt_stream *s, bool marker, int64_t now); /* a mirror's encoding arrives */

/* nack.c */
bool mt_missing_add(mt_core *core, mt_stream *s, uint64_t first, uint64_t end, int64_t now); /* false: too many */
void mt_missing_overtaken(mt_core *core, mt_stream *s, int64_t now); /* a new packet has come */
bool mt_missing_take(mt_stream *s, uint64_t sequence, bool recovered, int64_t now); /* was it missing? */
bool mt_missing_has(const mt_stream *s, uint64_t sequence);
void mt_missing_clear(mt_stream *s);
int64_t mt_nack_tick(mt_core *core, int64_t now);
int64_t mt_keyframe_tick(mt_core *core, int64_t now);

/* producer.c */
void mt_producer_add(mt_core *core, const mt_command *c);
void mt_producer_remove(mt_core *core, mt_producer *p);
void mt_producer_pause(mt_core *core, mt_producer *p, bool paused, int64_t now);
void mt_producer_want_keyframe(mt_core *core, mt_producer *p, int64_t now);
void mt_producer_round(mt_core *core, mt_producer *p, int64_t now);
void mt_producer_level(mt_core *core, mt_producer *p, uint8_t extension, int64_t now);

void mt_links_round(mt_core *core);

void mt_mirrors_lose(mt_core *core, mt_link_end *end, int64_t now);
void mt_mirror_round(mt_core *core, mt_producer *m, int64_t now);
void mt_mirror_take(mt_core *core, mt_link_end *end, const mt_crossing *m, int64_t now);

/* stats.c */
mt_stats *mt_stats_take(mt_core *core, int64_t now); /* NULL: no memory */

#endif
