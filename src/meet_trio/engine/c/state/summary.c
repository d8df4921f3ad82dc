/* See summary.h. */
#include "state/summary.h"

const double mt_estimate_bounds[] = {12500, 31250, 62500, 125000, 250000, 500000, 1000000, 2000000};
const double mt_round_trip_bounds[] = {0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6};
const double mt_outgoing_loss_bounds[] = {0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5};

const mt_figure mt_transport_sum_figures[] = {
#define X(kind, member, key) {key, MT_FIGURE_##kind, offsetof(mt_transport_sums, member)},
    MT_TRANSPORT_SUMS(X)
#undef X
        {NULL, 0, 0}};

static void add(mt_distribution *d, const double *bounds, double value) {
  unsigned i = 0;
  while (i < MT_SUMMARY_BOUNDS && value > bounds[i]) i++;
  d->buckets[i]++;
  d->sum += value;
}

static mt_carrier carrier(const mt_path *path) {
  if (path->kind == MT_PATH_NONE) return MT_CARRIER_NONE;
  return path->kind == MT_PATH_TCP ? MT_CARRIER_TCP : MT_CARRIER_UDP;
}

static void add_transport(mt_summary *s, const mt_transport_stats *t) {
  s->transports[carrier(&t->path)][t->has_srtp]++;
  if (t->rtt_us) add(&s->round_trip, mt_round_trip_bounds, (double)t->rtt_us / MT_SECOND);
  if (!t->estimate) return;
  add(&s->estimate, mt_estimate_bounds, (double)t->estimate / 8);
  add(&s->outgoing_loss, mt_outgoing_loss_bounds, t->outgoing_loss / 256.0);
}

static void add_producer(mt_summary *s, const mt_producer_stats *p) {
  s->producers[p->media][p->paused]++;
  for (uint8_t i = 0; i < p->stream_count; i++) s->active_streams[p->media][i] += p->streams[i].active;
}

static void add_consumer(mt_summary *s, const mt_consumer_stats *c) {
  bool sends = c->spatial >= 0 && c->spatial < MT_MAX_ENCODINGS;
  s->consumers[c->media][sends ? c->spatial : MT_MAX_ENCODINGS]++;
  s->paused_consumers[c->media] += c->paused;
}

mt_summary mt_summarize(const mt_stats *stats) {
  mt_summary s = {0};
  for (uint64_t i = 0; i < stats->transport_count; i++) add_transport(&s, &stats->transports[i]);
  for (uint64_t i = 0; i < stats->producer_count; i++) add_producer(&s, &stats->producers[i]);
  for (uint64_t i = 0; i < stats->consumer_count; i++) add_consumer(&s, &stats->consumers[i]);
  return s;
}

mt_transport_sums mt_sum_transport(const mt_stats *stats, const mt_transport_stats *t) {
  mt_transport_sums sums = {
      .packets_in = t->packets_in,
      .bytes_in = t->bytes_in,
      .packets_out = t->packets_out,
      .bytes_out = t->bytes_out,
  };
  const mt_consumer_stats *own = &stats->consumers[t->first_consumer];
  for (uint32_t i = 0; i < t->own_consumers; i++) {
    sums.lost += own[i].lost;
    sums.nacks += own[i].nacks;
    sums.plis += own[i].plis;
  }
  return sums;
}
