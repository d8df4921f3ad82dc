/* See producer.h. */
#include "ingress/producer.h"

#include "egress/consumer.h"
#include "egress/layers.h"
#include "egress/relay.h"
#include "ingress/arrivals.h"
#include "ingress/level.h"
#include "ingress/stream.h"
#include "links/wish.h"
#include "state/arriving.h"
#include "state/find.h"
#include "state/marks.h"

static void take_transport_settings(mt_core *core, mt_transport *t, const mt_producer_spec *spec) {
  uint8_t id = spec->ext_ids[MT_EXT_TRANSPORT_CC];
  if (!spec->transport_cc || !id) return;
  if (mt_twcc_start(t)) t->twcc_id = id; /* all producers of a transport have the same id (BUNDLE) */
  else core->counters.dropped_no_memory++;
}

void mt_producer_add(mt_core *core, uint32_t id, mt_transport *t, const mt_producer_spec *spec) {
  if (mt_find_producer(core, id)) {
    core->counters.commands_refused++;
    return;
  }
  mt_producer *p = mt_region_get(core->region, MT_KEPT_PRODUCER, sizeof *p);
  if (!p) {
    core->counters.dropped_no_memory++;
    return;
  }
  p->id = id;
  p->transport = t;
  p->mirror = t == NULL;
  p->spec = *spec;
  p->paused = p->spec.paused;
  p->changes.kind = MT_KIND_PRODUCER;
  p->announced_level = MT_LEVEL_SILENT;
  mt_list_init(&p->in_transport);
  mt_list_init(&p->changes.in_changed);
  mt_list_init(&p->consumers);
  mt_list_init(&p->relays);
  mt_list_init(&p->in_link);
  mt_list_init(&p->in_gathered);
  for (unsigned kind = 0; kind < MT_EXT_COUNT; kind++)
    if (p->spec.ext_ids[kind]) p->ext_kind[p->spec.ext_ids[kind]] = (uint8_t)(kind + 1);
  mt_list_append(t ? &t->producers : &core->mirrors, &p->in_transport);
  if (t) mt_mark_busy(core, t);
  mt_table_insert(&core->producers, &p->node, mt_hash64(p->id));
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
    if (mt_stream_init(core, &p->streams[i], p, i)) continue;
    core->counters.dropped_no_memory++;
    mt_producer_remove(core, p);
    return;
  }
  if (t) take_transport_settings(core, t, &p->spec);
  mt_region_mark(p);
}

void mt_producer_remove(mt_core *core, mt_producer *p) {
  mt_producer_end_relays(core, p);
  if (p->mirror) mt_wish_gone(p);
  MT_EACH (item, &p->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_producer);
    mt_consumer_halt(core, c);
    mt_list_remove(&c->in_producer);
    c->producer = NULL;
  }
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) mt_stream_free(core, &p->streams[i]);
  mt_table_remove(&core->producers, &p->node);
  mt_list_remove(&p->in_transport);
  mt_list_remove(&p->changes.in_changed);
  mt_list_remove(&p->in_gathered);
  mt_region_put(core->region, p);
}

void mt_producer_pause(mt_core *core, mt_producer *p, bool paused, int64_t now) {
  if (p->paused == paused) return;
  p->paused = paused;
  MT_EACH (item, &p->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_producer);
    if (paused) {
      c->flowing = false;
      mt_consumer_halt(core, c);
    } else if (!c->paused) mt_consumer_begin(core, c, now);
  }
  if (paused) mt_level_silent(core, p);
  mt_due(core, now); /* key frames that were wanted during the pause */
}

static void demand_keyframe(mt_core *core, mt_stream *s, int64_t now) {
  s->keyframe_demanded = true;
  mt_want_keyframe(core, s, now);
}

void mt_producer_want_keyframe(mt_core *core, mt_producer *p, int64_t now) {
  bool any = false;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
    if (!mt_stream_active(core, &p->streams[i], now)) continue;
    demand_keyframe(core, &p->streams[i], now);
    any = true;
  }
  if (!any) demand_keyframe(core, &p->streams[0], now);
}
