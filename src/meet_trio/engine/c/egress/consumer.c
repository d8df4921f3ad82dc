/* See consumer.h. */
#include "egress/consumer.h"

#include "egress/allocation.h"
#include "egress/downlink.h"
#include "egress/forward.h"
#include "egress/header.h"
#include "egress/keyframes.h"
#include "egress/layers.h"
#include "egress/numbering.h"
#include "egress/pacer.h"
#include "egress/scores.h"
#include "egress/sent.h"
#include "links/wish.h"
#include "paths/senders.h"
#include "state/find.h"
#include "state/marks.h"

enum { LOWEST_PRIORITY = 1 };

void mt_consumer_begin(mt_core *core, mt_consumer *c, int64_t now) {
  if (!mt_consumer_catch_up(core, c, now)) mt_consumer_want_keyframe(core, c, now);
}

void mt_consumer_pause(mt_core *core, mt_consumer *c, bool paused, int64_t now) {
  if (c->paused == paused) return;
  c->paused = paused;
  if (paused) {
    c->flowing = false;
    mt_consumer_halt(core, c);
    mt_mark_allocation(core, c->transport);
    return;
  }
  mt_allocate(core, c->transport, now);
  mt_consumer_choose_layer(core, c, true, now);
  mt_wish_listen(core, c, now);
  if (!c->transport->srtp) return; /* mt_consumer_begin follows when there are keys */
  if (!mt_consumer_catch_up(core, c, now)) mt_consumer_ask_keyframe(core, c, NULL, now);
}

void mt_consumer_prioritize(mt_core *core, mt_consumer *c, uint64_t priority) {
  mt_mark_allocation(core, c->transport);
  c->priority = priority < LOWEST_PRIORITY ? LOWEST_PRIORITY : priority > UINT8_MAX ? UINT8_MAX : (uint8_t)priority;
}

/* All steps that can fail. `c` holds what was taken, also after a failure: `discard` gives it back. */
static bool prepare(mt_core *core, mt_consumer *c) {
  if (!mt_sender_take(core, c->transport, c->spec.ssrc, &c->senders[0])) return false;
  c->sender = &c->senders[0];
  if (!c->spec.rtx_ssrc) return true;
  if (c->spec.rtx_ssrc == c->spec.ssrc || !mt_sender_take(core, c->transport, c->spec.rtx_ssrc, &c->senders[1])) return false;
  c->rtx_sender = &c->senders[1];
  return true;
}

static void discard(mt_core *core, mt_consumer *c) {
  if (c->sender) mt_sender_leave(core, c->transport, c->sender);
  if (c->rtx_sender) mt_sender_leave(core, c->transport, c->rtx_sender);
  mt_sent_free(core, c);
  for (unsigned i = 0; i < 2; i++) mt_epoch_free(core, &c->epochs[i]);
  mt_region_put(core->region, c);
}

void mt_consumer_add(mt_core *core, uint32_t id, mt_transport *t, uint32_t producer, const mt_consumer_spec *spec, int64_t now) {
  mt_producer *p = mt_find_producer(core, producer);
  mt_consumer *c = mt_find_consumer(core, id) ? NULL : mt_region_get(core->region, MT_KEPT_CONSUMER, sizeof *c);
  if (!c) {
    core->counters.commands_refused++;
    return;
  }
  c->transport = t;
  c->producer = p;
  c->spec = *spec;
  mt_header_prepare(c);
  if (!prepare(core, c)) {
    core->counters.commands_refused++;
    discard(core, c);
    return;
  }
  bool is_audio = p && !p->spec.video;
  if (c->spec.nack) c->sent_most = is_audio ? MT_SENT_MOST_AUDIO : MT_SENT_MOST;
  c->id = id;
  c->producer_id = producer;
  c->paused = true; /* until it has a target: it may catch up with that, and need no key frame */
  c->changes.kind = MT_KIND_CONSUMER;
  c->preferred = c->followed = MT_MAX_ENCODINGS - 1;
  c->preferred_temporal = MT_MAX_TEMPORAL - 1;
  c->priority = LOWEST_PRIORITY;
  c->target = c->announced_layer = -1;
  c->allowed = c->followed_allowed = MT_MAX_ENCODINGS - 1;
  c->allowed_temporal = c->temporal = MT_MAX_TEMPORAL - 1;
  c->first = c->sender->next;
  c->highest = c->first - 1;
  c->stats.score = MT_BEST_SCORE;
  mt_list_init(&c->in_transport);
  mt_list_init(&c->in_producer);
  mt_list_init(&c->in_due);
  mt_list_init(&c->changes.in_changed);
  mt_list_init(&c->scored);
  mt_list_init(&c->owed);
  mt_list_init(&c->behind);
  mt_list_init(&c->holding);
  mt_list_append(&t->consumers, &c->in_transport);
  mt_mark_busy(core, t);
  if (p) mt_list_append(&p->consumers, &c->in_producer);
  mt_table_insert(&core->consumers, &c->node, mt_hash64(c->id));
  c->by_ssrc.consumer = c->by_rtx_ssrc.consumer = c;
  mt_table_insert(&t->consumers_by_ssrc, &c->by_ssrc.node, mt_hash64(c->spec.ssrc));
  if (c->rtx_sender) mt_table_insert(&t->consumers_by_ssrc, &c->by_rtx_ssrc.node, mt_hash64(c->spec.rtx_ssrc));
  mt_region_mark(c);
  if (c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) mt_downlink_begin(core, t, now);
  mt_allocate(core, t, now);
  mt_consumer_choose_layer(core, c, true, now);
  c->paused = c->spec.paused;
  mt_wish_listen(core, c, now);
  if (!c->paused && t->srtp) mt_consumer_begin(core, c, now);
}

void mt_consumer_remove(mt_core *core, mt_consumer *c) {
  mt_transport *t = c->transport;
  mt_table_remove(&core->consumers, &c->node);
  mt_table_remove(&t->consumers_by_ssrc, &c->by_ssrc.node);
  if (c->rtx_sender) mt_table_remove(&t->consumers_by_ssrc, &c->by_rtx_ssrc.node);
  mt_list_remove(&c->in_transport);
  mt_list_remove(&c->in_producer);
  mt_list_remove(&c->changes.in_changed);
  mt_list_remove(&c->scored);
  mt_list_remove(&c->owed);
  mt_list_remove(&c->behind);
  mt_list_remove(&c->holding);
  mt_pacer_forget(c);
  mt_mark_allocation(core, t);
  discard(core, c);
}
