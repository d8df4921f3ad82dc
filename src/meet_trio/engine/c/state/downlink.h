/* The way from the engine to one client: what it can carry, and what waits to be sent.
 *
 * A transport has a downlink from its first consumer on whose packets have transport-wide numbers, or from the client's first REMB
 * on. Other transports have none: their packets leave at once, and every layer is allowed. This is the state only; the code is in
 * egress/.
 */
#ifndef MT_STATE_DOWNLINK_H
#define MT_STATE_DOWNLINK_H

#include "base/bucket.h"
#include "base/list.h"
#include "estimate/estimator.h"

typedef struct mt_consumer mt_consumer;
typedef struct mt_transport mt_transport;

enum { MT_QUEUE_SLOTS = 512 }; /* packets that wait for the pacer; a power of two */

typedef struct {            /* a packet that waits for the pacer; its payload is in the stream's history */
  mt_consumer *consumer;    /* NULL: the consumer was removed meanwhile */
  uint64_t stream_sequence; /* extended */
  uint64_t generation;      /* mt_stream.generation */
  uint64_t sequence;        /* the consumer's extended sequence number */
  uint32_t timestamp;       /* as it will be sent */
  uint16_t picture_id, len; /* `len`: bytes of payload */
  bool marker;
  uint8_t tl0picidx, stream;
  uint8_t epoch; /* index in mt_consumer.sent_epochs */
} mt_queued;

typedef struct {
  /* Each packet that leaves touches these: one cache line. */
  mt_estimator *estimator;
  mt_bucket budget;       /* bytes that may leave now */
  mt_queued *queue;       /* MT_QUEUE_SLOTS; NULL: nothing waits */
  size_t waiting;         /* bytes of the packets that wait */
  uint32_t head, count;   /* of them */
  int64_t congested;      /* time of the last estimate that fell; 0: never */
  unsigned spare_percent; /* room beside what is allocated, in percent of that */
  uint8_t probe;          /* number of the probe that runs; 0: none */

  mt_transport *transport;
  int64_t moved;         /* mt_transport.moved that the estimator knows */
  mt_list in_allocating; /* in mt_core.allocating while a new allocation is due */
  mt_list in_pacing;     /* in mt_core.pacing while packets wait or a probe runs */

  /* The pacer; see egress/pacer.h. */
  mt_list behind;      /* consumers whose next packets wait in their histories until the queue has room */
  int64_t pace_due;    /* time of the next step */
  int64_t probe_begun; /* when the probe has begun */
  size_t probe_bytes;  /* bytes of all of it */
  uint32_t repeated;   /* packets that probes have repeated; chooses the next one */

  /* The allocation; see egress/allocation.h. */
  uint64_t bitrate;         /* the estimate at the last allocation */
  uint64_t allocated;       /* bit/s of the layers that are allowed */
  mt_bucket repairs;        /* bytes of retransmissions that may leave now */
  uint64_t repaired;        /* bytes of retransmissions so far */
  uint64_t repaired_before; /* the same at the last round */
  double repair;            /* bit/s of retransmissions that clients asked for, smoothed */
  uint64_t wanted;          /* bit/s of the best layers that clients want */
  mt_estimate_cause cause;  /* of the estimate at the last allocation */
  int64_t cause_since;      /* time of the first allocation with it; 0: there was none */
} mt_downlink;

#endif
