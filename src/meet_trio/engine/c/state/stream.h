/* A stream: one encoding of a producer, with its retransmissions. */
#ifndef MT_STATE_STREAM_H
#define MT_STATE_STREAM_H

#include "base/list.h"
#include "base/rate.h"
#include "state/figures.h"
#include "state/packet.h"

typedef struct mt_producer mt_producer;
typedef struct mt_source mt_source;
typedef struct mt_stream mt_stream;

enum {
  MT_MAX_MISSING = 512,  /* packets of a stream that are waited for */
  MT_MAX_DROPOUT = 3000, /* packets: a longer gap is a new beginning, not loss (RFC 3550 appendix A.1) */
};

typedef struct {
  uint64_t sequence;
  int64_t due, asked; /* asked: the first time, 0 = never */
  uint64_t noticed;   /* the stream's `received` then */
  uint8_t tries;
} mt_missing;

struct mt_stream {
  mt_producer *producer;
  uint8_t index;
  uint64_t generation; /* counts its resets; never the same twice, or what was sent before one would be taken for what came after */
  mt_source *main, *rtx;
  bool started;
  int64_t last_arrival;                        /* of media, not of padding and retransmissions; 0: never */
  uint32_t frames;                             /* whole or not */
  uint32_t frames_of_others[MT_MAX_ENCODINGS]; /* the other streams' `frames` at the last arrival */
  uint64_t base, highest;                      /* extended sequence numbers */
  mt_history history;
  mt_list nacking, wanting;
  mt_missing *missing; /* ascending */
  uint32_t missing_count;
  bool has_keyframe; /* of this SSRC; where the newest begins */
  uint64_t keyframe_first;
  uint32_t keyframe_timestamp;
  bool keyframe_wanted;
  bool keyframe_demanded; /* whether or not a consumer waits for it */
  int64_t keyframe_asked;
  uint8_t fir_sequence;
  uint32_t rtt_us; /* from NACKs to their retransmissions; 0: unknown */

  bool has_sr;
  uint64_t sr_ntp;
  uint32_t sr_timestamp;
  int64_t sr_arrival;
  bool has_transit;
  int64_t transit;
  double jitter;     /* clock units */
  uint64_t received; /* without retransmissions */
  uint64_t reported_expected, reported_received;
  mt_rate rate;
  mt_stream_stats stats;
};

#endif
