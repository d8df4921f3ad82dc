/* Epochs: a consumer forwards a stretch of one stream with constant offsets of all numbers.
 *
 * The offsets continue the consumer's numbers: the next sequence number, the next VP8 picture id and TL0PICIDX, and a timestamp
 * on the clock that the producer's streams share. Sender reports of both streams give that clock. Without them the time that has
 * passed since the last packet gives the timestamp.
 *
 * An epoch may begin in the past, with a key frame of the history. A client shows frames as far apart as their timestamps are, so it
 * would stay behind by the age of the key frame. Therefore the timestamps before the epoch's present are compressed: the client
 * decodes the past at once, and only the present has its true time.
 *
 * A consumer keeps its current epoch and the one before, for packets that come late.
 */
#ifndef MT_EGRESS_EPOCH_H
#define MT_EGRESS_EPOCH_H

#include "state/core_state.h"

/* A new epoch begins with packet `p` of `s`; the current one is closed. `newest`: of the stream's history. */
void mt_consumer_begin_epoch(mt_core *core, mt_consumer *c, const mt_stream *s, const mt_packet *p, const mt_packet *newest,
                             int64_t now);
uint32_t mt_epoch_timestamp(const mt_timing *t, uint32_t timestamp); /* the consumer's, for a timestamp of the stream */
/* No newer packet belongs to the current epoch; late packets of it still get their numbers. */
void mt_consumer_close_epoch(mt_consumer *c);
/* The packets of `s` do not continue the earlier ones. `reset`: its numbers begin anew too, and late packets of the old
 * numbering are not forwarded. */
void mt_consumer_cut(mt_consumer *c, const mt_stream *s, bool reset);
bool mt_epoch_of_stream(const mt_epoch *e, const mt_stream *s);

#endif
