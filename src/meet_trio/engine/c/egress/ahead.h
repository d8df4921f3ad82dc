/* Fetching what the next viewers need, while the present one gets its packets.
 *
 * With many viewers a packet finds the state of none of them in the processor's nearest caches. It lies behind several pointers:
 * consumer, transport, keys and estimator. Which viewers come next is known, so each one is prepared in steps. A step fetches what
 * the step before has found the address of, and a viewer before it gets its packets meanwhile. So nothing is waited for.
 */
#ifndef MT_EGRESS_AHEAD_H
#define MT_EGRESS_AHEAD_H

#include "state/core_state.h"

enum { MT_AHEAD = 4 /* viewers that are prepared at a time */ };

typedef struct {
  const mt_list *consumers;        /* of a producer, the head; NULL: nothing is fetched */
  const mt_list *at[MT_AHEAD + 1]; /* the consumer whose turn it is, and those behind it; the head: none */
  bool ended;                      /* the last consumer of the list is among them */
} mt_ahead;

/* Before the first of a producer's consumers. */
void mt_ahead_begin(mt_ahead *a, const mt_core *core, const mt_list *consumers);
/* Before each of them, in the order of the list. The list must not change, except that the present one may leave. */
void mt_ahead_step(mt_ahead *a);

#endif
