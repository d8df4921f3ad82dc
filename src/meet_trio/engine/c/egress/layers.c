/* See layers.h. */
#include "egress/layers.h"

#include "egress/epoch.h"
#include "egress/keyframes.h"
#include "egress/svc.h"
#include "egress/temporal.h"
#include "egress/viewer.h"
#include "links/wish.h"
#include "state/arriving.h"
#include "state/listening.h"
#include "state/marks.h"

enum {
  LAYER_EVENT_US = 100 * MT_MS,    /* least time between two events about one consumer's layer */
  SKIP_RTT_US = 150 * MT_MS,       /* of the publisher, at most: its key frame comes soon */
  SKIP_US = 500 * MT_MS,           /* for that long no event says that a consumer which skips to a key frame forwards nothing */
  SPATIAL_WISH_US = 2 * MT_SECOND, /* least time between two key frames that are wished for another spatial layer of a stream */
};

/* The layer that the consumer forwards of `s`: in simulcast the stream, else the spatial layer of the one stream. -1: there is but
 * one. */
static int8_t forwarded_layer(const mt_consumer *c, const mt_stream *s) {
  if (c->producer->spec.encoding_count > 1) return (int8_t)s->index;
  bool layered = mt_layer_present(&s->layers, 1, 0) || mt_layer_present(&s->layers, 0, 1);
  return c->svc.started && layered ? (int8_t)c->svc.spatial : -1;
}

/* A publisher may end and begin its streams faster than one event in LAYER_EVENT_US: the next round
 * announces the layer then. */
static void announce_layer(mt_core *core, mt_consumer *c, int64_t now) {
  const mt_stream *s = mt_consumer_current_stream(c);
  if (c->skipping_since && now - c->skipping_since < SKIP_US) return;
  int8_t layer = s && !c->paused && mt_stream_arriving(core, s, now) ? forwarded_layer(c, s) : -1;
  uint8_t temporal = layer < 0 ? 0 : mt_consumer_temporal(c);
  if (layer == c->announced_layer && temporal == c->announced_temporal) return;
  if (now < c->layer_announced + LAYER_EVENT_US) return;
  if (layer != c->announced_layer) c->stats.switches++;
  c->announced_layer = layer;
  c->announced_temporal = temporal;
  c->layer_announced = c->layer_since = now;
  mt_change(core, &c->changes, MT_CHANGED_LAYER);
}

/* Another spatial layer of the stream that is forwarded needs a key frame, if the publisher sends that layer. */
static void wish_spatial(mt_core *core, mt_consumer *c, bool by_client, int64_t now) {
  mt_stream *s = mt_consumer_current_stream(c);
  if (!s || c->paused || c->producer->spec.encoding_count > 1) return;
  uint8_t wanted = mt_consumer_wanted_spatial(c);
  while (wanted > 0 && !mt_layer_present(&s->layers, wanted, 0)) wanted--;
  if (!mt_svc_needs_keyframe(&c->svc, wanted)) return;
  if (by_client) mt_consumer_ask_keyframe(core, c, s, now);
  else if (now >= c->spatial_asked + SPATIAL_WISH_US) mt_want_keyframe(core, s, now);
  else return;
  c->spatial_asked = now;
}

/* The link has no room for any layer. */
static void withhold(mt_core *core, mt_consumer *c, int64_t now) {
  c->target = -1;
  mt_consumer_halt(core, c);
  mt_wish_listen(core, c, now);
}

/* The client has a larger picture than it wants. */
static bool too_large(const mt_consumer *c, const mt_stream *current) {
  return current && current->index > c->preferred && (int8_t)c->preferred <= c->allowed;
}

/* A key frame is wanted, it is asked for at once, and the publisher is near. */
static bool keyframe_is_near(const mt_core *core, const mt_stream *s, int64_t now) {
  return s->keyframe_wanted && now >= mt_keyframe_due(core, s, now) && s->rtt_us < SKIP_RTT_US;
}

/* What is sent now waits in a long queue. So nothing is, until the key frame of the lower layer comes: it then arrives sooner. */
static void skip_to_keyframe(mt_consumer *c, int64_t now) {
  mt_consumer_close_epoch(c);
  c->skipping_since = now;
}

void mt_consumer_choose_layer(mt_core *core, mt_consumer *c, bool may_fall, int64_t now) {
  mt_producer *p = c->producer;
  if (!p) return;
  bool by_client = c->preferred != c->followed || c->allowed != c->followed_allowed; /* its feedback makes the allocation */
  c->followed = c->preferred;
  c->followed_allowed = c->allowed;
  int8_t target = -1, most = c->allowed < (int8_t)c->preferred ? c->allowed : (int8_t)c->preferred;
  if (c->allowed < 0) {
    if (c->target >= 0) withhold(core, c, now);
    return;
  }
  if (p->spec.encoding_count == 1) {
    target = 0;
  } else {
    for (int8_t i = 0; i < p->spec.encoding_count; i++) {
      if (!mt_stream_arriving(core, &p->streams[i], now)) continue;
      if (target < 0 || i <= most) target = i; /* a layer above the wanted one is better than none */
    }
  }
  if (target >= 0 && target != c->target && (may_fall || target > c->target)) {
    c->target = target;
    c->switching = false;
    mt_wish_listen(core, c, now);
    const mt_stream *current = mt_consumer_current_stream(c);
    bool begins = !c->paused && current != &p->streams[target];
    if (begins && too_large(c, current)) mt_consumer_await_keyframe(core, c, &p->streams[target], now);
    else if (begins && by_client) mt_consumer_ask_keyframe(core, c, &p->streams[target], now);
    else if (begins) mt_want_keyframe(core, &p->streams[target], now);
    bool falls = begins && current && target < (int8_t)current->index;
    if (falls && mt_viewer_queue_is_long(c->transport) && keyframe_is_near(core, &p->streams[target], now))
      skip_to_keyframe(c, now);
  }
  wish_spatial(core, c, by_client, now);
  announce_layer(core, c, now);
}

void mt_consumer_prefer_layers(mt_core *core, mt_consumer *c, const mt_layers *layers, int64_t now) {
  c->preferred = layers->spatial < MT_MAX_ENCODINGS ? (uint8_t)layers->spatial : MT_MAX_ENCODINGS - 1;
  c->preferred_temporal = layers->temporal < MT_MAX_TEMPORAL ? (uint8_t)layers->temporal : MT_MAX_TEMPORAL - 1;
  mt_mark_allocation(core, c->transport);
  mt_consumer_choose_layer(core, c, true, now);
}

void mt_consumer_halt(mt_core *core, mt_consumer *c) {
  mt_consumer_close_epoch(c);
  c->skipping_since = 0;
  c->switching = false;
  if (c->announced_layer >= 0) {
    c->announced_layer = -1;
    c->layer_since = core->last_now;
    c->announced_temporal = 0;
    mt_change(core, &c->changes, MT_CHANGED_LAYER);
  }
}
