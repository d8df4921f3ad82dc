/* Transport-wide congestion control, receiving side (draft-holmer-rmcat-transport-wide-cc-extensions-01): when each
 * numbered packet of a client came, told to it at most every 100 ms.
 *
 * Arrivals are kept for a window of numbers that ends at the newest. `next`, from which the next report begins, never leaves
 * the window, so a report covers at most MT_TWCC_WINDOW numbers whatever numbers a client chooses.
 */
#ifndef MT_INGRESS_ARRIVALS_H
#define MT_INGRESS_ARRIVALS_H

#include "state/core_state.h"

bool mt_twcc_start(mt_transport *t); /* false: no memory */
void mt_twcc_arrived(mt_core *core, mt_transport *t, uint16_t number, uint32_t ssrc, int64_t now);
int64_t mt_twcc_tick(mt_core *core, int64_t now); /* when to come again */
void mt_twcc_free(mt_transport *t);

#endif
