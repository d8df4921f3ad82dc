/* Consumers: their life, what they want to forward, and when that changes. How packets are rewritten is forward.c's.
 *
 * A consumer forwards one stream at a time, in stretches ("epochs") with constant offsets of all numbers. It has a
 * target: the highest stream that arrives and is not above what was asked for. When the target is not
 * what it forwards now, it goes on with the old one until a key frame of the target comes.
 *
 * A key frame costs its publisher, and all others that watch it, many times a frame. What a client makes us ask for, by PLI and FIR, by
 * resuming and by choosing a layer, is paid from a budget of the consumer's own: so many at once, then one every few seconds. What is
 * above is put off, not refused: a viewer that has reason to ask gets its picture, if later. What is asked for already costs
 * nothing, and the engine's own wishes (losses that were given up, layers that come and go) are not the client's.
 */
#include "core/commands.h"
#include "links/wish.h"
#include "paths/senders.h"
#include "state/arriving.h"
#include "state/core_state.h"
#include "state/find.h"
#include "state/listening.h"
#include "state/marks.h"
#include "state/state.h"

#include <stdlib.h>
#include <string.h>

enum {
  LAYER_US = 100 * MT_MS, /* between two events about one consumer's layer */
  KEYFRAME_BURST = 10,
  KEYFRAME_US = 3 * MT_SECOND,
};

static mt_stream *awaited_stream(const mt_consumer *c) {
  return c->producer && c->target >= 0 ? &c->producer->streams[c->target] : NULL;
}

void mt_consumer_want_keyframe(mt_core *core, mt_consumer *c, int64_t now) {
  mt_stream *s = awaited_stream(c);
  if (s) mt_want_keyframe(core, s, now);
}

static bool pay_keyframe(mt_consumer *c, int64_t now) {
  int64_t from = c->keyframes_paid > now ? c->keyframes_paid : now;
  if (from - now > (KEYFRAME_BURST - 1) * (int64_t)KEYFRAME_US) return false;
  c->keyframes_paid = from + KEYFRAME_US;
  return true;
}

void mt_consumer_ask_keyframe(mt_core *core, mt_consumer *c, mt_stream *s, int64_t now) {
  if (!s) s = awaited_stream(c);
  if (!s || s->keyframe_wanted || s->producer->spec.codec == MT_CODEC_OTHER) return;
  if (pay_keyframe(c, now)) {
    mt_want_keyframe(core, s, now);
    return;
  }
  core->counters.keyframe_requests_put_off++;
  c->owed_streams |= (uint8_t)(1u << s->index);
  c->owed_since[s->index] = s->stats.keyframes;
  mt_list_append(&core->owed, &c->owed);
}

/* Unless one has come, or is about to, for another's sake. */
static bool still_owed(const mt_consumer *c, const mt_stream *s) {
  return !s->keyframe_wanted && s->stats.keyframes == c->owed_since[s->index] && mt_consumer_listens(c, s);
}

void mt_owed_round(mt_core *core, int64_t now) {
  MT_EACH(item, &core->owed) {
    mt_consumer *c = MT_OF(item, mt_consumer, owed);
    for (uint8_t i = 0; i < MT_MAX_ENCODINGS; i++) {
      mt_stream *s = c->producer ? &c->producer->streams[i] : NULL;
      if (!(c->owed_streams >> i & 1)) continue;
      if (s && still_owed(c, s)) {
        if (!pay_keyframe(c, now)) continue;
        mt_want_keyframe(core, s, now);
      }
      c->owed_streams &= (uint8_t)~(1u << i);
    }
    if (!c->owed_streams) mt_list_remove(&c->owed);
  }
}

void mt_consumer_begin(mt_core *core, mt_consumer *c, int64_t now) {
  if (!mt_consumer_catch_up(core, c, now)) mt_consumer_want_keyframe(core, c, now);
}

/* What the client is told: only simulcast has layers. A publisher whose streams end and begin without end is followed by the
 * rounds, which come here again. */
static void tell_layer(mt_core *core, mt_consumer *c, int64_t now) {
  const mt_stream *s = mt_consumer_current_stream(c);
  bool layered = c->producer && c->producer->spec.encoding_count > 1;
  int8_t layer = layered && s && !c->paused && mt_stream_arriving(core, s, now) ? (int8_t)s->index : -1;
  if (layer == c->told_layer || now < c->layer_told + LAYER_US) return;
  c->told_layer = layer;
  c->layer_told = now;
  c->stats.switches++;
  mt_change(core, &c->changes, MT_CHANGED_LAYER);
}

