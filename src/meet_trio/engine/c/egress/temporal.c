/* See temporal.h. */
#include "egress/temporal.h"

#include "egress/svc.h"
#include "state/listening.h"

static bool is_switching_point(const mt_packet *p) { return p->has_vp8 && p->vp8.layer_sync; }

/* The highest temporal layer that is to be forwarded. A stream that is to be replaced by a lower one is thinned out until the key
 * frame of that one comes. */
static uint8_t wanted_layer(const mt_consumer *c) {
  if (c->target >= 0 && c->target < c->epochs[0].stream) return 0;
  return c->preferred_temporal < c->allowed_temporal ? c->preferred_temporal : c->allowed_temporal;
}

/* In simulcast the layers are streams, and a stream is forwarded with all of its own. */
uint8_t mt_consumer_wanted_spatial(const mt_consumer *c) {
  if (c->producer->spec.encoding_count > 1) return MT_MAX_SPATIAL - 1;
  int wanted = c->allowed < (int)c->preferred ? c->allowed : (int)c->preferred;
  return wanted < 0 ? 0 : wanted < MT_MAX_SPATIAL ? (uint8_t)wanted : MT_MAX_SPATIAL - 1;
}

static bool has_svc(const mt_consumer *c) {
  mt_codec codec = c->producer->spec.codec;
  return codec == MT_CODEC_VP9 || codec == MT_CODEC_AV1;
}

bool mt_consumer_ends_picture(const mt_consumer *c, const mt_packet *p) {
  return has_svc(c) && mt_svc_ends_picture(&c->svc, &p->layering, p->timestamp, mt_consumer_wanted_spatial(c));
}

bool mt_consumer_leaves_out(mt_consumer *c, const mt_packet *p) {
  if (has_svc(c)) {
    bool left_out = mt_svc_leaves_out(&c->svc, &p->layering, p->timestamp, mt_consumer_wanted_spatial(c), wanted_layer(c));
    c->temporal = c->svc.temporal;
    return left_out;
  }
  if (c->frame_known && (int32_t)(p->timestamp - c->frame_timestamp) <= 0) return c->frame_left_out;
  uint8_t wanted = wanted_layer(c), layer = mt_packet_temporal(p);
  if (wanted <= c->temporal || p->keyframe) c->temporal = wanted;
  else if (layer > c->temporal && layer <= wanted && is_switching_point(p)) c->temporal = layer;
  c->frame_known = true;
  c->frame_timestamp = p->timestamp;
  c->frame_left_out = layer > c->temporal;
  return c->frame_left_out;
}

uint8_t mt_consumer_temporal(const mt_consumer *c) {
  const mt_stream *s = mt_consumer_current_stream(c);
  for (uint8_t t = MT_MAX_TEMPORAL - 1; s && t > 0; t--)
    if (t <= c->temporal && mt_layer_present(&s->layers, 0, t)) return t;
  return 0;
}
