/* See requests.h. */
#include "periodic/requests.h"

#include "formats/rtcp.h"
#include "ingress/missing.h"
#include "links/wish.h"
#include "paths/outlet.h"
#include "state/listening.h"
#include "state/marks.h"

/* ---- NACK ---- */

static void send_nack(mt_core *core, mt_stream *s, const uint16_t *sequences, unsigned count) {
  mt_transport *t = s->producer->transport;
  uint8_t *out = mt_reserve(core);
  size_t n = mt_rtcp_write_nack(out, MT_DATAGRAM_MAX - MT_SRTCP_MAX_OVERHEAD, t->rtcp_ssrc, s->stats.ssrc, sequences, count);
  if (!n) return;
  mt_send_srtcp(core, t, out, n);
  s->stats.nacks += count;
  core->counters.nacks_out += count;
}

/* Sends one NACK for all packets of the stream that are due. Returns the time at which the next packet is due. */
static int64_t nack_stream(mt_core *core, mt_stream *s, int64_t now) {
  const mt_settings *settings = &core->settings;
  int64_t interval = mt_missing_interval(core, s);
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
  MT_EACH (item, &core->nacking) {
    int64_t due = nack_stream(core, MT_OF(item, mt_stream, nacking), now);
    if (due < next) next = due;
  }
  return next;
}

/* A frame has begun, and nothing has come for a while: the number after the newest packet exists. It is lost, unless the client has
 * not sent it yet. */
static void nack_tail(mt_core *core, mt_stream *s, int64_t now) {
  uint16_t number = (uint16_t)(s->highest + 1);
  mt_list_remove(&s->tailing);
  if (s->tail_asked == s->highest + 1 || !s->producer->spec.nack || !mt_stream_listened(s)) return;
  s->tail_asked = s->highest + 1;
  s->tail_asked_at = now;
  send_nack(core, s, &number, 1);
}

int64_t mt_tail_tick(mt_core *core, int64_t now) {
  int64_t next = INT64_MAX;
  MT_EACH (item, &core->tailing) {
    mt_stream *s = MT_OF(item, mt_stream, tailing);
    if (s->tail_due <= now) nack_tail(core, s, now);
    else if (s->tail_due < next) next = s->tail_due;
  }
  return next;
}

/* ---- key frames ---- */

static void ask_for_keyframe(mt_core *core, mt_stream *s, int64_t now) {
  const mt_producer *p = s->producer;
  mt_transport *t = p->transport;
  if (now < mt_keyframe_due(core, s, now)) return;
  if (p->mirror) {
    bool listened = mt_stream_listened(s);
    if (!mt_wish_keyframe(s->producer, s, listened)) return;
    s->keyframe_asked = now;
    s->stats.plis++;
    if (!listened) mt_keyframe_came(s); /* the key frame will not cross to this engine: wait no longer */
    return;
  }
  uint8_t *out = mt_reserve(core);
  size_t cap = MT_DATAGRAM_MAX - MT_SRTCP_MAX_OVERHEAD;
  size_t n = p->spec.pli || !p->spec.fir ? mt_rtcp_write_pli(out, cap, t->rtcp_ssrc, s->stats.ssrc)
                                         : mt_rtcp_write_fir(out, cap, t->rtcp_ssrc, s->stats.ssrc, s->fir_sequence++);
  mt_send_srtcp(core, t, out, n);
  s->keyframe_asked = now;
  s->stats.plis++;
  core->counters.keyframe_requests_out++;
}

int64_t mt_keyframe_tick(mt_core *core, int64_t now) {
  int64_t next = INT64_MAX;
  MT_EACH (item, &core->wanting) {
    mt_stream *s = MT_OF(item, mt_stream, wanting);
    const mt_producer *p = s->producer;
    if (p->paused || (p->mirror ? !p->link : !s->started)) continue; /* resuming, a link or the first packet makes a tick due */
    if (!s->keyframe_demanded && !mt_stream_listened(s)) {
      mt_keyframe_came(s); /* nobody waits for the key frame any more */
      continue;
    }
    ask_for_keyframe(core, s, now);
    int64_t due = mt_keyframe_due(core, s, now);
    if (s->keyframe_wanted && due < next) next = due;
  }
  return next;
}
