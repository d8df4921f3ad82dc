/* Relays: the source's end of a link. A relay sends a producer's packets and the states of its streams to another engine.
 *
 * A packet crosses once for each engine that listens to its encoding. It crosses in the form in which it entered the stream's
 * history: decrypted, unwrapped from RTX, and never twice. For an encoding that nobody listens to on the other engine, only the
 * ends of frames cross, so that the choice of layers there knows which encodings arrive. Feedback to the client stays on this
 * engine: the other engine sends wishes, which this engine turns into requests.
 *
 * A packet that finds the ring full is lost. The next packet says so, and the mirror wants a key frame. A few slots are kept for
 * states, which are worth more than packets.
 *
 * A stream's state crosses at most once in a round (100 ms), at the first change. A later change, and one that finds the ring
 * full, waits for the next round. So a client that sends many reports, or begins anew with each packet, does not fill the ring at
 * the expense of others.
 */
#ifndef MT_EGRESS_RELAY_H
#define MT_EGRESS_RELAY_H

#include "links/link.h"
#include "state/core_state.h"

/* Counted as a command for an unknown id if the producer does not exist or is a mirror, or the sink has closed the link. Nothing
 * changes if the relay exists already. */
void mt_relay_start(mt_core *core, uint32_t producer, mt_link *link, int64_t now);
void mt_relay_stop(mt_core *core, uint32_t producer, mt_link *link);
void mt_relay_round(mt_core *core, mt_producer *p, int64_t now); /* sends the states that wait */
/* A packet entered the history of `s`. `arrived`: it is new media, neither retransmitted nor padding. */
void mt_relay_packet(mt_core *core, mt_stream *s, const mt_packet *p, bool arrived);
void mt_relay_state(mt_core *core, mt_stream *s, int64_t now);                      /* the state of `s` has changed */
void mt_relay_wish(mt_core *core, mt_link_end *end, const mt_wish *w, int64_t now); /* a wish of the mirror's engine */
void mt_producer_end_relays(mt_core *core, mt_producer *p);                         /* the producer is removed */
void mt_relays_end(mt_link_end *end);                                               /* the link is closed: all its relays end */

#endif
