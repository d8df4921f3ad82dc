/* See figures.h. */
#include "state/figures.h"

#include <stdlib.h>

const char *const mt_counter_names[] = {
#define X(name) #name,
    MT_COUNTERS(X)
#undef X
};
const uint32_t mt_counter_count = sizeof(mt_counters) / sizeof(uint64_t);

#define FIGURE(kind, member, key) {key, MT_FIGURE_##kind, offsetof(RECORD, member)},
#define END {NULL, 0, 0}

#define RECORD mt_transport_stats
const mt_figure mt_transport_figures[] = {MT_TRANSPORT_FIGURES(FIGURE) END};
#undef RECORD
#define RECORD mt_stream_stats
const mt_figure mt_stream_figures[] = {MT_STREAM_FIGURES(FIGURE) END};
#undef RECORD
#define RECORD mt_producer_stats
const mt_figure mt_producer_figures[] = {MT_PRODUCER_FIGURES(FIGURE) END};
const mt_figure mt_mirror_figures[] = {MT_MIRROR_FIGURES(FIGURE) END};
#undef RECORD
#define RECORD mt_consumer_stats
const mt_figure mt_consumer_figures[] = {MT_CONSUMER_FIGURES(FIGURE) END};
#undef RECORD
#define RECORD mt_stats
const mt_figure mt_gauges[] = {MT_GAUGES(FIGURE) END};
#undef RECORD

void mt_stats_free(mt_stats *stats) {
  if (!stats) return;
  free(stats->transports);
  free(stats->producers);
  free(stats->mirrors);
  free(stats->consumers);
  free(stats);
}
