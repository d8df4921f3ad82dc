/* A consumer: one producer on its way to one client. */
#ifndef MT_STATE_CONSUMER_H
#define MT_STATE_CONSUMER_H

#include "base/list.h"
#include "base/rate.h"
#include "base/table.h"
#include "state/changes.h"
#include "state/figures.h"
#include "state/transport.h"

typedef struct mt_consumer mt_consumer;
typedef struct mt_producer mt_producer;

typedef struct { /* a stretch of one stream that is forwarded with constant offsets; a reset of the stream ends its use */
  bool used, open;
  uint8_t stream;
  uint64_t first, last; /* of the stream; last: when closed */
  uint64_t sequence_delta;
  uint32_t timestamp_delta;
  uint16_t picture_delta;
  uint8_t tl0_delta;
} mt_epoch;

typedef struct {            /* what was sent under a sequence number */
  uint64_t sequence;        /* ours, extended; 0: nothing */
  uint64_t stream_sequence; /* extended, */
  uint64_t generation;      /* in this generation of it */
  uint32_t timestamp, abs_send_time;
  int64_t resent;
  uint16_t picture_id, twcc;
  uint8_t tl0picidx, stream;
} mt_sent;

enum {
  MT_SENT_SLOTS = 512, /* packets that a consumer remembers */
  MT_SR_MEMORY = 4     /* sender reports that a consumer remembers */
};

typedef struct { /* in mt_transport.consumers_by_ssrc */
  mt_node node;
  mt_consumer *consumer;
} mt_consumer_by_ssrc;

struct mt_consumer {
  mt_node node;
  mt_consumer_by_ssrc by_ssrc, by_rtx_ssrc;
  mt_list in_transport, in_producer;
  mt_changes changes;
  uint32_t id;
  mt_transport *transport;
  mt_producer *producer; /* NULL: removed */
  uint32_t producer_id;
  mt_consumer_spec spec;
  mt_sender *sender, *rtx_sender; /* of `senders`; NULL: none */
  mt_sender senders[2];
  bool paused;
  uint8_t preferred, followed; /* followed: the same when the target was last chosen */
  int8_t target;               /* the stream to forward; -1: none arrives */
  int8_t announced_layer;      /* the last event's, or of one that waits */
  int64_t layer_announced;     /* when */
  mt_epoch epochs[2];          /* the current one; the one before */
  bool switching;              /* a key frame of `target` waits for the end of the current frame */
  uint64_t switch_first;
  int64_t switch_since;

  bool started;
  uint64_t highest; /* of ours */
  uint32_t last_timestamp;
  int64_t last_sent;
  bool last_marker;
  bool has_picture;
  uint16_t last_picture;
  uint8_t last_tl0;
  mt_sent *sent;        /* MT_SENT_SLOTS; NULL without NACK */
  int32_t resend_bytes; /* that may be sent again */

  uint64_t packets, octets; /* for sender reports */
  struct {
    uint32_t ntp_middle;
    int64_t sent;
  } reports[MT_SR_MEMORY];
  uint8_t report_next;
  uint8_t announced_score; /* the last event's, or of one that waits */
  bool score_known;
  mt_list scored;                        /* in mt_core.scored for a second after */
  mt_list owed;                          /* in mt_core.owed while a key frame is put off */
  uint8_t owed_streams;                  /* of which streams, as bits, */
  uint32_t owed_since[MT_MAX_ENCODINGS]; /* and how many they had had then */
  int64_t keyframes_paid;                /* until when; see egress/keyframes.c */
  int64_t score_announced;               /* when */
  mt_rate rate;
  mt_consumer_stats stats;
};

#endif
