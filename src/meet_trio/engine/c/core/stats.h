/* The statistics of all objects at one moment: counters, gauges, and one array for each kind of object.
 *
 * The record is a copy, so Python reads it at its own pace. mt_stats_free frees it. The shell's figures (UDP and TCP sockets) are
 * added by the thread.
 */
#ifndef MT_CORE_STATS_H
#define MT_CORE_STATS_H

#include "state/core_state.h"

mt_stats *mt_stats_take(mt_core *core, int64_t now); /* `now`: microseconds. NULL: no memory */

#endif
