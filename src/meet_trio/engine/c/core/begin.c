/* See begin.h. */
#include "core/begin.h"

#include "egress/consumer.h"
#include "egress/layers.h"
#include "state/marks.h"

void mt_core_hold(mt_core *core) { core->held = true; }

static void begin_producer(mt_core *core, mt_producer *p, int64_t now) {
  for (uint8_t i = 0; i < p->spec.encoding_count; i++)
    if (p->streams[i].keyframe_demanded) mt_want_keyframe(core, &p->streams[i], now);
}

static void begin_consumer(mt_core *core, mt_consumer *c, int64_t now) {
  if (c->paused || c->epochs[0].open) return;
  mt_consumer_choose_layer(core, c, true, now);
  if (c->transport->srtp) mt_consumer_begin(core, c, now);
}

void mt_core_begin(mt_core *core, int64_t now) {
  if (!core->held) return;
  core->held = false;
  core->next_tick = 0;
  MT_EACH (item, &core->mirrors) begin_producer(core, MT_OF(item, mt_producer, in_transport), now);
  MT_EACH (item, &core->all_transports) {
    mt_transport *t = MT_OF(item, mt_transport, in_core);
    MT_EACH (link, &t->producers) begin_producer(core, MT_OF(link, mt_producer, in_transport), now);
    MT_EACH (link, &t->consumers) begin_consumer(core, MT_OF(link, mt_consumer, in_transport), now);
  }
}
