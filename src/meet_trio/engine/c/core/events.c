/* See events.h. */
#include "core/events.h"

#include "core/snapshot.h"
#include "core/stats.h"
#include "state/trace.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* In this file, false means that the sink has no room. */

/* Offers the event if the flag is set, and clears the flag if the sink takes it. */
static bool offer(mt_core *core, mt_changes *changes, uint32_t flag, const mt_event *e) {
  if (!(changes->flags & flag)) return true;
  if (!core->sink.event(core->sink.context, e)) return false;
  changes->flags &= ~flag;
  return true;
}

static bool offer_transport(mt_core *core, mt_transport *t) {
  mt_event e = {.id = t->id};
  if (t->selected) e.path = t->selected->path;
  else t->changes.flags &= ~(uint32_t)(MT_CHANGED_CONNECTED | MT_CHANGED_MOVED); /* the route was lost meanwhile */
  if (t->plain) {
    e.type = MT_EVENT_PLAIN_CONNECTED;
    return offer(core, &t->changes, MT_CHANGED_CONNECTED, &e);
  }
  return (e.type = MT_EVENT_ICE_CONNECTED, offer(core, &t->changes, MT_CHANGED_CONNECTED, &e)) &&
         (e.type = MT_EVENT_ICE_MOVED, offer(core, &t->changes, MT_CHANGED_MOVED, &e)) &&
         (e.type = MT_EVENT_ICE_SILENT, offer(core, &t->changes, MT_CHANGED_SILENT, &e));
}

static bool offer_producer(mt_core *core, mt_producer *p) {
  mt_event e = {.id = p->id, .type = MT_EVENT_STREAM_STARTED};
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
    e.index = i;
    e.number = p->streams[i].stats.ssrc;
    if (!offer(core, &p->changes, (uint32_t)MT_CHANGED_STARTED << i, &e)) return false;
  }
  e.type = MT_EVENT_AUDIO_LEVEL;
  e.value = p->announced_level;
  if (!offer(core, &p->changes, MT_CHANGED_LEVEL, &e)) return false;
  e.type = MT_EVENT_PRODUCER_SCORE;
  e.index = p->spec.encoding_count;
  for (uint8_t i = 0; i < e.index; i++) e.scores[i] = p->streams[i].stats.score;
  return offer(core, &p->changes, MT_CHANGED_SCORE, &e);
}

static bool offer_consumer(mt_core *core, mt_consumer *c) {
  mt_event e = {.id = c->id, .type = MT_EVENT_CONSUMER_STARTED};
  if (!offer(core, &c->changes, MT_CHANGED_FIRST, &e)) return false;
  e.type = MT_EVENT_LAYER_CHANGED;
  e.value = c->announced_layer;
  e.index = c->announced_temporal;
  if (!offer(core, &c->changes, MT_CHANGED_LAYER, &e)) return false;
  e.type = MT_EVENT_CONSUMER_SCORE;
  e.value = c->announced_score;
  return offer(core, &c->changes, MT_CHANGED_SCORE, &e);
}

static bool offer_one(mt_core *core, mt_changes *changes) {
  switch (changes->kind) {
  case MT_KIND_TRANSPORT: return offer_transport(core, MT_OF(changes, mt_transport, changes));
  case MT_KIND_PRODUCER: return offer_producer(core, MT_OF(changes, mt_producer, changes));
  case MT_KIND_CONSUMER: return offer_consumer(core, MT_OF(changes, mt_consumer, changes));
  }
  return false;
}

/* False also if there is no memory. */
static bool offer_stats(mt_core *core, int64_t now) {
  while (core->stats_count) {
    mt_event e = {.type = MT_EVENT_STATS, .id = core->stats_waiting[0]};
    mt_stats *stats = mt_stats_take(core, now);
    if (!stats) {
      core->counters.dropped_no_memory++;
      return false;
    }
    e.data = stats;
    if (!core->sink.event(core->sink.context, &e)) {
      mt_stats_free(stats);
      return false;
    }
    core->stats_count--;
    memmove(core->stats_waiting, core->stats_waiting + 1, core->stats_count * sizeof *core->stats_waiting);
  }
  return true;
}

/* It is taken anew if there is no room: its indices must be those of now. */
static void offer_snapshot(mt_core *core, int64_t now) {
  mt_event e = {.type = MT_EVENT_SNAPSHOT, .id = core->snapshot_wanted};
  uint8_t *bytes = e.id ? mt_snapshot_take(core, &e.len, now) : NULL;
  if (!bytes) return;
  core->snapshot_taken = e.id;
  e.data = bytes;
  if (core->sink.event(core->sink.context, &e)) core->snapshot_wanted = 0;
  OPENSSL_cleanse(bytes, e.len);
  free(bytes);
}

void mt_events_offer(mt_core *core, int64_t now) {
  MT_EACH (item, &core->changed) {
    if (!offer_one(core, MT_OF(item, mt_changes, in_changed))) return;
    mt_list_remove(item);
  }
  offer_stats(core, now);
  offer_snapshot(core, now);
}

int64_t mt_traces_offer(mt_core *core, int64_t now) {
  int64_t next = INT64_MAX;
  MT_EACH (item, &core->traces) {
    mt_trace *trace = MT_OF(item, mt_trace, in_core);
    if (!trace->len) continue;
    mt_event e = {
        .type = MT_EVENT_TRACED, .id = trace->transport, .number = trace->lost, .data = trace->records, .len = trace->len};
    bool due = now >= trace->due || trace->len > sizeof trace->records / 2;
    if (due && core->sink.event(core->sink.context, &e)) {
      trace->len = 0;
      continue;
    }
    if (due) trace->due = now + MT_TRACE_WAIT_US;
    if (trace->due < next) next = trace->due;
  }
  return next;
}
