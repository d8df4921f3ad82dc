/* When a transport is probed, and how: the rate and the length of each cluster.
 *
 * Only one cluster runs at a time, and the next one waits for its result. It is short enough that a link which carries no more than
 * the estimate gets a queue of PROBE_QUEUE_US. The first one of a transport is shorter, because nothing is known of the link.
 */
#ifndef MT_ESTIMATE_PROBER_H
#define MT_ESTIMATE_PROBER_H

#include "estimate/cluster.h"

typedef enum { MT_PROBER_IDLE, MT_PROBER_SENDING, MT_PROBER_WAITING } mt_prober_state;

typedef struct {
  mt_prober_state state;
  uint8_t id;
  double bitrate;           /* bit/s */
  size_t left;              /* bytes */
  int64_t until;            /* microseconds: the state ends then at the latest */
  int64_t due;              /* microseconds: the next cluster is not before that */
  unsigned failures, wrong; /* results in turn: the rate does not fit; it was said to fit and a queue grew */
  int64_t failed_at;        /* microseconds: the last result that the rate does not fit */
  int64_t drained;          /* microseconds: until then the queue may be that of the last cluster */
  int64_t raised_at;        /* microseconds: when a result raised the rate last; 0: never */
  double longer;            /* factor of the length, because the last result was unsure */
  bool begun, follow;       /* there was a cluster; the last one fitted */
  mt_cluster cluster;
} mt_prober;

typedef struct {
  double rate;         /* bit/s: the estimate */
  double next, wanted; /* bit/s; next 0: no probe is needed */
  double most;         /* bit/s */
  double jitter;       /* microseconds */
} mt_prober_input;

/* The first cluster is due at `now`. A cluster that runs is forgotten; the numbers of clusters go on. */
void mt_prober_init(mt_prober *p, int64_t now);
/* Begins a cluster, if one is due and needed. */
void mt_prober_begin(mt_prober *p, const mt_prober_input *in, int64_t now);
/* Begins a cluster of `bytes` that measures nothing: feedback for it shows that the path is there. */
void mt_prober_knock(mt_prober *p, double bitrate, size_t bytes, int64_t now);
void mt_prober_sent(mt_prober *p, uint64_t number, size_t bytes, int64_t now);
/* Ends what takes too long. */
void mt_prober_expire(mt_prober *p, int64_t now);
/* The result of a cluster whose packets were all reported; else MT_CLUSTER_NOTHING. `reported`: extended number after the newest
 * reported one. `known`: the rate was reached lately, so it is asked for more often. */
mt_cluster_verdict mt_prober_result(mt_prober *p, uint64_t reported, double loss, bool known, double *rate, int64_t now);
/* A queue grew: no probe for a while, and for longer if a probe was the reason. */
void mt_prober_overused(mt_prober *p, int64_t now);

#endif
