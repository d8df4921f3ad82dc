/* See forward.h. */
#include "egress/forward.h"

#include "egress/epoch.h"
#include "egress/keyframes.h"
#include "egress/layers.h"
#include "egress/numbering.h"
#include "egress/temporal.h"
#include "egress/pacer.h"
#include "state/arriving.h"
#include "state/marks.h"

enum {
  FRAME_END_US = 30 * MT_MS,   /* without a packet for that long, the packet that ends the frame was lost */
  SWITCH_WAIT_US = 50 * MT_MS, /* longest wait for the end of the current frame */
  CATCH_UP_BYTES = 256 * 1024, /* payload of the history that one consumer is sent at once */
  CATCH_UP_US = 250 * MT_MS,   /* time in which a client's link must be able to take it */
  FREEZE_US = 500 * MT_MS,     /* a longer gap in a video is a freeze */
  CATCH_UP_PACKETS = 256,      /* packets of it; each is encrypted for that consumer */
  TURN_PACKETS = 32,           /* that a consumer which is behind gets in its turn: about a frame of 9 Mbit/s */
};

/* The next packet of a consumer comes `now`. A gap that ends with the stream itself is none. */
static void count_freeze(mt_consumer *c, int64_t now) {
  int64_t gap = now - c->last_sent;
  if (c->flowing && gap > FREEZE_US) {
    c->stats.freezes++;
    c->stats.frozen_ms += (uint32_t)(gap / MT_MS);
  }
  c->flowing = c->producer->spec.video;
}

static void emit(mt_core *core, mt_consumer *c, mt_epoch *e, const mt_packet *p, int64_t now) {
  mt_numbers n;
  if (!mt_epoch_numbers(e, p, &n)) return;
  n.timestamp = mt_epoch_timestamp(&e->timing, p->timestamp);
  n.marker = p->marker || mt_consumer_ends_picture(c, p);
  if (n.sequence > c->highest) {
    c->highest = n.sequence;
    c->sender->next = n.sequence + 1;
    c->last_marker = n.marker;
    c->last_timestamp = n.timestamp;
    count_freeze(c, now);
    c->last_sent = now;
    if (mt_packet_has_picture(p) &&
        (!c->has_picture || mt_picture_ahead(n.picture_id, c->last_picture, mt_packet_picture_mask(p)) > 0)) {
      c->has_picture = true;
      c->last_picture = n.picture_id;
      c->last_tl0 = n.tl0picidx;
    }
  }
  mt_pacer_send(core, c, e, p, &n, now);
}

static bool is_behind(const mt_consumer *c) { return !mt_list_empty(&c->behind); }

/* The packets from `next` on stay in the history until the pacer has room. */
static void fall_behind(mt_core *core, mt_consumer *c, uint64_t next, int64_t now) {
  mt_downlink *d = c->transport->downlink;
  c->next = next;
  mt_list_append(&d->behind, &c->behind);
  mt_pacer_wake(core, d, now);
}

/* A packet of the open epoch: it is sent, or left out with its frame. Only a packet that the pacer takes gets a number. */
static void pass(mt_core *core, mt_consumer *c, mt_epoch *e, const mt_packet *p, int64_t now) {
  bool newer = p->sequence > mt_epoch_newest(c, e);
  if (newer && !mt_pacer_has_room(c)) {
    fall_behind(core, c, p->sequence, now);
    return;
  }
  if (newer && mt_consumer_leaves_out(c, p) && mt_epoch_leave_out(core, c, e, p)) return;
  emit(core, c, e, p, now);
}

/* NULL: the packet is not kept, or consumers do not see it yet. */
static const mt_packet *find(const mt_stream *s, uint64_t sequence) {
  return sequence < s->shown ? mt_history_find(&s->history, sequence) : NULL;
}

/* One past the newest packet that consumers see. */
static uint64_t end_of(const mt_stream *s) { return s->history.end < s->shown ? s->history.end : s->shown; }

typedef struct { /* the packets of a history from one packet on */
  unsigned packets;
  size_t bytes;  /* of payload */
  bool complete; /* none is missing between them */
} backlog;

/* The loop ends with the history, not at the stream's highest number, which may be ahead of it. */
static backlog backlog_from(const mt_stream *s, uint64_t first) {
  backlog found = {.complete = true};
  for (uint64_t i = first; i < end_of(s); i++) {
    const mt_packet *p = find(s, i);
    if (!p) {
      found.complete = false;
      continue;
    }
    found.packets++;
    found.bytes += p->payload_len;
  }
  return found;
}

static bool affordable(const backlog *b) { return b->packets <= CATCH_UP_PACKETS && b->bytes <= CATCH_UP_BYTES; }

/* The client's link takes the past within CATCH_UP_US. */
static bool bearable(const mt_consumer *c, const backlog *b) {
  const mt_downlink *d = c->transport->downlink;
  if (!d) return true;
  return b->bytes * MT_BITS <= mt_estimator_estimate(d->estimator)->bitrate * CATCH_UP_US / MT_SECOND;
}

/* The newest packet, of which the first one is `p`. */
static const mt_packet *newest_from(const mt_stream *s, const mt_packet *p) {
  for (uint64_t i = end_of(s); i > p->sequence + 1; i--) {
    const mt_packet *newer = find(s, i - 1);
    if (newer) return newer;
  }
  return p;
}

/* A switch has waited for the end of this frame. */
static bool frame_has_ended(const mt_consumer *c) { return c->switching && c->last_marker; }

