/* See departures.h. */
#include "estimate/departures.h"

#include "base/sequence.h"

#include <string.h>

static mt_departure *slot(mt_departures *d, uint64_t number) { return &d->slots[number & (MT_DEPARTURES - 1)]; }

uint64_t mt_departures_extend(const mt_departures *d, uint16_t number) { return mt_sequence_extend(d->next - 1, number); }

uint64_t mt_departures_add(mt_departures *d, uint16_t number, size_t bytes, uint8_t cluster, int64_t now) {
  /* The first number begins at 2^16, so that one below it is not below 0. */
  uint64_t extended = d->next ? mt_departures_extend(d, number) : UINT64_C(0x10000) + number;
  if (extended < d->next) return 0;
  if (d->next && extended - d->next >= MT_DEPARTURES) memset(d->slots, 0, sizeof d->slots);
  else
    for (uint64_t skipped = d->next ? d->next : extended; skipped < extended; skipped++) *slot(d, skipped) = (mt_departure){0};
  if (bytes > UINT16_MAX) bytes = UINT16_MAX;
  *slot(d, extended) = (mt_departure){(uint32_t)now, (uint16_t)(bytes ? bytes : 1), cluster, MT_FATE_UNKNOWN};
  d->next = extended + 1;
  return extended;
}

mt_departure *mt_departures_find(mt_departures *d, uint64_t number) {
  if (number >= d->next || d->next - number > MT_DEPARTURES) return NULL;
  mt_departure *p = slot(d, number);
  return p->bytes ? p : NULL;
}

int64_t mt_departure_time(const mt_departure *p, int64_t now) { return now - (int64_t)((uint32_t)now - p->sent); }
