/* See epoch.h. */
#include "egress/epoch.h"

#include "egress/numbering.h"
#include "egress/sent.h"
#include "state/kept.h"
#include "state/marks.h"

enum {
  MAX_CLOCK_ERROR_S = 5,      /* sender reports that disagree with the time passed by more are not used */
  MAX_REPORTS_APART_S = 3600, /* sender reports of two streams that lie further apart are not used */
  HURRY = 64,                 /* the past is compressed to a part of its time: frames stay apart by some clock units */
  LEAST_PAST_MS = 100,        /* a shorter past is not compressed */
};

static const double NTP_SECOND = 4294967296.0; /* NTP timestamps are in 1/2^32 s */

bool mt_epoch_of_stream(const mt_epoch *e, const mt_stream *s) { return e->used && e->stream == s->index; }

/* The consumer's timestamp for `p` on the clock that `s` shares with the stream of the epoch before. False: the relation of their
 * timestamps is not known. */
static bool common_clock(const mt_consumer *c, const mt_stream *s, const mt_packet *p, uint32_t *out) {
  const mt_epoch *before = &c->epochs[0];
  const mt_stream *old = &c->producer->streams[before->stream];
  if (!before->used) return false;
  if (old == s) {
    *out = p->timestamp + before->timing.delta;
    return true;
  }
  if (!s->has_sr || !old->has_sr) return false;
  double apart = (double)(int64_t)(s->sr_ntp - old->sr_ntp) / NTP_SECOND;
  if (apart > MAX_REPORTS_APART_S || apart < -MAX_REPORTS_APART_S) return false;
  int64_t ticks = (int64_t)(apart * s->producer->spec.clock_rate);
  *out = p->timestamp - s->sr_timestamp + old->sr_timestamp + (uint32_t)(uint64_t)ticks + before->timing.delta;
  return true;
}

static uint32_t first_timestamp(mt_core *core, const mt_consumer *c, const mt_stream *s, const mt_packet *p, int64_t now) {
  if (!c->started) return (uint32_t)mt_random(core);
  uint32_t rate = s->producer->spec.clock_rate;
  uint32_t passed = c->last_timestamp + (uint32_t)((uint64_t)(now - c->last_sent) * rate / MT_SECOND);
  uint32_t timestamp;
  if (!common_clock(c, s, p, &timestamp)) timestamp = passed;
  int32_t off = (int32_t)(timestamp - passed);
  if (off > (int32_t)(MAX_CLOCK_ERROR_S * rate) || off < -(int32_t)(MAX_CLOCK_ERROR_S * rate)) timestamp = passed;
  /* The key frame of a layer may have the capture time of the last frame sent of the layer before. */
  if ((int32_t)(timestamp - c->last_timestamp) <= 0) timestamp = c->last_timestamp + 1;
  return timestamp;
}

uint32_t mt_epoch_timestamp(const mt_timing *t, uint32_t timestamp) {
  int32_t past = (int32_t)(t->present - timestamp);
  if (!t->hurried || past <= 0) return timestamp + t->delta;
  return t->present + t->delta - (uint32_t)past / HURRY;
}

void mt_consumer_begin_epoch(mt_core *core, mt_consumer *c, const mt_stream *s, const mt_packet *p, const mt_packet *newest,
                             int64_t now) {
  mt_epoch e = {.used = true, .open = true, .stream = s->index, .first = p->sequence, .timing.present = newest->timestamp};
  int32_t past = (int32_t)(newest->timestamp - p->timestamp);
  e.timing.hurried = past > (int32_t)(s->producer->spec.clock_rate / 1000 * LEAST_PAST_MS);
  if (!e.timing.hurried) newest = p;
  e.sequence_delta = c->highest + 1 - p->sequence;
  e.timing.delta = first_timestamp(core, c, s, newest, now) - newest->timestamp;
  int32_t ahead = (int32_t)(mt_epoch_timestamp(&e.timing, p->timestamp) - c->last_timestamp);
  if (c->started && ahead <= 0) e.timing.delta += (uint32_t)(1 - ahead);
  if (c->has_picture) {
    e.picture_delta = (uint16_t)(c->last_picture + 1 - mt_packet_picture(p));
    e.tl0_delta = (uint8_t)(c->last_tl0 + 1 - mt_packet_tl0picidx(p));
  }
  e.sent = mt_sent_begin(c, &e, c->highest + 1);
  mt_change_begins(&c->changing);
  mt_consumer_close_epoch(c);
  mt_epoch_free(core, &c->epochs[1]);
  c->epochs[1] = c->epochs[0];
  c->epochs[0] = e;
  c->frame_known = false;
  c->skipping_since = 0;
  c->svc = (mt_svc){0};
  c->started = true;
  mt_change_ends(&c->changing);
}

void mt_consumer_close_epoch(mt_consumer *c) {
  mt_epoch *e = &c->epochs[0];
  if (!e->open) return;
  e->open = false;
  mt_list_remove(&c->behind);
  e->last = mt_epoch_newest(c, e);
}

void mt_consumer_cut(mt_consumer *c, const mt_stream *s, bool reset) {
  if (c->epochs[0].stream == s->index) mt_consumer_close_epoch(c);
  if (c->target == s->index) c->switching = false;
  for (unsigned i = 0; reset && i < 2; i++)
    if (c->epochs[i].stream == s->index) c->epochs[i].used = false;
  if (reset) mt_sent_void(c, s->index);
}
