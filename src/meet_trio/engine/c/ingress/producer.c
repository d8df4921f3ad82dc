/* Producers: their streams, who gets them, the speaker's level, and the choice of layers.
 *
 * One list of consumers for each producer; each consumer decides for itself which stream it forwards. Layers are looked at
 * when a stream begins or comes back, and ten times a second because streams end by falling silent. Only the latter
 * leads to a lower one: when all come back after a pause, the lowest comes first.
 */
#include "core/commands.h"
#include "egress/consumer.h"
#include "egress/fanout.h"
#include "egress/layers.h"
#include "egress/relay.h"
#include "links/wish.h"
#include "state/arriving.h"
#include "state/core_state.h"
#include "state/find.h"
#include "state/marks.h"
#include "state/state.h"

#include <stdlib.h>

enum {
  LEVEL_INTERVAL_US = 200 * MT_MS,
  LEVEL_SILENCE_US = 500 * MT_MS, /* no packets for that long: not speaking */
  LEVEL_STEP = 5,                 /* dB; smaller changes are not worth telling */
  LEVEL_SILENT = -127,
};

static void take_transport_settings(mt_core *core, mt_transport *t, const mt_producer_spec *spec) {
  uint8_t id = spec->ext_ids[MT_EXT_TRANSPORT_CC];
  if (!spec->transport_cc || !id) return;
  if (mt_twcc_start(t)) t->twcc_id = id; /* extension ids are the same in a whole session (BUNDLE) */
  else core->counters.dropped_no_memory++;
}

void mt_producer_add(mt_core *core, const mt_command *c) {
  bool mirror = c->type == MT_ADD_MIRROR;
  mt_transport *t = mirror ? NULL : mt_find_transport(core, c->transport);
  if (!t && !mirror) {
    core->counters.commands_for_unknown_ids++;
    return;
  }
  if (mt_find_producer(core, c->id)) {
    core->counters.commands_refused++;
    return;
  }
  mt_producer *p = calloc(1, sizeof *p);
  if (!p) {
    core->counters.dropped_no_memory++;
    return;
  }
  p->id = c->id;
  p->transport = t;
  p->mirror = mirror;
  p->spec = c->u.producer_spec;
  p->paused = p->spec.paused;
  p->changes.kind = MT_KIND_PRODUCER;
  p->level_told = LEVEL_SILENT;
  mt_list_init(&p->in_transport);
  mt_list_init(&p->changes.link);
  mt_list_init(&p->consumers);
  mt_list_init(&p->relays);
  mt_list_init(&p->in_link);
  for (unsigned kind = 0; kind < MT_EXT_COUNT; kind++)
    if (p->spec.ext_ids[kind]) p->ext_kind[p->spec.ext_ids[kind]] = (uint8_t)(kind + 1);
  mt_list_append(mirror ? &core->mirrors : &t->producers, &p->in_transport);
  mt_table_insert(&core->producers, &p->node, mt_hash64(p->id));
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
    if (mt_stream_init(core, &p->streams[i], p, i)) continue;
    core->counters.dropped_no_memory++;
    mt_producer_remove(core, p);
    return;
  }
  if (!mirror) take_transport_settings(core, t, &p->spec);
}

void mt_producer_remove(mt_core *core, mt_producer *p) {
  mt_producer_end_relays(core, p);
  if (p->mirror) mt_wish_gone(p);
  MT_EACH(item, &p->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_producer);
    mt_consumer_halt(core, c);
    mt_list_remove(&c->in_producer);
    c->producer = NULL;
  }
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) mt_stream_free(core, &p->streams[i]);
  mt_table_remove(&core->producers, &p->node);
  mt_list_remove(&p->in_transport);
  mt_list_remove(&p->changes.link);
  free(p);
}

void mt_producer_pause(mt_core *core, mt_producer *p, bool paused, int64_t now) {
  if (p->paused == paused) return;
  p->paused = paused;
  MT_EACH(item, &p->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_producer);
    if (paused) mt_consumer_halt(core, c);
    else if (!c->paused) mt_consumer_begin(core, c, now);
  }
  if (paused && p->level_told != LEVEL_SILENT) {
    p->level_told = LEVEL_SILENT;
    mt_change(core, &p->changes, MT_CHANGED_LEVEL);
  }
  mt_due(core, now); /* key frames that were wanted during the pause */
}

static void demand(mt_core *core, mt_stream *s, int64_t now) {
  s->keyframe_demanded = true;
  mt_want_keyframe(core, s, now);
}

void mt_producer_want_keyframe(mt_core *core, mt_producer *p, int64_t now) {
  bool any = false;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
    if (!mt_stream_active(core, &p->streams[i], now)) continue;
    demand(core, &p->streams[i], now);
    any = true;
  }
  if (!any) demand(core, &p->streams[0], now);
}

/* ---- the speaker's level (RFC 6464) ---- */

static void tell_level(mt_core *core, mt_producer *p, int32_t level) {
  int32_t step = level - p->level_told;
  if (step < 0) step = -step;
  if (step < LEVEL_STEP) return;
  p->level_told = level;
  mt_change(core, &p->changes, MT_CHANGED_LEVEL);
}

void mt_producer_level(mt_core *core, mt_producer *p, uint8_t extension, int64_t now) {
  p->level_sum -= extension & 0x7f; /* the top bit says "voice", which not every client knows */
  p->level_count++;
  p->level_heard = now;
  if (now < p->level_due) return;
  int32_t level = p->level_sum / p->level_count;
  p->level_sum = p->level_count = 0;
  p->level_due = now + LEVEL_INTERVAL_US;
  tell_level(core, p, level);
}

void mt_producer_round(mt_core *core, mt_producer *p, int64_t now) {
  if (p->spec.encoding_count > 1) mt_producer_choose_layers(core, p, true, now);
  if (!p->spec.video && p->level_heard && now - p->level_heard > LEVEL_SILENCE_US) tell_level(core, p, LEVEL_SILENT);
  mt_relay_round(core, p, now);
  int64_t horizon = now - (int64_t)core->settings.history_ms * MT_MS;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) mt_history_expire(&p->streams[i].history, &core->pool, horizon);
}
