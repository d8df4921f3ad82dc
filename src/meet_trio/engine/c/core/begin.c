/* See begin.h. */
#include "core/begin.h"

#include "core/exchange.h"
#include "core/transport.h"
#include "egress/consumer.h"
#include "egress/fanout.h"
#include "egress/layers.h"
#include "egress/pacing.h"
#include "state/marks.h"

/* ---- holding ---- */

static void send_nothing(void *context, const mt_path *to, size_t len) { (void)context, (void)to, (void)len; }

static void stop_sending(mt_core *core) {
  if (core->held) return;
  core->held = true;
  core->send = core->sink.send;
  core->sink.send = send_nothing;
}

static void may_send(mt_core *core) {
  if (!core->held) return;
  core->held = false;
  core->sink.send = core->send;
}

void mt_core_hold_at_first(mt_core *core) {
  core->resuming = true;
  stop_sending(core);
}

/* What waits in the links now; no more than their rings have room for. */
static void take_messages(mt_core *core, int64_t now) {
  mt_exchange_count(core);
  while (mt_exchange_take(core, now)) mt_fanout_settle(core, now);
  mt_fanout_settle(core, now);
}

void mt_core_hold(mt_core *core, uint32_t token, int64_t now) {
  core->hold_unanswered = true;
  core->hold_token = token;
  if (core->resuming) return;
  may_send(core);
  take_messages(core, now);
  mt_pacers_drain(core, now);
  mt_region_alive(core->region, now);
  stop_sending(core);
}

bool mt_hold_answer(mt_core *core) {
  mt_event e = {.type = MT_EVENT_HELD, .id = core->hold_token};
  if (!core->hold_unanswered) return true;
  core->hold_unanswered = !core->sink.event(core->sink.context, &e);
  return !core->hold_unanswered;
}

/* ---- beginning ---- */

static void begin_producer(mt_core *core, mt_producer *p, int64_t now) {
  for (uint8_t i = 0; i < p->spec.encoding_count; i++)
    if (p->streams[i].keyframe_demanded) mt_want_keyframe(core, &p->streams[i], now);
}

static void begin_consumer(mt_core *core, mt_consumer *c, int64_t now) {
  if (c->paused || c->epochs[0].open) return;
  mt_consumer_choose_layer(core, c, true, now);
  if (c->transport->srtp) mt_consumer_begin(core, c, now);
}

/* A transport that had keys before any client could be heard has them from an earlier process. */
static void bar_unresumed(mt_core *core) {
  MT_EACH (item, &core->all_transports) {
    mt_transport *t = MT_OF(item, mt_transport, in_core);
    if (t->unresumed && t->srtp && !t->plain) mt_transport_bar(core, t);
    if (!t->barred) t->unresumed = false;
  }
}

void mt_core_begin(mt_core *core, int64_t now) {
  if (!core->held) return;
  if (core->resuming) bar_unresumed(core);
  may_send(core);
  core->resuming = false;
  core->next_tick = 0;
  MT_EACH (item, &core->mirrors) begin_producer(core, MT_OF(item, mt_producer, in_transport), now);
  MT_EACH (item, &core->all_transports) {
    mt_transport *t = MT_OF(item, mt_transport, in_core);
    MT_EACH (link, &t->producers) begin_producer(core, MT_OF(link, mt_producer, in_transport), now);
    MT_EACH (link, &t->consumers) begin_consumer(core, MT_OF(link, mt_consumer, in_transport), now);
  }
}
