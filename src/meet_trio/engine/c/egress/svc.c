/* See svc.h. */
#include "egress/svc.h"

static uint8_t bit(uint8_t spatial) { return (uint8_t)(1u << spatial); }

static uint8_t lower(uint8_t a, uint8_t b) { return a < b ? a : b; }

/* The highest layer up to `spatial` of which the client has all frames; without one the present layer. */
static uint8_t fed_layer(const mt_svc *v, uint8_t spatial) {
  for (int s = spatial; s >= 0; s--)
    if (v->fed & bit((uint8_t)s)) return (uint8_t)s;
  return v->spatial;
}

/* The first frame of a picture. In a key picture the consumer begins at the bottom. */
static void begin_picture(mt_svc *v, const mt_layering *l, uint32_t timestamp, uint8_t spatial, uint8_t temporal) {
  v->climbing = l->up_spatial && (!l->inter_layer || !v->started);
  v->started = true;
  v->timestamp = timestamp;
  v->decided = v->left_out = 0;
  if (v->climbing) {
    v->spatial = l->spatial;
    v->temporal = temporal;
    v->fed = 0;
  } else if (spatial < v->spatial) {
    v->spatial = fed_layer(v, spatial);
  }
}

static bool is_needed(const mt_svc *v, const mt_layering *l) { return mt_layering_is_for(l, v->spatial, v->temporal); }

/* The first packet of a frame. True: the frame is left out. */
static bool decide(mt_svc *v, const mt_layering *l, uint8_t spatial, uint8_t temporal) {
  bool next = l->spatial == v->spatial + 1;
  if (v->climbing && l->up_spatial && l->spatial > v->spatial && l->spatial <= spatial && (next || !l->inter_layer))
    v->spatial = l->spatial;
  v->temporal = lower(v->temporal, temporal);
  bool needed = is_needed(v, l);
  if (needed) {
    if (l->up_spatial) v->fed |= bit(l->spatial);
    if (l->up_to > v->temporal && l->spatial == v->spatial) v->temporal = lower(temporal, l->up_to);
  } else if (l->temporal <= v->temporal && !l->discardable) {
    v->fed &= (uint8_t)~bit(l->spatial);
  }
  return !needed;
}

bool mt_svc_leaves_out(mt_svc *v, const mt_layering *l, uint32_t timestamp, uint8_t spatial, uint8_t temporal) {
  if (!l->known) return false;
  if (!v->started || (int32_t)(timestamp - v->timestamp) > 0) begin_picture(v, l, timestamp, spatial, temporal);
  if (timestamp != v->timestamp) return false; /* of an earlier picture: it has a number, and comes late */
  if (!(v->decided & bit(l->spatial))) {
    v->decided |= bit(l->spatial);
    if (decide(v, l, spatial, temporal)) v->left_out |= bit(l->spatial);
  }
  return v->left_out & bit(l->spatial);
}

/* In a key picture the next layer may follow. If it does not, the publisher has set the marker on this packet. A packet of an earlier
 * picture comes late, and the layer of that picture is most likely the present one. */
bool mt_svc_ends_picture(const mt_svc *v, const mt_layering *l, uint32_t timestamp, uint8_t spatial) {
  if (!l->known || !l->ends || !v->started || l->spatial != v->spatial) return false;
  return timestamp != v->timestamp || !v->climbing || l->spatial >= spatial;
}

bool mt_svc_needs_keyframe(const mt_svc *v, uint8_t spatial) {
  return v->started && spatial != v->spatial && (spatial > v->spatial || !(v->fed & bit(spatial)));
}
