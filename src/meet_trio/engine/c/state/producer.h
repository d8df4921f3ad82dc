/* A producer: media that a client sends, or the mirror of a producer that another engine has. Its relays carry it to other engines.
 *
 * A producer has one stream for each encoding (state/stream.h). This is the state only; the code is in ingress/ and egress/relay.c.
 */
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
  uint32_t id;      /* counts the relays of this engine */
  uint8_t listened; /* encodings that the other engine listens to, as bits */
  uint8_t lost;     /* encodings with packets that found the ring full, as bits; the next packet says so */
  uint8_t unsent;   /* encodings whose state is to be sent, as bits */
  uint8_t sent;     /* encodings whose state was sent in this round, as bits */
  bool introduced;  /* the mirror has had the state of each encoding */
} mt_relay;

enum { MT_MAX_GATHERED = 64 }; /* packets of a producer that wait together to be forwarded */

typedef struct { /* a packet that waits to be forwarded; see egress/fanout.h */
  mt_packet *packet;
  uint8_t stream; /* index in mt_producer.streams */
} mt_gathered;

struct mt_producer {
  mt_node node;         /* in mt_core.producers */
  mt_list in_transport; /* or in mt_core.mirrors */
  mt_changes changes;
  uint32_t id;
  mt_transport *transport; /* NULL: a mirror */
  mt_producer_spec spec;
  uint8_t ext_kind[256]; /* by header extension id: mt_ext_kind + 1; 0: not negotiated */
  bool paused;
  mt_list consumers;
  mt_stream streams[MT_MAX_ENCODINGS];
  int32_t level_sum, level_count; /* levels in dBov since the last average, and their number */
  int32_t announced_level;        /* dBov, of the last event, also of one that the sink has not taken yet, or that nobody watches */
  bool level_watched;             /* a change of the level makes an event */
  int64_t level_heard;            /* time of the last audio level; 0: never */
  mt_list relays;
  mt_list in_gathered; /* in mt_core.gathered while packets wait */
  uint32_t gathered_count;
  mt_gathered gathered[MT_MAX_GATHERED];

  /* Of a mirror: */
  bool mirror;
  mt_link *link;     /* NULL: no relay fills it (not yet, or not any more) */
  mt_list in_link;   /* in the members of the link's end */
  uint32_t relay;    /* id of the source's relay that fills it */
  uint8_t wished;    /* encodings that the relay was asked for, as bits */
  uint8_t attached;  /* encodings of which no packet has come by this relay, as bits */
  int64_t rates_due; /* time at which the bitrates are taken next */
};

#endif
