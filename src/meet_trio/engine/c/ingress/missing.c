/* See missing.h. */
#include "ingress/missing.h"

#include "state/marks.h"

#include <string.h>

enum {
  OVERTAKEN_BY = 3,            /* newer packets; networks seldom reorder by more, so a packet that is further behind is lost */
  RTT_SHARE = 8,               /* a new round trip counts an eighth in the average */
  REORDER_SHARE = 8,           /* the measured reordering falls by an eighth with each report */
  MAX_REORDER_US = 60 * MT_MS, /* a packet that is later counts as lost */
  RTT_MARGIN_US = 10 * MT_MS,  /* an answer may take this much longer than the average round trip */
  UNKNOWN_RTT_US = 50 * MT_MS, /* interval between two NACKs while the round trip is not known */
  MAX_NACK_INTERVAL_US = MT_SECOND / 3, /* between two NACKs for a packet, however long the round trip is */
  TAIL_US = 15 * MT_MS,                 /* silence in the middle of a frame after which the next packet counts as lost */
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
  int64_t delay = (int64_t)core->settings.nack_delay_ms * MT_MS;
  if (s->reorder_us * 5 / 4 > delay) delay = s->reorder_us * 5 / 4; /* a quarter more: it falls between two late packets */
  int64_t due = now + delay;
  for (; first < end; first++) {
    mt_missing *m = &s->missing[s->missing_count++];
    *m = (mt_missing){.sequence = first, .due = due, .noticed = s->received, .since = now};
    if (first != s->tail_asked) continue;
    m->asked = s->tail_asked_at;
    m->tries = 1;
    m->due = s->tail_asked_at + mt_missing_interval(core, s);
    mt_due(core, m->due);
  }
  mt_list_append(&core->nacking, &s->nacking);
  mt_due(core, due);
  return true;
}

void mt_missing_overtaken(mt_core *core, mt_stream *s, int64_t now) {
  if (s->reorder_us > (int64_t)core->settings.nack_delay_ms * MT_MS) return; /* this network reorders by more */
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
  /* Without RTX a packet that is sent again looks like one that is late. */
  if (m->asked && s->producer->spec.rtx_payload_type < 0) recovered = true;
  if (!recovered) {
    int64_t late = now - m->since;
    if (late > MAX_REORDER_US) late = MAX_REORDER_US;
    if (late > s->reorder_us) s->reorder_us = late;
  }
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

int64_t mt_missing_interval(const mt_core *core, const mt_stream *s) {
  int64_t least = (int64_t)core->settings.nack_interval_ms * MT_MS, interval = s->rtt_us + RTT_MARGIN_US;
  if (!s->rtt_us) interval = UNKNOWN_RTT_US;
  if (interval < least) interval = least;
  return interval < MAX_NACK_INTERVAL_US ? interval : MAX_NACK_INTERVAL_US;
}

void mt_missing_calm(mt_stream *s) { s->reorder_us -= s->reorder_us / REORDER_SHARE; }

/* ---- the last packets of frames ---- */

void mt_tail_note(mt_core *core, mt_stream *s, bool marker, int64_t now) {
  if (marker || !s->loss.level || !s->producer->spec.video) {
    mt_list_remove(&s->tailing);
    return;
  }
  s->tail_due = now + TAIL_US + s->reorder_us;
  mt_list_append(&core->tailing, &s->tailing);
  mt_due(core, s->tail_due);
}

bool mt_tail_is(const mt_stream *s, uint64_t sequence) { return sequence == s->tail_asked && sequence == s->highest + 1; }
