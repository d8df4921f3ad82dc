/* The source's end of a link: what of a producer is sent to another engine.
 *
 * A packet crosses once for each engine that listens to its encoding, as the stream took it: decrypted, unwrapped, in its history, never
 * twice. Of encodings that nobody over there listens to, only the ends of frames are told, so that the choice of layers knows
 * what arrives. All that feedback is about stays here: the other engine never asks the client for anything, it wishes.
 *
 * A full ring loses what does not fit. The next packet says so, and the mirror asks for a key frame. A few slots are kept for states, which
 * are worth more than packets.
 *
 * A stream's state crosses once in a round (100 ms), at the first change. Later changes, and one that finds the ring full, wait for the
 * next round: a client that sends many reports, or begins anew with each packet, does not take the ring from the others.
 */
#ifndef MT_EGRESS_RELAY_H
#define MT_EGRESS_RELAY_H

#include "links/link.h"
#include "state/core_state.h"

void mt_relay_start(mt_core *core, uint32_t producer, mt_link *link, int64_t now);
void mt_relay_stop(mt_core *core, uint32_t producer, mt_link *link);
void mt_relay_round(mt_core *core, mt_producer *p, int64_t now);
void mt_relay_packet(mt_core *core, mt_stream *s, const mt_packet *p, bool arrived);
void mt_relay_state(mt_core *core, mt_stream *s, int64_t now);                      /* it has changed */
void mt_relay_wish(mt_core *core, mt_link_end *end, const mt_wish *w, int64_t now); /* the mirror's engine says so */
void mt_producer_end_relays(mt_core *core, mt_producer *p);
void mt_relays_end(mt_link_end *end); /* all those of a link that is closed */

#endif