/* Passes the packets of the history from `first` on, `most` of them, as far as the pacer has room. The others stay behind. */
static void pass_from(mt_core *core, mt_consumer *c, const mt_stream *s, uint64_t first, unsigned most, int64_t now) {
  for (uint64_t i = first; i < end_of(s) && !is_behind(c); i++) {
    const mt_packet *p = find(s, i);
    if (!p) continue;
    if (most && !frame_has_ended(c)) most--, pass(core, c, &c->epochs[0], p, now);
    else fall_behind(core, c, i, now);
  }
}

/* Begin an epoch with packet `first` of `s`, and pass every packet of the history from there on. */
static void start_with(mt_core *core, mt_consumer *c, mt_stream *s, uint64_t first, int64_t now) {
  const mt_packet *p = find(s, first);
  c->switching = false;
  if (p) {
    backlog since = backlog_from(s, first);
    if (!affordable(&since)) p = NULL;
  }
  if (!p) {
    mt_want_keyframe(core, s, now);
    return;
  }
  mt_consumer_begin_epoch(core, c, s, p, newest_from(s, p), now);
  pass_from(core, c, s, first, CATCH_UP_PACKETS, now);
  mt_consumer_choose_layer(core, c, true, now); /* announces the layer */
}

static void finish_switch(mt_core *core, mt_consumer *c, int64_t now) {
  start_with(core, c, &c->producer->streams[c->target], c->switch_first, now);
}

/* A key frame that has just come need not be requested again. Consumers that begin together then cost one key frame, and none
 * of them has to wait until the next may be requested (`pli_interval_ms`). An older key frame is not used, because it costs more
 * bytes than a new one. The packets since the key frame must be complete. In a mirror they are, if the encoding was listened to
 * all the time. */
static bool catch_up_with(mt_core *core, mt_consumer *c, mt_stream *s, int64_t now) {
  const mt_producer *producer = c->producer;
  if (!s->has_keyframe) return false;
  const mt_packet *p = find(s, s->keyframe_first);
  if (!p || now - p->arrived > (int64_t)core->settings.pli_interval_ms * MT_MS) return false;
  if (c->started && p->arrived <= c->last_sent) return false; /* it has had this one: otherwise each resuming would cost as much */
  if (producer->mirror && p->arrived <= s->listened_since) return false;
  backlog since = backlog_from(s, s->keyframe_first);
  if (!since.complete || !affordable(&since) || !bearable(c, &since)) return false;
  start_with(core, c, s, s->keyframe_first, now);
  return true;
}

/* If the past of the target is too much for the link, the consumer begins with a lower layer, and a key frame of the target is
 * wanted. */
bool mt_consumer_catch_up(mt_core *core, mt_consumer *c, int64_t now) {
  mt_producer *producer = c->producer;
  if (core->held || c->epochs[0].open || c->paused || !c->transport->srtp || !c->transport->selected) return false;
  if (!producer || producer->paused || c->target < 0) return false;
  for (int8_t i = c->target; i >= 0; i--) {
    mt_stream *s = &producer->streams[i];
    if (!mt_stream_arriving(core, s, now) || !catch_up_with(core, c, s, now)) continue;
    const mt_packet *keyframe = mt_history_find(&s->history, s->keyframe_first);
    if (i < c->target) mt_consumer_await_keyframe(core, c, &producer->streams[c->target], keyframe ? keyframe->arrived : now);
    return true;
  }
  return false;
}

/* ---- behind ---- */

/* Half of the history is left for packets that wait in the queue: they have numbers, and must not be dropped. */
static bool too_far_behind(const mt_core *core, const mt_consumer *c, const mt_stream *s, int64_t now) {
  const mt_packet *p = mt_history_find(&s->history, c->next);
  return !p || s->history.end - c->next > s->history.mask / 2 || now - p->arrived > (int64_t)core->settings.history_ms * MT_MS / 2;
}

/* The consumer goes on with a key frame. No number was used for what it has not got. */
static void give_up(mt_core *core, mt_consumer *c, const mt_stream *s, int64_t now) {
  uint64_t next = c->next, end = end_of(s);
  mt_consumer_close_epoch(c);
  bool caught_up = mt_consumer_catch_up(core, c, now);
  if (caught_up && mt_epoch_of_stream(&c->epochs[0], s)) end = c->epochs[0].first;
  if (!caught_up) mt_consumer_ask_keyframe(core, c, NULL, now);
  if (end > next) core->counters.dropped_queue_full += end - next;
}

void mt_consumer_go_on(mt_core *core, mt_consumer *c, int64_t now) {
  const mt_stream *s = &c->producer->streams[c->epochs[0].stream];
  mt_list_remove(&c->behind);
  if (!c->transport->srtp || !c->transport->selected) return;
  if (too_far_behind(core, c, s, now)) {
    give_up(core, c, s, now);
    return;
  }
  pass_from(core, c, s, c->next, TURN_PACKETS, now);
  if (frame_has_ended(c)) finish_switch(core, c, now);
}

/* ---- each packet ---- */

static bool inside_frame(const mt_consumer *c, int64_t now) {
  return c->epochs[0].open && c->producer->spec.codec != MT_CODEC_OTHER && !c->last_marker && now - c->last_sent < FRAME_END_US;
}

static void forward_target(mt_core *core, mt_consumer *c, mt_stream *s, const mt_packet *p, int64_t now) {
  if (c->switching) {
    if (now - c->switch_since > SWITCH_WAIT_US) finish_switch(core, c, now);
    return;
  }
  if (s->producer->spec.codec != MT_CODEC_OTHER && !p->keyframe) return;
  if (!inside_frame(c, now)) {
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
    if (is_behind(c) && p->sequence >= c->next) return;
    pass(core, c, e, p, now);
    if (frame_has_ended(c)) finish_switch(core, c, now);
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
