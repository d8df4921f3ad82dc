/* See ledger.h. */
#include "base/ledger.h"

#include "base/table.h"

enum { FIRST_SLOTS = 16 };

static bool is_free(const mt_ledger_entry *e) { return e->rtp_next == 0 && e->rtcp_next == 0; }

/* The slot of `ssrc`, or the free slot where it belongs. The search ends because a quarter of the slots is free. */
static mt_ledger_entry *slot_of(const mt_ledger *l, uint32_t ssrc, uint64_t seed) {
  size_t i = mt_hash64(ssrc ^ seed) & l->mask;
  while (!is_free(&l->slots[i]) && l->slots[i].ssrc != ssrc) i = (i + 1) & l->mask;
  return &l->slots[i];
}

/* The larger array is whole before it takes the place of the smaller one. */
static bool grow(mt_region *r, mt_ledger *l, uint64_t seed) {
  size_t size = l->slots ? (l->mask + 1) * 2 : FIRST_SLOTS;
  mt_ledger bigger = {mt_region_get(r, MT_KEPT_LEDGER, size * sizeof *bigger.slots), size - 1, l->count};
  if (!bigger.slots) return false;
  for (size_t i = 0; l->slots && i <= l->mask; i++)
    if (!is_free(&l->slots[i])) *slot_of(&bigger, l->slots[i].ssrc, seed) = l->slots[i];
  mt_region_mark(bigger.slots);
  mt_ledger_entry *before = l->slots;
  *l = bigger;
  mt_region_put(r, before);
  return true;
}

bool mt_ledger_put(mt_region *r, mt_ledger *l, const mt_ledger_entry *e, uint64_t seed) {
  mt_ledger_entry *at = l->slots ? slot_of(l, e->ssrc, seed) : NULL;
  if (!at || is_free(at)) {
    if (l->count == MT_LEDGER_MAX) return false;
    if (!l->slots || l->count + 1 > (l->mask + 1) / 4 * 3) {
      if (!grow(r, l, seed)) return false;
      at = slot_of(l, e->ssrc, seed);
    }
    l->count++;
  }
  *at = *e;
  return true;
}

const mt_ledger_entry *mt_ledger_find(const mt_ledger *l, uint32_t ssrc, uint64_t seed) {
  if (!l->slots) return NULL;
  const mt_ledger_entry *e = slot_of(l, ssrc, seed);
  return is_free(e) ? NULL : e;
}

void mt_ledger_free(mt_region *r, mt_ledger *l) {
  mt_ledger_entry *before = l->slots;
  *l = (mt_ledger){0};
  mt_region_put(r, before);
}
