/* The way out of a core: datagrams, and events for Python.
 *
 * The thread (thread.c) gives the core a sink with sockets, the tests give it one with memory.
 */
#ifndef MT_STATE_SINK_H
#define MT_STATE_SINK_H

#include "state/specs.h"

typedef enum {
  MT_EVENT_ICE_CONNECTED = 1, /* id: transport; path: its first selected route */
  MT_EVENT_ICE_MOVED,         /* id: transport; path: the route selected now */
  MT_EVENT_ICE_SILENT,        /* id: transport; consent is lost (RFC 7675) */
  MT_EVENT_PLAIN_CONNECTED,   /* id: transport; path: where its RTP goes */
  MT_EVENT_DTLS,              /* id: transport; data, len: a datagram, valid during the call */
  MT_EVENT_STREAM_STARTED,    /* id: producer; index: encoding; number: SSRC */
  MT_EVENT_LAYER_CHANGED,     /* id: consumer; value: spatial layer or -1; index: temporal layer */
  MT_EVENT_AUDIO_LEVEL,       /* id: producer; value: dBov, 0 (loudest) to -127 */
  MT_EVENT_PRODUCER_SCORE,    /* id: producer; index: number of encodings; scores: 0-10 of each */
  MT_EVENT_CONSUMER_SCORE,    /* id: consumer; value: 0-10 */
  MT_EVENT_CONSUMER_STARTED,  /* id: consumer */
  MT_EVENT_TRACED,            /* id: transport; number: packets lost since the trace began; data, len: records of state/trace.h */
  MT_EVENT_STATS,             /* id: the request's token; data: mt_stats *; a receiver that takes the event owns it */
  MT_EVENT_HELD,              /* id: the command's token; see core/begin.h */
  MT_EVENT_SNAPSHOT,          /* id: the request's token; data, len: core/snapshot.h, valid during the call */
  MT_EVENT_FAILED,            /* data, len: text (the thread's event; the core never fails) */
} mt_event_type;

typedef struct { /* each type says which members are valid */
  mt_event_type type;
  uint32_t id;
  uint32_t number;
  int32_t value;
  uint8_t index;
  uint8_t scores[MT_MAX_ENCODINGS];
  mt_path path;
  const void *data;
  size_t len;
} mt_event;

typedef struct {
  void *context; /* the first argument of each function */
  /* Returns a buffer of MT_DATAGRAM_MAX bytes for one datagram, never NULL. Without a matching `send` it returns the same
   * buffer again. */
  uint8_t *(*reserve)(void *context);
  /* Sends the first `len` bytes of the reserved buffer. */
  void (*send)(void *context, const mt_path *to, size_t len);
  /* False: there is no room now. The core keeps state changes and offers them again; a DTLS datagram is lost, as on a network. */
  bool (*event)(void *context, const mt_event *event);
} mt_sink;

#endif
