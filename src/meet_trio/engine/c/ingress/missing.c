/* Asking a producer for what is missing: single packets (NACK, RFC 4585) and key frames (PLI, FIR).
 *
 * A packet is asked for when it is still missing after a short while or three later ones, then again at intervals of a round trip but no less
 * than the setting, and given up after a number of tries or when the history would not keep it any more. Giving up on
 * video means that decoders cannot go on: a key frame is wanted.
 *
 * A wanted key frame is remembered until one comes, also when the stream has not begun, and asked for again at
 * intervals, never faster.
 */
#include "formats/rtcp.h"
#include "links/wish.h"
#include "paths/outlet.h"
#include "state/arriving.h"
#include "state/core_state.h"
#include "state/listening.h"
#include "state/marks.h"
#include "state/state.h"

#include <string.h>

enum { OVERTAKEN_BY = 3 /* packets: more than networks reorder */ };

/* ---- the list of missing packets, ascending ---- */

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
    if (m->tries > 0 || m->due <= now) return; /* and so are those before it */
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
    /* From the first request: right when round trips are longer than the interval, when all are answered after a second one. A
     * first request that was lost gives too much, but is rare. */
    uint32_t took = (uint32_t)(now - m->asked);
    s->rtt_us = s->rtt_us ? (s->rtt_us * 7 + took) / 8 : took;
  }
  memmove(s->missing + i, s->missing + i + 1, (--s->missing_count - i) * sizeof *s->missing);
  if (!s->missing_count) mt_list_remove(&s->nacking);
  return true;
}

void mt_missing_clear(mt_stream *s) {
  s->missing_count = 0;
  mt_list_remove(&s->nacking);
}

/* ---- NACK ---- */

static void send_nack(mt_core *core, mt_stream *s, const uint16_t *sequences, unsigned count) {
  mt_transport *t = s->producer->transport;
  uint8_t *out = mt_reserve(core);
  size_t n = mt_rtcp_write_nack(out, MT_DATAGRAM_MAX - MT_SRTCP_MAX_OVERHEAD, t->rtcp_ssrc, s->stats.ssrc, sequences, count);
  if (!n) return;
  mt_send_srtcp(core, t, out, n);
  s->stats.nacks += count;
}

static int64_t nack_stream(mt_core *core, mt_stream *s, int64_t now) {
  const mt_settings *settings = &core->settings;
  int64_t interval = (int64_t)settings->nack_interval_ms * MT_MS;
  if (s->rtt_us + 10 * MT_MS > interval) interval = s->rtt_us + 10 * MT_MS;
  if (interval > MT_SECOND / 3) interval = MT_SECOND / 3;
  bool ask = s->producer->spec.nack && mt_stream_listened(s), gave_up = false;
  uint16_t sequences[MT_MAX_MISSING];
  unsigned count = 0;
  uint32_t kept = 0;
  int64_t next = INT64_MAX;
  for (uint32_t i = 0; i < s->missing_count; i++) {
    mt_missing m = s->missing[i];
    if (m.due <= now) {
      if (m.tries >= settings->nack_tries) {
        gave_up = true;
        continue;
      }
      m.tries++;
      m.due = now + interval;
      if (ask) {
        if (!m.asked) m.asked = now;
        sequences[count++] = (uint16_t)m.sequence;
      }
    }
    if (m.due < next) next = m.due;
    s->missing[kept++] = m;
  }
  s->missing_count = kept;
  if (!kept) mt_list_remove(&s->nacking);
  if (count) send_nack(core, s, sequences, count);
  if (gave_up && s->producer->spec.video && mt_stream_listened(s)) mt_want_keyframe(core, s, now);
  return next;
}

int64_t mt_nack_tick(mt_core *core, int64_t now) {
  int64_t next = INT64_MAX;
  MT_EACH(item, &core->nacking) {
    int64_t due = nack_stream(core, MT_OF(item, mt_stream, nacking), now);
    if (due < next) next = due;
  }
  return next;
}

/* ---- key frames ---- */

static int64_t keyframe_interval(const mt_core *core, const mt_stream *s, int64_t now) {
  int64_t interval = (int64_t)core->settings.pli_interval_ms * MT_MS;
  /* a still picture, or a camera that is off */
  if (!mt_stream_active(core, s, now)) interval *= 4;
  int64_t rtt = (int64_t)s->rtt_us * 2;
  return rtt > interval ? rtt : interval;
}

static void ask_for_keyframe(mt_core *core, mt_stream *s, int64_t now) {
  const mt_producer *p = s->producer;
  mt_transport *t = p->transport;
  if (s->keyframe_asked && now < s->keyframe_asked + keyframe_interval(core, s, now)) return;
  if (p->mirror) {
    bool listened = mt_stream_listened(s);
    if (!mt_wish_keyframe(s->producer, s, listened)) return;
    s->keyframe_asked = now;
    s->stats.plis++;
    if (!listened) mt_keyframe_came(s); /* it will not come here */
    return;
  }
  uint8_t *out = mt_reserve(core);
  size_t cap = MT_DATAGRAM_MAX - MT_SRTCP_MAX_OVERHEAD;
  size_t n = p->spec.pli || !p->spec.fir ? mt_rtcp_write_pli(out, cap, t->rtcp_ssrc, s->stats.ssrc)
                                         : mt_rtcp_write_fir(out, cap, t->rtcp_ssrc, s->stats.ssrc, s->fir_sequence++);
  mt_send_srtcp(core, t, out, n);
  s->keyframe_asked = now;
  s->stats.plis++;
}

int64_t mt_keyframe_tick(mt_core *core, int64_t now) {
  int64_t next = INT64_MAX;
  MT_EACH(item, &core->wanting) {
    mt_stream *s = MT_OF(item, mt_stream, wanting);
    const mt_producer *p = s->producer;
    if (p->paused || (p->mirror ? !p->link : !s->started)) continue; /* its first packet comes back to this */
    if (!s->keyframe_demanded && !mt_stream_listened(s)) {
      mt_keyframe_came(s); /* nobody waits for it any more */
      continue;
    }
    ask_for_keyframe(core, s, now);
    int64_t due = s->keyframe_asked + keyframe_interval(core, s, now);
    if (s->keyframe_wanted && due < next) next = due;
  }
  return next;
}
