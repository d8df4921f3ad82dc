/* See totals.h. */
#include "crowd/totals.h"

#include <stddef.h>

const char *const mt_crowd_counter_names[MT_CROWD_COUNTER_COUNT] = {
#define X(name) #name,
    MT_CROWD_COUNTERS(X)
#undef X
};

_Static_assert(offsetof(mt_crowd_totals, delay) == MT_CROWD_COUNTER_COUNT * sizeof(uint64_t),
               "the counters lie one after the other");

const uint64_t *mt_crowd_counter_values(const mt_crowd_totals *t) { return &t->sent_packets; }
