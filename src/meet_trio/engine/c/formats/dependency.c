/* See dependency.h. */
#include "formats/dependency.h"

#include "base/bytes.h"

#include <string.h>

enum {
  MANDATORY_BYTES = 3, /* of the fields that each descriptor has */
  TEMPLATE_ID_BITS = 6,
  MAX_SPATIAL = 7, /* of the layers that AV1's OBU extension can name */
  MAX_TEMPORAL = 7,
  NEXT_TEMPORAL = 1, /* next_layer_idc */
  NEXT_SPATIAL = 2,
  NO_MORE_TEMPLATES = 3,
  AV1_N = 0x08, /* aggregation header: Z Y W W N */
};

typedef struct { /* `failed`: more bits were asked for than there are */
  const uint8_t *p;
  size_t at, end; /* bits */
  bool failed;
} reader;

static uint32_t bits(reader *r, unsigned count) {
  uint32_t v = 0;
  if (r->failed || r->end - r->at < count) {
    r->failed = true;
    return 0;
  }
  for (unsigned i = 0; i < count; i++, r->at++) v = v << 1 | (r->p[r->at / 8] >> (7 - r->at % 8) & 1u);
  return v;
}

/* ns(n): a number below `n` in as few bits as its range allows */
static uint32_t below(reader *r, uint32_t n) {
  unsigned width = 0;
  while (n >> width) width++;
  uint32_t shorter = (1u << width) - n, v = bits(r, width - 1);
  if (v < shorter) return v;
  return (v << 1) - shorter + bits(r, 1);
}

static uint64_t read_dtis(reader *r, unsigned targets) {
  uint64_t dtis = 0;
  for (unsigned i = 0; i < targets; i++) dtis |= (uint64_t)bits(r, 2) << 2 * i;
  return dtis;
}

static void read_layers(reader *r, mt_dd_structure *s) {
  uint8_t spatial = 0, temporal = 0;
  for (;;) {
    if (s->template_count == MT_DD_TEMPLATES || spatial > MAX_SPATIAL || temporal > MAX_TEMPORAL) r->failed = true;
    if (r->failed) return;
    s->templates[s->template_count++] = (mt_dd_template){.spatial = spatial, .temporal = temporal};
    switch (bits(r, 2)) {
    case NO_MORE_TEMPLATES: return;
    case NEXT_TEMPORAL: temporal++; break;
    case NEXT_SPATIAL:
      spatial++;
      temporal = 0;
      break;
    default: break;
    }
  }
}

static void read_chains(reader *r, mt_dd_structure *s) {
  s->chain_count = (uint8_t)below(r, s->target_count + 1u);
  if (!s->chain_count) return;
  for (unsigned i = 0; i < s->target_count; i++) (void)below(r, s->chain_count);
  for (unsigned i = 0; i < s->template_count; i++)
    for (unsigned k = 0; k < s->chain_count; k++) (void)bits(r, 4);
}

/* A decode target has the highest layers of the templates that are part of it. */
static void find_targets(mt_dd_structure *s) {
  uint8_t spatial[MT_DD_TARGETS] = {0}, temporal[MT_DD_TARGETS] = {0};
  for (unsigned target = 0; target < s->target_count; target++)
    for (unsigned i = 0; i < s->template_count; i++) {
      const mt_dd_template *t = &s->templates[i];
      if (mt_dd_use(t->dtis, target) == MT_DTI_NOT_PRESENT) continue;
      if (t->spatial > spatial[target]) spatial[target] = t->spatial;
      if (t->temporal > temporal[target]) temporal[target] = t->temporal;
    }
  for (unsigned x = 0; x < MT_MAX_SPATIAL; x++)
    for (unsigned y = 0; y < MT_MAX_TEMPORAL; y++) {
      unsigned top_x = x == MT_MAX_SPATIAL - 1 ? MAX_SPATIAL : x, top_y = y == MT_MAX_TEMPORAL - 1 ? MAX_TEMPORAL : y;
      int8_t found = -1, highest = -1;
      for (uint8_t i = 0; i < s->target_count; i++) {
        int8_t rank = (int8_t)(spatial[i] << 3 | temporal[i]);
        if (spatial[i] > top_x || temporal[i] > top_y || rank <= highest) continue;
        highest = rank;
        found = (int8_t)i;
      }
      s->target_for[mt_target(x, y)] = found;
    }
}

static void read_structure(reader *r, mt_dd_structure *s) {
  memset(s, 0, sizeof *s);
  s->offset = (uint8_t)bits(r, TEMPLATE_ID_BITS);
  s->target_count = (uint8_t)(bits(r, 5) + 1);
  read_layers(r, s);
  for (unsigned i = 0; i < s->template_count; i++) s->templates[i].dtis = read_dtis(r, s->target_count);
  for (unsigned i = 0; i < s->template_count; i++)
    while (bits(r, 1)) {
      uint8_t difference = (uint8_t)(bits(r, 4) + 1);
      if (difference > s->templates[i].reach) s->templates[i].reach = difference;
    }
  read_chains(r, s);
  if (!r->failed) find_targets(s);
  if (!bits(r, 1)) return;
  for (int i = 0; s->template_count && i <= s->templates[s->template_count - 1].spatial; i++) {
    s->width = (uint16_t)(bits(r, 16) + 1);
    s->height = (uint16_t)(bits(r, 16) + 1);
  }
}

bool mt_dd_parse_untrusted(const uint8_t *p, size_t n, const mt_dd_structure *structure, mt_dd *out, mt_dd_structure *brought) {
  memset(out, 0, sizeof *out);
  reader r = {.p = p, .end = n * 8};
  out->begins = bits(&r, 1);
  out->ends = bits(&r, 1);
  out->template_id = (uint8_t)bits(&r, TEMPLATE_ID_BITS);
  out->frame = (uint16_t)bits(&r, 16);
  bool has_active = false, own_dtis = false, own_references = false;
  if (n > MANDATORY_BYTES) {
    out->has_structure = bits(&r, 1);
    has_active = bits(&r, 1);
    own_dtis = bits(&r, 1);
    own_references = bits(&r, 1);
    (void)bits(&r, 1); /* own chains are the last field */
    if (out->has_structure) {
      read_structure(&r, brought);
      structure = brought;
    }
  }
  if (r.failed) return false;
  unsigned index = (out->template_id + MT_DD_TEMPLATES - structure->offset) % MT_DD_TEMPLATES;
  if (index >= structure->template_count) return !out->has_structure; /* a structure has the template of its own frame */
  if (has_active) (void)bits(&r, structure->target_count);
  const mt_dd_template *t = &structure->templates[index];
  out->known = true;
  out->spatial = t->spatial;
  out->temporal = t->temporal;
  out->dtis = own_dtis ? read_dtis(&r, structure->target_count) : t->dtis;
  out->reach = t->reach;
  if (own_references) {
    out->reach = 0;
    for (unsigned size; (size = bits(&r, 2));) {
      uint16_t difference = (uint16_t)(bits(&r, 4 * size) + 1);
      if (difference > out->reach) out->reach = difference;
    }
  }
  return !r.failed;
}

void mt_dd_rewrite(uint8_t *value, uint16_t frame) { mt_store16(value + 1, frame); }

bool mt_av1_is_keyframe_untrusted(const uint8_t *payload, size_t n) { return n > 1 && payload[0] & AV1_N; }
