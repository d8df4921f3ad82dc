/* What of a core outlives the process: objects that lie in its region (base/region.h), with all that a viewer or a publisher would
 * notice if it began anew.
 *
 * A kind says what a slot of the region holds. Slots of one kind have one size, but for ledgers.
 */
#ifndef MT_STATE_KEPT_H
#define MT_STATE_KEPT_H

#include "base/ledger.h"
#include "base/region.h"

#include <stdatomic.h>

/* Kinds, beside MT_KEPT_LEDGER. A kind keeps its number. */
enum {
  MT_KEPT_TRANSPORT = MT_KEPT_LEDGER + 1,
  MT_KEPT_PLAIN,
  MT_KEPT_SOURCE,
  MT_KEPT_PRODUCER,
  MT_KEPT_CONSUMER,
  MT_KEPT_NUMBERING,
};

/* Several members of a kept object change together, and a reader must not find some of them changed. The flag is a member of the
 * object: while it is set, they mean nothing. An end of the process cuts the sequence of its stores at one point, so only the compiler
 * has to keep their order. */
static inline void mt_change_begins(bool *changing) {
  *changing = true;
  atomic_signal_fence(memory_order_seq_cst);
}

static inline void mt_change_ends(bool *changing) {
  atomic_signal_fence(memory_order_seq_cst);
  *changing = false;
}

#endif
