/* A stretch of one stream that a consumer forwards with constant offsets of all numbers.
 *
 * The offsets continue where the consumer stands: the next sequence number, the next VP8 picture id and TL0PICIDX, and a timestamp that
 * keeps the streams' common clock. That clock is known from both streams' sender reports; without them, from the time that has passed.
 */
#ifndef MT_EGRESS_EPOCH_H
#define MT_EGRESS_EPOCH_H

#include "state/core_state.h"

void mt_consumer_begin_epoch(mt_core *core, mt_consumer *c, const mt_stream *s, const mt_packet *p,
                             int64_t now);    /* with `p` of `s` */
void mt_consumer_close_epoch(mt_consumer *c); /* late packets of it still get their numbers */
/* Nothing of `s` goes on from what went before. `reset`: its numbers begin anew, late packets of the old ones get none. */
void mt_consumer_cut(mt_consumer *c, const mt_stream *s, bool reset);
bool mt_epoch_of_stream(const mt_epoch *e, const mt_stream *s);

#endif