void mt_consumer_choose_layer(mt_core *core, mt_consumer *c, bool may_fall, int64_t now) {
  mt_producer *p = c->producer;
  if (!p) return;
  bool by_client = c->preferred != c->followed;
  c->followed = c->preferred;
  int8_t target = -1;
  if (p->spec.encoding_count == 1) {
    target = 0;
  } else {
    for (int8_t i = 0; i < p->spec.encoding_count; i++) {
      if (!mt_stream_arriving(core, &p->streams[i], now)) continue;
      if (target < 0 || i <= c->preferred) target = i; /* too high a layer is better than none */
    }
  }
  if (target >= 0 && target != c->target && (may_fall || target > c->target)) {
    c->target = target;
    c->switching = false;
    mt_wish_listen(core, c, now);
    bool begins = !c->paused && mt_consumer_current_stream(c) != &p->streams[target];
    if (begins && by_client) mt_consumer_ask_keyframe(core, c, &p->streams[target], now);
    else if (begins) mt_want_keyframe(core, &p->streams[target], now);
  }
  tell_layer(core, c, now);
}

void mt_consumer_close_epoch(mt_consumer *c) {
  mt_epoch *e = &c->epochs[0];
  if (!e->open) return;
  e->open = false;
  e->last = c->highest - e->sequence_delta;
}

void mt_consumer_cut(mt_consumer *c, const mt_stream *s, bool reset) {
  if (c->epochs[0].stream == s->index) mt_consumer_close_epoch(c);
  if (c->target == s->index) c->switching = false;
  for (unsigned i = 0; reset && i < 2; i++)
    if (c->epochs[i].stream == s->index) c->epochs[i].used = false;
}

void mt_consumer_halt(mt_core *core, mt_consumer *c) {
  mt_consumer_close_epoch(c);
  c->switching = false;
  if (c->told_layer >= 0) {
    c->told_layer = -1;
    mt_change(core, &c->changes, MT_CHANGED_LAYER);
  }
}

void mt_consumer_pause(mt_core *core, mt_consumer *c, bool paused, int64_t now) {
  if (c->paused == paused) return;
  c->paused = paused;
  if (paused) {
    mt_consumer_halt(core, c);
    return;
  }
  mt_consumer_choose_layer(core, c, true, now);
  mt_wish_listen(core, c, now);
  if (!c->transport->srtp) return; /* when there are keys */
  if (!mt_consumer_catch_up(core, c, now)) mt_consumer_ask_keyframe(core, c, NULL, now);
}

/* Everything that can fail; what it took is in `c` either way. */
static bool prepare(mt_core *core, mt_consumer *c) {
  if (c->spec.nack) {
    if (!(c->sent = mt_pool_get(&core->memories))) return false;
    memset(c->sent, 0, MT_SENT_BYTES);
  }
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
  mt_pool_put(&core->memories, c->sent);
  free(c);
}

void mt_consumer_add(mt_core *core, int64_t now, const mt_command *cmd) {
  mt_transport *t = mt_find_transport(core, cmd->transport);
  mt_producer *p = mt_find_producer(core, cmd->producer);
  if (!t) { /* without its producer a consumer is silent, without its transport it is nothing */
    core->counters.commands_for_unknown_ids++;
    return;
  }
  mt_consumer *c = mt_find_consumer(core, cmd->id) ? NULL : calloc(1, sizeof *c);
  if (!c) {
    core->counters.commands_refused++;
    return;
  }
  c->transport = t;
  c->spec = cmd->u.consumer_spec;
  if (!prepare(core, c)) {
    core->counters.commands_refused++;
    discard(core, c);
    return;
  }
  c->id = cmd->id;
  c->producer_id = cmd->producer;
  c->producer = p;
  c->paused = c->spec.paused;
  c->changes.kind = MT_KIND_CONSUMER;
  c->preferred = c->followed = MT_MAX_ENCODINGS - 1;
  c->target = c->told_layer = -1;
  c->highest = c->sender->next - 1;
  c->stats.score = 10;
  mt_list_init(&c->in_transport);
  mt_list_init(&c->in_producer);
  mt_list_init(&c->changes.link);
  mt_list_init(&c->scored);
  mt_list_init(&c->owed);
  mt_list_append(&t->consumers, &c->in_transport);
  if (p) mt_list_append(&p->consumers, &c->in_producer);
  mt_table_insert(&core->consumers, &c->node, mt_hash64(c->id));
  c->by_ssrc.consumer = c->by_rtx_ssrc.consumer = c;
  mt_table_insert(&t->consumers_by_ssrc, &c->by_ssrc.node, mt_hash64(c->spec.ssrc));
  if (c->rtx_sender) mt_table_insert(&t->consumers_by_ssrc, &c->by_rtx_ssrc.node, mt_hash64(c->spec.rtx_ssrc));
  mt_consumer_choose_layer(core, c, true, now);
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
  mt_list_remove(&c->changes.link);
  mt_list_remove(&c->scored);
  mt_list_remove(&c->owed);
  discard(core, c);
}
