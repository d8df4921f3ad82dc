/* The way out of a core: datagrams, and events for Python. */
#ifndef MT_STATE_SINK_H
#define MT_STATE_SINK_H

#include "state/specs.h"

typedef enum {
  MT_EVENT_ICE_CONNECTED = 1, /* id: transport; path */
  MT_EVENT_ICE_MOVED,
  MT_EVENT_ICE_SILENT,
  MT_EVENT_PLAIN_CONNECTED, /* id: transport; path: where its RTP goes */
  MT_EVENT_DTLS,            /* id: transport; data, len: valid during the call */
  MT_EVENT_STREAM_STARTED,  /* id: producer; index, number: SSRC */
  MT_EVENT_LAYER_CHANGED,   /* id: consumer; value: spatial layer or -1 */
  MT_EVENT_AUDIO_LEVEL,     /* id: producer; value: dBov, 0 (loudest) to -127 */
  MT_EVENT_PRODUCER_SCORE,  /* id: producer; index: number of encodings; scores */
  MT_EVENT_CONSUMER_SCORE,  /* id: consumer; value: 0-10 */
  MT_EVENT_STATS,           /* id: token; data: mt_stats *, which is the receiver's when it takes the event */
  MT_EVENT_FAILED,          /* data, len: text (the thread's event; the core never fails) */
} mt_event_type;

typedef struct {
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
  void *context;
  /* Room for one datagram of MT_DATAGRAM_MAX bytes; never NULL. Without a `send` it is given again. */
  uint8_t *(*reserve)(void *context);
  void (*send)(void *context, const mt_path *to, size_t len);
  /* False: no room now. State changes are kept and offered again; DTLS datagrams are lost, as on a network. */
  bool (*event)(void *context, const mt_event *event);
} mt_sink;

#endif
