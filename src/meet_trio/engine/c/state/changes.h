/* Changes of an object for which the sink has not yet taken the events: bits, and a place in one list (core/events.c).
 *
 * A change that happens again before its event is taken sets the same bit again. The event then carries the newest value, so a
 * full sink never makes the core store more.
 */
#ifndef MT_STATE_CHANGES_H
#define MT_STATE_CHANGES_H

#include "base/list.h"

#include <stdint.h>

typedef enum { MT_KIND_TRANSPORT, MT_KIND_PRODUCER, MT_KIND_CONSUMER } mt_kind;

/* Bits of mt_changes.flags. The events are in state/sink.h. */
enum {
  MT_CHANGED_CONNECTED = 1, /* transport: MT_EVENT_ICE_CONNECTED or MT_EVENT_PLAIN_CONNECTED */
  MT_CHANGED_MOVED = 2,     /* transport: MT_EVENT_ICE_MOVED */
  MT_CHANGED_SILENT = 4,    /* transport: MT_EVENT_ICE_SILENT */
  MT_CHANGED_LEVEL = 8,     /* producer: MT_EVENT_AUDIO_LEVEL */
  MT_CHANGED_SCORE = 16,    /* producer: MT_EVENT_PRODUCER_SCORE; consumer: MT_EVENT_CONSUMER_SCORE */
  MT_CHANGED_LAYER = 32,    /* consumer: MT_EVENT_LAYER_CHANGED */
  MT_CHANGED_FIRST = 64,    /* consumer: MT_EVENT_CONSUMER_STARTED */
  MT_CHANGED_STARTED = 256, /* producer: MT_EVENT_STREAM_STARTED; shifted left by the encoding's index */
};

typedef struct {
  mt_list in_changed; /* in mt_core.changed while any flag is set */
  mt_kind kind;       /* of the object that this is a member of */
  uint32_t flags;     /* MT_CHANGED_… */
} mt_changes;

#endif
