/* Figures of everything at one moment, in one allocation for each kind. */
#ifndef MT_CORE_STATS_H
#define MT_CORE_STATS_H

#include "state/core_state.h"

mt_stats *mt_stats_take(mt_core *core, int64_t now); /* NULL: no memory */

#endif
