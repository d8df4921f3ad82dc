/* A summary of all objects of a record of figures, for those who watch a server and not a call: numbers by kind and state, and
 * distributions.
 *
 * A pure function of mt_stats. It costs some nanoseconds for each object, so Python's thread calls it itself.
 */
#ifndef MT_STATE_SUMMARY_H
#define MT_STATE_SUMMARY_H

#include "state/figures.h"

enum {
  MT_SUMMARY_BOUNDS = 8, /* of a distribution */
};

/* How many values are above the bound before and not above this one; the last one: above all bounds */
typedef struct {
  uint64_t buckets[MT_SUMMARY_BOUNDS + 1];
  double sum;
} mt_distribution;

typedef enum { MT_CARRIER_NONE, MT_CARRIER_UDP, MT_CARRIER_TCP, MT_CARRIER_COUNT } mt_carrier; /* none: no path was found yet */

typedef struct {
  uint64_t transports[MT_CARRIER_COUNT][2];                  /* without and with SRTP */
  uint64_t producers[MT_MEDIA_COUNT][2];                     /* not paused, and paused */
  uint64_t active_streams[MT_MEDIA_COUNT][MT_MAX_ENCODINGS]; /* by encoding; mirrors are not counted */
  uint64_t consumers[MT_MEDIA_COUNT][MT_MAX_ENCODINGS + 1];  /* by the encoding that is sent now; the last one: none */
  uint64_t paused_consumers[MT_MEDIA_COUNT];                 /* these are in `consumers` too */
  mt_distribution estimate, round_trip, outgoing_loss;       /* of the transports where they are known */
} mt_summary;

/* Upper bounds, in bytes a second, in seconds, and as fractions of 1 */
extern const double mt_estimate_bounds[MT_SUMMARY_BOUNDS], mt_round_trip_bounds[MT_SUMMARY_BOUNDS];
extern const double mt_outgoing_loss_bounds[MT_SUMMARY_BOUNDS];

mt_summary mt_summarize(const mt_stats *stats);

/* The sums of one transport and of its consumers */
/* clang-format off */
#define MT_TRANSPORT_SUMS(X) \
  X(U64, packets_in, "packetsReceived") \
  X(U64, bytes_in, "bytesReceived") \
  X(U64, packets_out, "packetsSent") \
  X(U64, bytes_out, "bytesSent") \
  X(I64, lost, "packetsLost") \
  X(U64, nacks, "nackCount") \
  X(U64, plis, "pliCount")
/* clang-format on */

typedef struct {
#define X(kind, member, key) mt_figure_##kind member;
  MT_TRANSPORT_SUMS(X)
#undef X
} mt_transport_sums;

extern const mt_figure mt_transport_sum_figures[];

mt_transport_sums mt_sum_transport(const mt_stats *stats, const mt_transport_stats *transport);

#endif
