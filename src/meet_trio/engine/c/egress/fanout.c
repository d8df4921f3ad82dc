/* See fanout.h. */
#include "egress/fanout.h"

#include "egress/forward.h"
#include "egress/layers.h"

void mt_producer_forward(mt_core *core, mt_stream *s, mt_packet *packet, int64_t now) {
  mt_producer *p = s->producer;
  if (p->paused) {
    core->counters.dropped_rtp_paused++;
    return;
  }
  MT_EACH (item, &p->consumers) mt_consumer_forward(core, MT_OF(item, mt_consumer, in_producer), s, packet, now);
}

void mt_producer_choose_layers(mt_core *core, mt_producer *p, bool may_fall, int64_t now) {
  MT_EACH (item, &p->consumers) mt_consumer_choose_layer(core, MT_OF(item, mt_consumer, in_producer), may_fall, now);
}
