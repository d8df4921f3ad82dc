/* The missing packets of a stream: those that have not come while later ones have. They are kept in ascending order.
 *
 * periodic/requests.c sends NACKs for them and gives them up. All sequence numbers are extended.
 *
 * How late packets come that were not sent again is measured: on a network that reorders, the first NACK waits for as long.
 */
#ifndef MT_INGRESS_MISSING_H
#define MT_INGRESS_MISSING_H

#include "state/core_state.h"

/* The packets from `first` to before `end` are missing. False: MT_MAX_MISSING would be exceeded; none is added. */
bool mt_missing_add(mt_core *core, mt_stream *s, uint64_t first, uint64_t end, int64_t now);
/* A new packet has come: packets that enough newer ones have overtaken are due for a NACK at once. */
void mt_missing_overtaken(mt_core *core, mt_stream *s, int64_t now);
/* The packet has come and is no longer missing; `recovered`: through RTX. False: it was not missing. */
bool mt_missing_take(mt_stream *s, uint64_t sequence, bool recovered, int64_t now);
bool mt_missing_has(const mt_stream *s, uint64_t sequence);
void mt_missing_clear(mt_stream *s);
int64_t mt_missing_interval(const mt_core *core, const mt_stream *s); /* between two NACKs for a packet */
void mt_missing_calm(mt_stream *s);                                   /* a report was sent: the measured reordering falls */

/* The newest packet of the stream has come; `marker`: it ends a frame. If it does not, and nothing comes for a while, the packet
 * after it is asked for (mt_tail_tick). Otherwise the loss of a frame's last packet would be noticed only with the next frame.
 * Only streams with losses are watched. */
void mt_tail_note(mt_core *core, mt_stream *s, bool marker, int64_t now);
bool mt_tail_is(const mt_stream *s, uint64_t sequence); /* the packet was asked for in that way, and has not come */

#endif
