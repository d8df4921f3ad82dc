/* A producer: what a client sends, or the mirror of one that another engine has; and its relays. */
#ifndef MT_STATE_PRODUCER_H
#define MT_STATE_PRODUCER_H

#include "base/table.h"
#include "state/changes.h"
#include "state/stream.h"

typedef struct mt_link mt_link;
typedef struct mt_transport mt_transport;

typedef struct { /* a producer's way to one other engine */
  mt_list in_producer, in_link;
  mt_producer *producer;
  mt_link *link;
  uint32_t id;
  uint8_t listened; /* encodings that somebody listens to over there, as bits */
  uint8_t lost;     /* encodings of which packets found the ring full */
  uint8_t unsent;   /* encodings whose state is to be sent */
  uint8_t sent;     /* encodings whose state was sent since the last round */
  bool introduced;  /* the mirror has had the state of each encoding */
} mt_relay;

struct mt_producer {
  mt_node node;
  mt_list in_transport; /* or mt_core.mirrors */
  mt_changes changes;
  uint32_t id;
  mt_transport *transport; /* NULL: a mirror */
  mt_producer_spec spec;
  uint8_t ext_kind[256]; /* id → mt_ext_kind + 1 */
  bool paused;
  mt_list consumers;
  mt_stream streams[MT_MAX_ENCODINGS];
  int64_t level_due;
  int32_t level_sum, level_count, announced_level;
  int64_t level_heard;
  mt_list relays;

  bool mirror;
  mt_link *link; /* NULL: nothing comes (yet, or any more) */
  mt_list in_link;
  uint32_t relay; /* at the source, that fills it */
  uint8_t wished; /* encodings that the relay was asked for, as bits */
  int64_t rates_due;
};

#endif
