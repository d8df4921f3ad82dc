/* Which transports a round visits.
 *
 * A transport that has producers, consumers, a downlink, or a path that loses is busy: each round visits it. For any other one
 * rounds have nothing to do until its consent ends or its next report is due. It is quiet, and waits in a wheel: each slot holds the
 * transports whose next visit is due in the same 100 ms. A round looks at the slots since the last round, each at most once. So a
 * quiet transport is visited in the same round as if all were visited, and costs nothing in the others.
 *
 * The wheel turns once in 1.6 s; what is due later is visited earlier and waits again. Whatever can make the next visit due earlier
 * marks the transport as busy (mt_mark_busy): another selected route, a producer, a consumer. The others need no mark: a check of
 * consent makes the visit due later, a downlink begins and loss is reported only where there are consumers. The next round makes
 * the transport quiet again. So a client that marks its own transport again and again causes one visit in each round.
 *
 * Reports do something for a quiet transport, too: they take its bitrates, because a client may send what nobody takes.
 */
#ifndef MT_CORE_VISITS_H
#define MT_CORE_VISITS_H

#include "state/core_state.h"

enum { MT_ROUND_US = 100000 /* between two rounds, and the time of a slot */ };

void mt_visits_round(mt_core *core, int64_t now);

#endif
