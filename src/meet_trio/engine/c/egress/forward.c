/* See forward.h. */
#include "egress/forward.h"

#include "egress/epoch.h"
#include "egress/layers.h"
#include "egress/send.h"
#include "state/marks.h"

enum {
  FRAME_END_US = 30 * MT_MS, /* nothing sent for that long: the frame's end was lost */
  SWITCH_WAIT_US = 50 * MT_MS,
  CATCH_UP_BYTES = 256 * 1024, /* of the history, to one viewer at once; */
  CATCH_UP_PACKETS = 256,      /* and so many packets, each of which is encrypted for it */
};

/* 15-bit numbers that wrap */
static bool later_picture(uint16_t a, uint16_t b) {
  unsigned ahead = (unsigned)(a - b) & 0x7fff;
  return ahead != 0 && ahead < 0x4000;
}

static void emit(mt_core *core, mt_consumer *c, const mt_epoch *e, const mt_packet *p, int64_t now) {
  mt_numbers n = {
      .sequence = p->sequence + e->sequence_delta,
      .timestamp = p->timestamp + e->timestamp_delta,
      .picture_id = (p->vp8.picture_id + e->picture_delta) & 0x7fff,
      .tl0picidx = (uint8_t)(p->vp8.tl0picidx + e->tl0_delta),
  };
  if (n.sequence > c->highest) {
    c->highest = n.sequence;
    c->sender->next = n.sequence + 1;
    c->last_marker = p->marker;
    c->last_timestamp = n.timestamp;
    c->last_sent = now;
    if (p->has_vp8 && (!c->has_picture || later_picture(n.picture_id, c->last_picture))) {
      c->has_picture = true;
      c->last_picture = n.picture_id;
      c->last_tl0 = n.tl0picidx;
    }
  }
  mt_consumer_send(core, c, e, p, &n, now);
}

typedef struct { /* what the history has from a packet on */
  unsigned packets;
  size_t bytes;
  bool whole; /* nothing is missing between them */
} stretch;

/* As long as the history at most: numbers may have gone on without it. */
static stretch stretch_from(const mt_stream *s, uint64_t first) {
  stretch found = {.whole = true};
  for (uint64_t i = first; i < s->history.end; i++) {
    const mt_packet *p = mt_history_find(&s->history, i);
    if (!p) {
      found.whole = false;
      continue;
    }
    found.packets++;
    found.bytes += p->payload_len;
  }
  return found;
}

static bool affordable(const stretch *s) { return s->packets <= CATCH_UP_PACKETS && s->bytes <= CATCH_UP_BYTES; }

/* Begin with packet `first` of `s` and send all that came since. */
static void start_with(mt_core *core, mt_consumer *c, mt_stream *s, uint64_t first, int64_t now) {
  const mt_packet *p = mt_history_find(&s->history, first);
  c->switching = false;
  if (p) {
    stretch since = stretch_from(s, first);
    if (!affordable(&since)) p = NULL;
  }
  if (!p) {
    mt_want_keyframe(core, s, now);
    return;
  }
  mt_consumer_begin_epoch(core, c, s, p, now);
  for (uint64_t i = first; i < s->history.end; i++)
    if ((p = mt_history_find(&s->history, i))) emit(core, c, &c->epochs[0], p, now);
  mt_consumer_choose_layer(core, c, true, now); /* tells the layer */
}

static void finish_switch(mt_core *core, mt_consumer *c, int64_t now) {
  start_with(core, c, &c->producer->streams[c->target], c->switch_first, now);
}

/* A key frame that has just come need not come again: many viewers that arrive together cost one, and those that
 * would have to wait until another may be asked for begin at once. Not longer ago than that, because what is sent late
 * is also shown late for a while; and only if nothing of it is missing. */
bool mt_consumer_catch_up(mt_core *core, mt_consumer *c, int64_t now) {
  const mt_producer *producer = c->producer;
  if (c->started || c->paused || !c->transport->srtp || !c->transport->selected) return false;
  if (!producer || producer->paused || producer->mirror || c->target < 0) return false;
  mt_stream *s = &c->producer->streams[c->target];
  if (!s->has_keyframe) return false;
  const mt_packet *p = mt_history_find(&s->history, s->keyframe_first);
  if (!p || now - p->arrived > (int64_t)core->settings.pli_interval_ms * MT_MS) return false;
  stretch since = stretch_from(s, s->keyframe_first);
  if (!since.whole || !affordable(&since)) return false;
  start_with(core, c, s, s->keyframe_first, now);
  return true;
}

/* ---- each packet ---- */

static bool in_the_middle_of_a_frame(const mt_consumer *c, int64_t now) {
  return c->epochs[0].open && c->producer->spec.codec != MT_CODEC_OTHER && !c->last_marker && now - c->last_sent < FRAME_END_US;
}

static void forward_target(mt_core *core, mt_consumer *c, mt_stream *s, const mt_packet *p, int64_t now) {
  if (c->switching) {
    if (now - c->switch_since > SWITCH_WAIT_US) finish_switch(core, c, now);
    return;
  }
  if (s->producer->spec.codec != MT_CODEC_OTHER && !p->keyframe) return;
  if (!in_the_middle_of_a_frame(c, now)) {
    start_with(core, c, s, p->sequence, now);
    return;
  }
  c->switching = true;
  c->switch_first = p->sequence;
  c->switch_since = now;
}

void mt_consumer_forward(mt_core *core, mt_consumer *c, mt_stream *s, mt_packet *p, int64_t now) {
  if (c->paused || !c->transport->srtp || !c->transport->selected) return;
  mt_epoch *e = &c->epochs[0];
  if (e->open && mt_epoch_of_stream(e, s) && p->sequence >= e->first) {
    emit(core, c, e, p, now);
    if (c->switching && c->last_marker) finish_switch(core, c, now);
    return;
  }
  for (unsigned i = 0; i < 2; i++) {
    e = &c->epochs[i];
    if (!e->open && mt_epoch_of_stream(e, s) && p->sequence >= e->first && p->sequence <= e->last) {
      emit(core, c, e, p, now);
      return;
    }
  }
  if (s->index == c->target && !(c->epochs[0].open && mt_epoch_of_stream(&c->epochs[0], s))) forward_target(core, c, s, p, now);
}
