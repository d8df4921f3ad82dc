/* See departures.h. */
#include "estimate/departures.h"

#include "base/lines.h"
#include "base/sequence.h"

#include <string.h>

static mt_departure *slot(const mt_departures *d, uint64_t number) { return &d->slots[number & (d->count - 1)]; }

void mt_departures_pools(mt_pools *pools) {
  mt_pools_init(pools, MT_DEPARTURES_LEAST * sizeof(mt_departure), MT_DEPARTURES * sizeof(mt_departure));
}

bool mt_departures_init(mt_departures *d, mt_pools *pools) {
  *d = (mt_departures){.pools = pools, .count = MT_DEPARTURES_LEAST};
  d->slots = mt_pools_get(pools, d->count * sizeof *d->slots);
  if (d->slots) memset(d->slots, 0, d->count * sizeof *d->slots);
  return d->slots;
}

void mt_departures_free(mt_departures *d) { mt_pools_put(d->pools, d->slots, d->count * sizeof *d->slots); }

/* The numbers up to the end of the old ring stay neighbours in the new one, and so do those behind. */
static void grow(mt_departures *d) {
  mt_departure *slots = mt_pools_get(d->pools, 2 * d->count * sizeof *slots);
  d->refused = !slots;
  if (!slots) return;
  uint64_t oldest = d->next - d->count;
  uint32_t mask = d->count - 1, wide = 2 * d->count - 1, at = (uint32_t)oldest & mask;
  memset(slots, 0, 2 * d->count * sizeof *slots);
  memcpy(&slots[oldest & wide], &d->slots[at], (d->count - at) * sizeof *slots);
  memcpy(&slots[(oldest + d->count - at) & wide], d->slots, at * sizeof *slots);
  mt_departures_free(d);
  d->slots = slots;
  d->count *= 2;
}

/* The packet that the newest one, of number `extended`, would replace may still be told of. */
static bool too_small(mt_departures *d, uint64_t extended, int64_t now) {
  if (!d->next || d->count == MT_DEPARTURES || (d->refused && (extended & (d->count - 1)))) return false;
  const mt_departure *p = slot(d, d->next);
  return p->bytes && mt_departure_time(p, now) > now - MT_DEPARTURES_KEPT_US;
}

void mt_departures_fetch(const mt_departures *d) { mt_fetch(slot(d, d->next), 1); }

uint64_t mt_departures_extend(const mt_departures *d, uint16_t number) { return mt_sequence_extend(d->next - 1, number); }

uint64_t mt_departures_add(mt_departures *d, uint16_t number, size_t bytes, uint8_t cluster, int64_t now) {
  /* The first number begins at 2^16, so that one below it is not below 0. */
  uint64_t extended = d->next ? mt_departures_extend(d, number) : UINT64_C(0x10000) + number;
  if (extended < d->next) return 0;
  if (too_small(d, extended, now)) grow(d);
  if (d->next && extended - d->next >= d->count) memset(d->slots, 0, d->count * sizeof *d->slots);
  else
    for (uint64_t skipped = d->next ? d->next : extended; skipped < extended; skipped++) *slot(d, skipped) = (mt_departure){0};
  if (bytes > UINT16_MAX) bytes = UINT16_MAX;
  *slot(d, extended) = (mt_departure){(uint32_t)now, (uint16_t)(bytes ? bytes : 1), cluster, MT_FATE_UNKNOWN};
  d->next = extended + 1;
  return extended;
}

mt_departure *mt_departures_find(mt_departures *d, uint64_t number) {
  if (number >= d->next || d->next - number > d->count) return NULL;
  mt_departure *p = slot(d, number);
  return p->bytes ? p : NULL;
}

int64_t mt_departure_time(const mt_departure *p, int64_t now) { return now - (int64_t)((uint32_t)now - p->sent); }
