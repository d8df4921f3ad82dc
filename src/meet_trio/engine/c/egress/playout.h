/* Playout delay: the time by which a viewer shows pictures later, so that retransmissions come in time.
 *
 * A decoder drops a frame if the next one can be decoded before the frame's retransmission comes. The header extension
 * playout-delay asks the client to wait. Its value follows from the levels of loss (base/loss_level.h) and the round trips of the two
 * ways: from the publisher, whose retransmissions also come late, and to the viewer. On clean ways it is 0, and nothing is
 * written.
 *
 * The value moves in small steps, because the client jumps to a higher one at once. Sound follows, because clients keep both in
 * sync. The publisher's own value is handed on while there is none for the viewer.
 */
#ifndef MT_EGRESS_PLAYOUT_H
#define MT_EGRESS_PLAYOUT_H

#include "state/core_state.h"

enum { MT_PLAYOUT_BYTES = 3 }; /* of the extension's value */

void mt_playout_round(mt_transport *t, int64_t now); /* once a round: moves the delays of the transport's consumers */
bool mt_playout_written(const mt_consumer *c);       /* the engine writes the extension itself */
void mt_playout_write(const mt_consumer *c, uint8_t *out);

#endif
