/* Transport-wide congestion control, receiving side (draft-holmer-rmcat-transport-wide-cc-extensions-01): the client is told when
 * each of its numbered packets arrived, at most every 100 ms.
 *
 * Arrival times are kept for a window of numbers that ends at the newest. `next`, where the next report begins, never leaves the
 * window. So a report covers at most MT_TWCC_WINDOW numbers, whatever numbers a client chooses.
 */
#ifndef MT_INGRESS_ARRIVALS_H
#define MT_INGRESS_ARRIVALS_H

#include "state/core_state.h"

bool mt_twcc_start(mt_transport *t); /* false: no memory */
/* A packet of `ssrc` with the transport-wide sequence number `number` has arrived at time `now`. */
void mt_twcc_arrived(mt_core *core, mt_transport *t, uint16_t number, uint32_t ssrc, int64_t now);
/* Sends the reports that are due. Returns the time of the next one; INT64_MAX: none. */
int64_t mt_twcc_tick(mt_core *core, int64_t now);
void mt_twcc_free(mt_transport *t); /* not started is allowed */

#endif
