/* What a crowd has done since its beginning. Counters only rise, but for those that say what is now. */
#ifndef MT_CROWD_TOTALS_H
#define MT_CROWD_TOTALS_H

#include "crowd/histogram.h"

/* clang-format off */
#define MT_CROWD_COUNTERS(X) \
  X(sent_packets)      /* RTP, without retransmissions */ \
  X(sent_bytes)        /* of these: RTP with its header, without SRTP's tag */ \
  X(sent_frames) \
  X(sent_keyframes) \
  X(late_frames)       /* sent more than 5 ms after their time, because the thread was busy */ \
  X(left_out_frames)   /* not sent: the thread was behind by more than a second */ \
  X(repeated_packets)  /* retransmissions that were sent */ \
  X(unsent)            /* datagrams that the kernel did not take */ \
  X(received_packets)  /* RTP of a known stream, authentic, for the first time */ \
  X(received_bytes) \
  X(recovered)         /* of these: they came as a retransmission */ \
  X(late)              /* of these: after a packet with a higher number */ \
  X(lost)              /* now: numbers of streams that have not come */ \
  X(duplicates)        /* for the second time, by the same SSRC, and nobody had asked for it */ \
  X(repeated_as_asked) /* of a stream without RTX: for the second time, after a NACK */ \
  X(redundant)         /* retransmissions of packets that are there already, and padding */ \
  X(unauthentic) \
  X(malformed) \
  X(unknown_ssrc)      /* now: of no stream that is known so far */                                                             \
  X(early)             /* packets of a stream that became known later, by signaling */ \
  X(probes)            /* packets of mediasoup's probing stream */ \
  X(unlabelled)         /* payload without a label */ \
  X(wrong_feed)      /* labelled by another feed than the stream's */ \
  X(left_out_packets)  /* sent by a stream's feed and without a number of the stream: lost on the way in, or withheld */ \
  X(nacks_sent) \
  X(nacks_received)    /* numbers in them */ \
  X(keyframe_requests) /* PLI and FIR that were received */ \
  X(reports_sent)      /* RTCP packets */ \
  X(feedback_sent)     /* of these: transport-wide feedback */ \
  X(rtcp_received) \
  X(endpoints)         /* now */ \
  X(feeds)           /* now */ \
  X(streams)           /* now: to be received */ \
  X(silent_streams)    /* now: nothing of them has come yet */ \
  X(busy_us)           /* the thread did not wait */ \
  X(cpu_us)            /* the thread's CPU time */
/* clang-format on */

typedef struct {
#define X(name) uint64_t name;
  MT_CROWD_COUNTERS(X)
#undef X
  mt_histogram delay; /* from a packet's label to its arrival */
} mt_crowd_totals;

enum {
#define X(name) MT_CROWD_##name,
  MT_CROWD_COUNTERS(X)
#undef X
      MT_CROWD_COUNTER_COUNT
};

/* The names of the counters, and their values, in the same order. */
extern const char *const mt_crowd_counter_names[MT_CROWD_COUNTER_COUNT];
const uint64_t *mt_crowd_counter_values(const mt_crowd_totals *t);

#endif
