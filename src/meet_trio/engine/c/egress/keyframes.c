/* See keyframes.h. */
#include "egress/keyframes.h"

#include "egress/viewer.h"
#include "state/listening.h"
#include "state/marks.h"

enum {
  KEYFRAME_BURST = 10,         /* requests at once */
  KEYFRAME_US = 3 * MT_SECOND, /* time in which a consumer earns one request */
  PATIENCE_US = 1500 * MT_MS,  /* that a viewer with a picture waits for a key frame that another one needs */
};

static mt_stream *target_stream(const mt_consumer *c) {
  return c->producer && c->target >= 0 ? &c->producer->streams[c->target] : NULL;
}

void mt_consumer_want_keyframe(mt_core *core, mt_consumer *c, int64_t now) {
  mt_stream *s = target_stream(c);
  if (s) mt_want_keyframe(core, s, now);
}

/* Takes one request from the budget. False: the budget is used up. Each request moves `keyframes_paid` ahead by what it costs. */
static bool pay_keyframe(mt_consumer *c, int64_t now) {
  int64_t from = c->keyframes_paid > now ? c->keyframes_paid : now;
  if (from - now > (KEYFRAME_BURST - 1) * (int64_t)KEYFRAME_US) return false;
  c->keyframes_paid = from + KEYFRAME_US;
  return true;
}

static void put_off(mt_core *core, mt_consumer *c, const mt_stream *s, int64_t until) {
  c->owed_streams |= (uint8_t)(1u << s->index);
  c->owed_since[s->index] = s->stats.keyframes;
  c->owed_until[s->index] = until;
  mt_list_append(&core->owed, &c->owed);
}

void mt_consumer_ask_keyframe(mt_core *core, mt_consumer *c, mt_stream *s, int64_t now) {
  if (!s) s = target_stream(c);
  if (!s || s->keyframe_wanted || s->producer->spec.codec == MT_CODEC_OTHER) return;
  if (pay_keyframe(c, now)) {
    mt_want_keyframe(core, s, now);
    return;
  }
  core->counters.keyframe_requests_put_off++;
  put_off(core, c, s, now);
}

void mt_consumer_await_keyframe(mt_core *core, mt_consumer *c, const mt_stream *s, int64_t since) {
  if (!s->keyframe_wanted && !(c->owed_streams >> s->index & 1)) put_off(core, c, s, since + PATIENCE_US);
}

/* The stream that it decodes need not be the target: a switch may wait for a key frame. */
void mt_consumer_request_keyframe(mt_core *core, mt_consumer *c, int64_t now) {
  if (!c->paused) mt_consumer_ask_keyframe(core, c, mt_consumer_current_stream(c), now);
}

/* A key frame that has come since, or is already wanted, for another consumer serves this one too. */
static bool still_owed(const mt_consumer *c, const mt_stream *s) {
  return !s->keyframe_wanted && s->stats.keyframes == c->owed_since[s->index] && mt_consumer_listens(c, s);
}

/* A client whose link is congested needs the smaller picture at once. */
static bool is_patient(const mt_consumer *c, uint8_t stream, int64_t now) {
  return now < c->owed_until[stream] && !mt_viewer_congested(c->transport, now);
}

void mt_owed_round(mt_core *core, int64_t now) {
  MT_EACH (item, &core->owed) {
    mt_consumer *c = MT_OF(item, mt_consumer, owed);
    for (uint8_t i = 0; i < MT_MAX_ENCODINGS; i++) {
      mt_stream *s = c->producer ? &c->producer->streams[i] : NULL;
      if (!(c->owed_streams >> i & 1)) continue;
      if (s && still_owed(c, s)) {
        if (is_patient(c, i, now) || !pay_keyframe(c, now)) continue;
        mt_want_keyframe(core, s, now);
      }
      c->owed_streams &= (uint8_t)~(1u << i);
    }
    if (!c->owed_streams) mt_list_remove(&c->owed);
  }
}
