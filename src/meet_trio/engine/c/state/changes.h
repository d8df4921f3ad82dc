/* What has changed in an object since the sink took its events: bits, and a place in one list (core/events.c). */
#ifndef MT_STATE_CHANGES_H
#define MT_STATE_CHANGES_H

#include "base/list.h"

#include <stdint.h>

typedef enum { MT_KIND_TRANSPORT, MT_KIND_PRODUCER, MT_KIND_CONSUMER } mt_kind;

enum {
  MT_CHANGED_CONNECTED = 1,
  MT_CHANGED_MOVED = 2,
  MT_CHANGED_SILENT = 4,
  MT_CHANGED_LEVEL = 8,
  MT_CHANGED_SCORE = 16,
  MT_CHANGED_LAYER = 32,
  MT_CHANGED_STARTED = 256, /* << encoding index */
};

typedef struct {
  mt_list in_changed; /* of the core; while there are flags */
  mt_kind kind;
  uint32_t flags;
} mt_changes;

#endif
