/* See layer_rates.h. */
#include "state/layer_rates.h"

#include <string.h>

enum { ROUNDS_A_SECOND = 10 };

static uint8_t at_most(uint8_t value, uint8_t most) { return value < most ? value : most; }

void mt_layer_rates_count(mt_layer_rates *r, uint8_t spatial, uint8_t temporal, bool alone, size_t len) {
  uint8_t layer = at_most(spatial, MT_MAX_SPATIAL - 1);
  r->alone = (uint8_t)((r->alone & ~(1u << layer)) | (unsigned)alone << layer);
  r->counted[layer][at_most(temporal, MT_MAX_TEMPORAL - 1)] += (uint32_t)len;
}

/* A part of what was counted becomes a round. */
static void add_round(mt_layer_rates *r, unsigned parts) {
  for (unsigned s = 0; s < MT_MAX_SPATIAL; s++) {
    for (unsigned t = 0; t < MT_MAX_TEMPORAL; t++) {
      uint32_t bytes = r->counted[s][t] / parts;
      r->sums[s][t] += bytes - r->rounds[r->next][s][t];
      r->rounds[r->next][s][t] = bytes;
    }
  }
  r->next = (r->next + 1) % MT_RATE_ROUNDS;
  if (r->kept < MT_RATE_ROUNDS) r->kept++;
}

static bool counts_anything(const mt_layer_rates *r) {
  for (unsigned s = 0; s < MT_MAX_SPATIAL; s++)
    for (unsigned t = 0; t < MT_MAX_TEMPORAL; t++)
      if (r->counted[s][t]) return true;
  return false;
}

void mt_layer_rates_round(mt_layer_rates *r) {
  unsigned parts = 1;
  if (r->waited) {
    if (!counts_anything(r)) return;
    parts = r->waited;
    r->waited = 0;
  }
  for (unsigned i = 0; i < parts && i < MT_RATE_ROUNDS; i++) add_round(r, parts);
  memset(r->counted, 0, sizeof r->counted);
}

void mt_layer_rates_resume(mt_layer_rates *r, const mt_layer_rates *from, uint64_t silent) {
  *r = (mt_layer_rates){.alone = from->alone, .waited = silent < UINT8_MAX ? (uint8_t)silent : UINT8_MAX};
  memcpy(r->counted, from->sums, sizeof r->counted);
  for (unsigned i = 0; i < from->kept; i++) add_round(r, from->kept);
  memset(r->counted, 0, sizeof r->counted);
}

uint64_t mt_layer_rate(const mt_layer_rates *r, uint8_t spatial, uint8_t temporal) {
  uint64_t bytes = 0;
  for (unsigned s = 0; s <= spatial && s < MT_MAX_SPATIAL; s++) {
    if (s < spatial && r->alone >> s & 1) continue;
    for (unsigned t = 0; t <= temporal && t < MT_MAX_TEMPORAL; t++) bytes += r->sums[s][t];
  }
  return r->kept ? bytes * MT_BITS * ROUNDS_A_SECOND / r->kept : 0;
}

bool mt_layer_present(const mt_layer_rates *r, uint8_t spatial, uint8_t temporal) {
  return spatial < MT_MAX_SPATIAL && temporal < MT_MAX_TEMPORAL && r->sums[spatial][temporal] > 0;
}

uint8_t mt_layer_count(const mt_layer_rates *r, bool spatial) {
  uint8_t count = 0;
  for (uint8_t s = 0; s < MT_MAX_SPATIAL; s++)
    for (uint8_t t = 0; t < MT_MAX_TEMPORAL; t++) {
      uint8_t layer = spatial ? s : t;
      if (mt_layer_present(r, s, t) && layer >= count) count = layer + 1;
    }
  return count;
}
