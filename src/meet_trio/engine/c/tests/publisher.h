/* A publisher of VP9 SVC without bytes: the frames of every mode from L1T1 to L3T3, with and without _KEY, and what each refers to.
 * A viewer that gets some of them knows whether each could be decoded. */
#ifndef MT_TESTS_PUBLISHER_H
#define MT_TESTS_PUBLISHER_H

#include "formats/layering.h"

enum { PICTURES = 4096, NO_FRAME = -1 };

typedef struct {
  unsigned spatial_layers, temporal_layers;
  bool key_only;     /* _KEY: frames refer to the layer below in key pictures only */
  unsigned position; /* in the group of pictures */
  int picture;       /* the newest one */
  int latest[MT_MAX_SPATIAL]
            [MT_MAX_TEMPORAL]; /* the newest picture with a frame of these layers; NO_FRAME: none since the key picture */
} publisher;

typedef struct {
  int picture;
  uint8_t spatial, temporal;
  int reference; /* the picture whose frame of the same spatial layer it refers to; NO_FRAME: none */
  bool inter_layer;
  mt_layering layering;
} frame;

typedef struct { /* the frames that a viewer could decode */
  bool decoded[PICTURES][MT_MAX_SPATIAL];
} viewer;

static const uint8_t GROUPS[3][4] = {{0, 0, 0, 0}, {0, 1, 0, 1}, {0, 2, 1, 2}};

/* The next picture's frames, lowest layer first; as many as there are spatial layers. */
static inline void publish(publisher *p, bool key, frame *out) {
  int picture = ++p->picture;
  if (key) {
    p->position = 0;
    for (unsigned s = 0; s < MT_MAX_SPATIAL; s++)
      for (unsigned t = 0; t < MT_MAX_TEMPORAL; t++) p->latest[s][t] = NO_FRAME;
  }
  uint8_t temporal = GROUPS[p->temporal_layers - 1][p->position++ % 4];
  for (uint8_t s = 0; s < p->spatial_layers; s++) {
    bool inter_layer = s > 0 && (key || !p->key_only);
    int reference = NO_FRAME;
    /* A frame of layer 0 refers to the newest one of layer 0, others to the newest one below their layer. */
    for (unsigned t = 0; !key && t < (temporal ? temporal : 1u); t++)
      if (p->latest[s][t] > reference) reference = p->latest[s][t];
    mt_vp9 d = {
        .begins = true,
        .ends = true,
        .has_layers = true,
        .spatial = s,
        .temporal = temporal,
        .inter_picture = !key,
        .inter_layer = inter_layer,
        .not_for_upper = s + 1u == p->spatial_layers || (p->key_only && !key),
        .switch_up = true,
    };
    out[s] = (frame){picture, s, temporal, reference, inter_layer, mt_layering_of_vp9(&d, s + 1u == p->spatial_layers, s == 0)};
  }
  for (unsigned s = 0; s < p->spatial_layers; s++) p->latest[s][temporal] = picture;
}

/* The viewer gets the frame. True: it can decode it. */
static inline bool view(viewer *v, const frame *f) {
  bool earlier = f->reference == NO_FRAME || v->decoded[f->reference][f->spatial];
  bool below = !f->inter_layer || v->decoded[f->picture][f->spatial - 1];
  return v->decoded[f->picture][f->spatial] = earlier && below;
}

#endif
