/* See layering.h. */
#include "formats/layering.h"

enum { TOP_SPATIAL = MT_MAX_SPATIAL - 1, TOP_TEMPORAL = MT_MAX_TEMPORAL - 1 };

static uint8_t at_most(uint8_t layer, uint8_t top) { return layer < top ? layer : top; }

mt_layering mt_layering_unknown(void) { return (mt_layering){.targets = MT_ALL_TARGETS}; }

/* The targets of a frame of these layers. `alone`: it is no part of targets of higher spatial layers. */
static uint16_t targets_of(uint8_t spatial, uint8_t temporal, bool alone) {
  uint16_t targets = 0;
  for (unsigned s = spatial; s < MT_MAX_SPATIAL; s++) {
    for (unsigned t = temporal; t < MT_MAX_TEMPORAL; t++) targets |= (uint16_t)(1u << mt_target(s, t));
    if (alone) break;
  }
  return targets;
}

/* Y: the frame refers to frames of the lowest temporal layer only (RFC 7741 section 4.2). */
mt_layering mt_layering_of_vp8(const mt_vp8 *d, bool marker) {
  uint8_t temporal = at_most(d->tid, TOP_TEMPORAL);
  bool begins = d->start_of_partition && d->partition == 0;
  return (mt_layering){
      .known = true,
      .temporal = temporal,
      .begins = begins,
      .ends = marker,
      .picture_begins = begins,
      .picture_ends = marker,
      .up_spatial = d->keyframe,
      .up_to = d->keyframe     ? TOP_TEMPORAL
               : d->layer_sync ? temporal
                               : 0,
      .discardable = d->non_reference,
      .targets = targets_of(0, temporal, false),
  };
}

/* U: later pictures of temporal layers above this one refer to no picture before this one that is above it. */
mt_layering mt_layering_of_vp9(const mt_vp9 *d, bool marker, bool picture_begins) {
  uint8_t spatial = at_most(d->spatial, TOP_SPATIAL), temporal = at_most(d->temporal, TOP_TEMPORAL);
  return (mt_layering){
      .known = true,
      .spatial = spatial,
      .temporal = temporal,
      .begins = d->begins,
      .ends = d->ends,
      .picture_begins = d->begins && picture_begins,
      .picture_ends = marker,
      .inter_layer = d->inter_layer,
      .up_spatial = !d->inter_picture,
      .up_from = temporal,
      .up_to = d->switch_up || !d->inter_picture ? TOP_TEMPORAL : 0,
      .targets = targets_of(spatial, temporal, d->not_for_upper && spatial == d->spatial),
  };
}

mt_layering mt_layering_of_dd(const mt_dd *d, const mt_dd_structure *s, bool marker, uint16_t before) {
  mt_layering l = {
      .known = true,
      .spatial = at_most(d->spatial, TOP_SPATIAL),
      .temporal = at_most(d->temporal, TOP_TEMPORAL),
      .begins = d->begins,
      .ends = d->ends,
      .picture_begins = d->begins && before == 0,
      .picture_ends = marker,
      .inter_layer = d->reach > 0,
      .up_spatial = d->reach <= before,
      .discardable = true,
  };
  l.up_from = l.temporal;
  for (unsigned i = 0; i < s->target_count; i++)
    if (mt_dd_use(d->dtis, i) > MT_DTI_DISCARDABLE) l.discardable = false;
  for (unsigned spatial = 0; spatial < MT_MAX_SPATIAL; spatial++)
    for (unsigned temporal = 0; temporal < MT_MAX_TEMPORAL; temporal++) {
      int target = s->target_for[mt_target(spatial, temporal)];
      mt_dti use = target < 0 ? MT_DTI_REQUIRED : mt_dd_use(d->dtis, (unsigned)target);
      if (use != MT_DTI_NOT_PRESENT) l.targets |= (uint16_t)(1u << mt_target(spatial, temporal));
      if (use == MT_DTI_SWITCH && spatial == l.spatial && temporal > l.up_to) l.up_to = (uint8_t)temporal;
    }
  return l;
}
