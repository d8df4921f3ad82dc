/* A network in virtual time: one link with a drop-tail queue, and the flows that share it. Everything is a function of the seed.
 *
 * Viewers send as an SFU does: frames of layers that fit the estimate, paced, with padding for probes, and audio without
 * transport-wide numbers beside it. Their clients answer with transport-cc feedback, which is written and read as real bytes. A
 * competitor sends as TCP does (additive increase, half after a loss).
 */
#ifndef MT_TESTS_NETWORK_H
#define MT_TESTS_NETWORK_H

#include "estimate/estimator.h"

#include <stdio.h>

enum { MAX_FLOWS = 4, MAX_STEPS = 8, STEP_US = 1000, LONGEST_RUN = 120 /* seconds */ };

typedef struct {
  double from; /* seconds */
  double rate; /* bit/s; 0: nothing passes, and what comes is lost */
} capacity_step;

typedef struct {
  capacity_step steps[MAX_STEPS];             /* the first one from 0; ended by a `from` of 0 */
  double delay_ms, queue_ms, loss, jitter_ms; /* one way; of the lowest rate of the queue; share; uniform, ± */
  double burst;                               /* mean length of runs of losses; 0 or 1: single ones */
  bool reorders;                              /* jitter may change the order */
  double feedback_loss, feedback_ms;          /* of the way back */
} link_spec;

typedef struct {
  uint64_t start, least, most;
  bool greedy;          /* sends what the estimate allows; otherwise layers */
  bool uneven;          /* ten frames a second, each fourth one is large, and paced slowly */
  double audio;         /* bit/s */
  double from, until;   /* seconds; until 0: to the end */
  const double *ladder; /* bit/s, ended by 0 */
} viewer_spec;

typedef struct {
  double time, capacity, estimate, sent, arrived, queue_ms; /* seconds; bit/s over the last 100 ms; the longest */
  mt_estimate_cause cause;
} sample;

typedef struct network network;

network *network_new(const link_spec *link, uint64_t seed);
void network_free(network *n);
unsigned network_viewer(network *n, const viewer_spec *spec);
void network_competitor(network *n, double from, double until);
void network_run(network *n, double until); /* seconds */
void network_set_loss(network *n, double loss);
mt_estimator *network_estimator(network *n, unsigned viewer);
unsigned network_probes(const network *n, unsigned viewer); /* that were sent so far */

/* Of a viewer from `from` to `to` seconds. */
double arrived_rate(const network *n, unsigned viewer, double from, double to); /* bit/s, audio too */
double competitor_rate(const network *n, double from, double to);               /* bit/s that arrived */
double queue_share(const network *n, unsigned viewer, double from, double to,
                   double share); /* ms: `share` of the packets wait less */
double estimate_least(const network *n, unsigned viewer, double from, double to);
double estimate_most(const network *n, unsigned viewer, double from, double to);
double estimate_mean(const network *n, unsigned viewer, double from, double to);
double layer_share(const network *n, unsigned viewer, double from, double to, double layer); /* share of frames of at least it */
unsigned layer_changes(const network *n, unsigned viewer, double from, double to);
/* Seconds after `from` at which the estimate is at most (or at least) `rate` for the first time. 1000: never. */
double first_below(const network *n, unsigned viewer, double from, double rate);
double first_above(const network *n, unsigned viewer, double from, double rate);
double first_layer(const network *n, unsigned viewer, double from, double layer);
void network_print(const network *n, FILE *out); /* the samples, as CSV */

#endif
