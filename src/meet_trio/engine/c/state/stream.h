/* A stream: one encoding of a producer, with its retransmissions.
 *
 * It is fed by the client's packets (ingress/stream.c) or, in a mirror, by another engine's relay. This is the state only.
 */
#ifndef MT_STATE_STREAM_H
#define MT_STATE_STREAM_H

#include "base/list.h"
#include "base/loss_level.h"
#include "base/rate.h"
#include "state/figures.h"
#include "state/layer_rates.h"
#include "state/packet.h"

typedef struct mt_producer mt_producer;
typedef struct mt_source mt_source;
typedef struct mt_stream mt_stream;

enum {
  MT_MAX_MISSING = 512,  /* missing packets that a stream waits for */
  MT_MAX_DROPOUT = 3000, /* packets: a longer gap is a new beginning, not loss (RFC 3550 appendix A.1) */
};

typedef struct { /* a packet that has not come while later ones have */
  uint64_t sequence;
  int64_t due;      /* time of the next NACK */
  int64_t asked;    /* time of the first NACK; 0: none was sent */
  uint64_t noticed; /* the stream's `received` when the gap was noticed */
  int64_t since;    /* time at which it was noticed */
  uint8_t tries;    /* NACKs that were due */
} mt_missing;

struct mt_stream {
  mt_producer *producer;
  uint8_t index;         /* in the producer's streams: the layer, 0 is the lowest */
  uint64_t generation;   /* counts resets and never repeats: the same sequence number stands for another packet after a reset */
  mt_source *main, *rtx; /* SSRCs that feed it; NULL: none */
  bool started;          /* media has come since the last reset */
  int64_t last_arrival;  /* time of the last media, without padding and retransmissions; 0: never */
  uint32_t frames;       /* packets with the marker: ended frames, complete or not */
  uint32_t frames_of_others[MT_MAX_ENCODINGS]; /* `frames` of the producer's other streams at the last arrival */
  uint64_t base, highest;                      /* extended sequence numbers: the first one, and the highest */
  uint64_t shown;                              /* consumers see the packets before this one; see egress/fanout.h */
  mt_history history;
  mt_list nacking;             /* in mt_core.nacking while packets are missing */
  mt_list wanting;             /* in mt_core.wanting while `keyframe_wanted` */
  mt_missing *missing;         /* MT_MAX_MISSING, ascending by sequence; NULL in a mirror */
  uint32_t missing_count;      /* entries of `missing` in use */
  bool has_keyframe;           /* a key frame has come since the last reset */
  uint64_t keyframe_first;     /* extended sequence number of the newest key frame's first packet */
  uint32_t keyframe_timestamp; /* and its RTP timestamp */
  int64_t listened_since;      /* of a mirror: since then all packets cross */
  bool keyframe_wanted;        /* requests are sent until one comes */
  bool keyframe_demanded;      /* wanted even if nobody listens to the stream */
  int64_t keyframe_asked;      /* time of the last request; 0: never */
  uint8_t fir_sequence;        /* number of the next FIR (RFC 5104 section 4.3.1) */
  mt_dd_structure structure;   /* AV1: the newest one; template_count 0: none has come */
  uint64_t structure_sequence; /* extended sequence number of the packet that brought it */
  bool has_picture;            /* the next three are set */
  uint64_t picture_first;      /* extended sequence number of the newest picture's first packet */
  uint32_t picture_timestamp;  /* and its RTP timestamp */
  uint16_t picture_frame;      /* AV1: frame number of the picture's first frame */
  uint32_t rtt_us;             /* average time from a NACK to its retransmission; 0: unknown */

  mt_loss_level loss;  /* of packets from the client, in its receiver reports */
  int64_t reorder_us;  /* by which packets have come late without having been sent again; falls slowly */
  mt_list tailing;     /* in mt_core.tailing while the newest packet does not end its frame */
  int64_t tail_due;    /* time at which the packet after it is asked for */
  uint64_t tail_asked; /* extended number of the last packet that was asked for in this way; 0: none */
  int64_t tail_asked_at;

  bool has_sr; /* the next three are the last sender report's */
  uint64_t sr_ntp;
  uint32_t sr_timestamp;
  int64_t sr_arrival; /* when it came */
  bool has_transit;   /* `transit` is set */
  int64_t transit;    /* clock units: arrival less timestamp, of the last packet (RFC 3550 appendix A.8) */
  double jitter;      /* clock units */
  uint64_t received;  /* packets without retransmissions, since the last reset */
  uint64_t reported_expected, reported_received; /* packets expected and received up to the last receiver report */
  int64_t lost_counted;                          /* packets of rtp_lost_in, since the last reset */
  mt_rate rate;
  mt_layer_rates layers;
  uint32_t frame_len; /* bytes on the network of the packets since the last frame ended */
  mt_stream_stats stats;
  bool changing; /* it is being reset, see state/kept.h */
};

#endif
