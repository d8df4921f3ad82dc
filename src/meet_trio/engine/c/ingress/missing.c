/* See missing.h. */
#include "ingress/missing.h"

#include "state/marks.h"

#include <string.h>

enum {
  OVERTAKEN_BY = 3, /* newer packets; networks seldom reorder by more, so a packet that is further behind is lost */
  RTT_SHARE = 8,    /* a new round trip counts an eighth in the average */
};

/* The index of the first missing packet that is not below `sequence`. */
static uint32_t position(const mt_stream *s, uint64_t sequence) {
  uint32_t low = 0, high = s->missing_count;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (s->missing[middle].sequence < sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}

bool mt_missing_has(const mt_stream *s, uint64_t sequence) {
  uint32_t i = position(s, sequence);
  return i < s->missing_count && s->missing[i].sequence == sequence;
}

bool mt_missing_add(mt_core *core, mt_stream *s, uint64_t first, uint64_t end, int64_t now) {
  if (first == end) return true;
  if (end - first > MT_MAX_MISSING - s->missing_count) return false;
  int64_t due = now + (int64_t)core->settings.nack_delay_ms * MT_MS;
  for (; first < end; first++) s->missing[s->missing_count++] = (mt_missing){first, due, 0, s->received, 0};
  mt_list_append(&core->nacking, &s->nacking);
  mt_due(core, due);
  return true;
}

void mt_missing_overtaken(mt_core *core, mt_stream *s, int64_t now) {
  for (uint32_t i = s->missing_count; i-- > 0;) {
    mt_missing *m = &s->missing[i];
    if (m->tries > 0 || m->due <= now) return; /* every packet before it is due or asked for too */
    if (s->received - m->noticed + 1 < OVERTAKEN_BY) continue;
    m->due = now;
    mt_due(core, now);
  }
}

bool mt_missing_take(mt_stream *s, uint64_t sequence, bool recovered, int64_t now) {
  uint32_t i = position(s, sequence);
  if (i == s->missing_count || s->missing[i].sequence != sequence) return false;
  const mt_missing *m = &s->missing[i];
  if (recovered && m->asked) {
    /* The time counts from the first NACK. When round trips are longer than the interval between NACKs, every answer comes
     * after a second NACK, and is the answer to the first. If the first NACK was lost the time is too long, which is rare. */
    uint32_t took = (uint32_t)(now - m->asked);
    s->rtt_us = s->rtt_us ? (s->rtt_us * (RTT_SHARE - 1) + took) / RTT_SHARE : took;
  }
  memmove(s->missing + i, s->missing + i + 1, (--s->missing_count - i) * sizeof *s->missing);
  if (!s->missing_count) mt_list_remove(&s->nacking);
  return true;
}

void mt_missing_clear(mt_stream *s) {
  s->missing_count = 0;
  mt_list_remove(&s->nacking);
}
