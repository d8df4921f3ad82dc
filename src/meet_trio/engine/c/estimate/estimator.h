/* How much one transport may send: the estimate of the bandwidth towards its client (docs/algorithms/bandwidth.md).
 *
 * The owner tells of each packet with a transport-wide number that leaves, and of each feedback. The estimate then is the bitrate
 * that packets with numbers may take together; packets without one, as audio's, have their own room beside it. It follows the
 * growth of queues, loss, and probes: the owner asks mt_estimator_probe before it waits for its next packet, and sends as much
 * padding or redundancy as that asks for.
 *
 * There is no I/O and no clock: `now` is microseconds, is above 0 and never goes back. An estimator is 3 KB, and 2 to 32 KB of
 * departures, which alone are allocated after mt_estimator_new. A call does a bounded amount of work: sending is a few stores, feedback is
 * linear in the bytes of the feedback and in the packets that left. A client may claim anything: the estimate stays between its
 * bounds, and only this client is sent too much or too little.
 */
#ifndef MT_ESTIMATE_ESTIMATOR_H
#define MT_ESTIMATE_ESTIMATOR_H

#include "estimate/departures.h"
#include "formats/rtcp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why the estimate changed last. */
typedef enum {
  MT_ESTIMATE_START,
  MT_ESTIMATE_DELAY,   /* a queue grew */
  MT_ESTIMATE_LOSS,    /* loss grew with the rate */
  MT_ESTIMATE_GROWTH,  /* nothing queued; or feedback came back after silence */
  MT_ESTIMATE_PROBE,   /* what a probe has shown */
  MT_ESTIMATE_REMB,    /* what the client asked for */
  MT_ESTIMATE_LIMIT,   /* mt_estimator_limit */
  MT_ESTIMATE_SILENCE, /* packets leave and no feedback comes */
  MT_ESTIMATE_PATH,    /* mt_estimator_moved */
} mt_estimate_cause;

/* What the last probe has shown. */
typedef enum {
  MT_PROBED_NOTHING, /* there was none */
  MT_PROBED_FITS,
  MT_PROBED_TOO_MUCH,
  MT_PROBED_UNSURE,
} mt_probed;

typedef struct {
  uint64_t start, least, most; /* bit/s; most 0: no bound */
  mt_pools *departures;        /* memory; see mt_departures_pools */
} mt_estimator_spec;

typedef struct {
  uint64_t bitrate;      /* bit/s that may leave */
  uint64_t acknowledged; /* bit/s that arrive; 0: not known */
  mt_estimate_cause cause;
  float loss;             /* share of the last seconds, 0 to 1 */
  uint32_t rtt_us;        /* with the time that the client waits for feedback to send; 0: not known */
  uint32_t queue_us;      /* how long packets wait in front of the client now */
  uint32_t reorder_us;    /* how late reordered packets came lately; 0: order is kept */
  bool overused;          /* a queue is there, and the estimate waits until it is gone */
  mt_probed probed;       /* the next two are set unless it is MT_PROBED_NOTHING */
  int64_t probed_at;      /* microseconds */
  uint64_t probe_bitrate; /* bit/s */
} mt_estimate;

typedef struct {
  uint8_t id;       /* the cluster, for mt_estimator_sent */
  uint64_t bitrate; /* bit/s, all that leaves */
  size_t bytes;     /* that still have to leave */
} mt_probe;

typedef struct mt_estimator mt_estimator;

mt_estimator *mt_estimator_new(const mt_estimator_spec *spec, int64_t now); /* NULL: no memory */
void mt_estimator_free(mt_estimator *e);                                    /* NULL is allowed */

/* A packet is about to leave: the cache lines that it needs of the estimator, and that of its departure. */
void mt_estimator_fetch(const mt_estimator *e);
void mt_estimator_fetch_departure(const mt_estimator *e);

/* A packet with transport-wide number `number` leaves. `bytes`: with all headers. `cluster`: of the probe that runs, 0: none. A
 * packet that leaves while a probe runs belongs to it, also one of media. Numbers rise. */
void mt_estimator_sent(mt_estimator *e, uint16_t number, size_t bytes, uint8_t cluster, int64_t now);
/* Transport-cc feedback, which mt_rtcp_read_twcc has checked. Its packets are read here. */
void mt_estimator_feedback(mt_estimator *e, mt_rtcp_twcc *feedback, int64_t now);
/* For a client that negotiated REMB alone: `bitrate` is the estimate. It is ignored once there was feedback. */
void mt_estimator_remb(mt_estimator *e, uint64_t bitrate, int64_t now);
/* The same client's receiver reports: the loss (0 to 1) and the round trip for the figures. They do not change the estimate, for
 * the share of loss alone does not tell congestion from a bad link. */
void mt_estimator_loss_report(mt_estimator *e, float loss, uint32_t rtt_us);
/* An upper bound in bit/s, which also holds below `least`. 0: none. */
void mt_estimator_limit(mt_estimator *e, uint64_t most);
/* What the streams could use. `wanted`: bit/s of all of them with the best layers that are wanted. `next`: the least total bit/s
 * with which one more layer fits; 0: nothing more is wanted. Growth stops below `next`; a probe shows that it fits. Until the first
 * call everything is wanted. */
void mt_estimator_demand(mt_estimator *e, uint64_t wanted, uint64_t next);
/* The client is at another address: what was measured is of another path. */
void mt_estimator_moved(mt_estimator *e, int64_t now);
/* What time does: silence, probes. Returns when it is due again, in microseconds; an earlier or later call does no harm. */
int64_t mt_estimator_tick(mt_estimator *e, int64_t now);
/* True: `out->bytes` more are to leave at `out->bitrate`. It is asked again after each packet. */
bool mt_estimator_probe(mt_estimator *e, mt_probe *out, int64_t now);

const mt_estimate *mt_estimator_estimate(const mt_estimator *e); /* lives as long as the estimator */
/* What feedback has said of a packet so far. A lost one may still become a received one. */
mt_fate mt_estimator_packet_fate(const mt_estimator *e, uint16_t number);

#endif
